"""Language models of true shapes with random weights on an NVIDIA GPU, against PyTorch and the hardware.

    python3 llm.py make MODEL FOLDER              # writes a checkpoint
    python3 llm.py expect FOLDER IDS.npy OUT.npy  # logits of a checkpoint by PyTorch in f32
    python3 llm.py measure OUT.json               # copy bandwidth and matrix rate of the device
    python3 llm.py run DRIFTC WORK [--models A,B] [--schemes C,D] [--check A] [--table FILE]

Needs torch and transformers. `llm.sh` calls the last.

Weights lie on grids: those of attention are integers of -127..127 times a power of two per row, those of
the embedding and the feed-forward integers of -8..7 times one, and every group of 32 has the lowest.
So `8/4/4` loses nothing, neither does f16, `q8` next to nothing, and what differs from PyTorch is the
arithmetic. Scales of rows are such that logits have a standard deviation of about 3.
"""

import argparse
import json
import math
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch

LLAMA = dict(
    architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=128256, hidden_act="silu", rms_norm_eps=1e-5,
    num_key_value_heads=8, max_position_embeddings=131072, rope_theta=500000.0, attention_bias=False, mlp_bias=False,
    bos_token_id=128000, eos_token_id=128001, torch_dtype="bfloat16",
)
ROPE = dict(rope_type="llama3", low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192)
MODELS = {
    "llama-3.2-1b": LLAMA | dict(
        hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32, head_dim=64,
        tie_word_embeddings=True, rope_scaling=ROPE | dict(factor=32.0)),
    "llama-3.2-3b": LLAMA | dict(
        hidden_size=3072, intermediate_size=8192, num_hidden_layers=28, num_attention_heads=24, head_dim=128,
        tie_word_embeddings=True, rope_scaling=ROPE | dict(factor=32.0)),
    "llama-3.1-8b": LLAMA | dict(
        hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32, head_dim=128,
        tie_word_embeddings=False, rope_scaling=ROPE | dict(factor=8.0)),
    "gemma-2-2b": dict(
        architectures=["Gemma2ForCausalLM"], model_type="gemma2", vocab_size=256000, hidden_size=2304,
        intermediate_size=9216, num_hidden_layers=26, num_attention_heads=8, num_key_value_heads=4, head_dim=256,
        query_pre_attn_scalar=256, sliding_window=4096, attn_logit_softcapping=50.0, final_logit_softcapping=30.0,
        max_position_embeddings=8192, rms_norm_eps=1e-6, rope_theta=10000.0, hidden_activation="gelu_pytorch_tanh",
        hidden_act="gelu_pytorch_tanh", tie_word_embeddings=True, bos_token_id=2, eos_token_id=1, pad_token_id=0,
        torch_dtype="bfloat16"),
    # for trying this script without a GPU
    "tiny": LLAMA | dict(
        vocab_size=512, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, tie_word_embeddings=True, bos_token_id=256, eos_token_id=257,
        rope_scaling=ROPE | dict(factor=8.0)),
}
SHARD_BYTES = 2 << 30
DISPATCH_US = 2.2
DEPTH = 1024
CONTEXT = 2048


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def tensors(c: dict) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a checkpoint, in the order in which they are stored."""
    d, dh = c["hidden_size"], c["head_dim"]
    q, kv, ffn = c["num_attention_heads"] * dh, c["num_key_value_heads"] * dh, c["intermediate_size"]
    out = {"model.embed_tokens.weight": (c["vocab_size"], d)}
    norms = ["input_layernorm", "post_attention_layernorm"]
    if c["model_type"] == "gemma2":
        norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        out |= {f"{p}self_attn.q_proj.weight": (q, d), f"{p}self_attn.k_proj.weight": (kv, d),
                f"{p}self_attn.v_proj.weight": (kv, d), f"{p}self_attn.o_proj.weight": (d, q),
                f"{p}mlp.gate_proj.weight": (ffn, d), f"{p}mlp.up_proj.weight": (ffn, d),
                f"{p}mlp.down_proj.weight": (d, ffn)}
        out |= {f"{p}{n}.weight": (d,) for n in norms}
    out["model.norm.weight"] = (d,)
    if not c["tie_word_embeddings"]:
        out["lm_head.weight"] = (c["vocab_size"], d)
    return out


def draw(name: str, shape: tuple[int, ...], c: dict, rng: torch.Generator) -> torch.Tensor:
    """One tensor in bf16 on the device."""
    on = rng.device
    if len(shape) == 1:
        offset = 0.0 if c["model_type"] == "gemma2" else 1.0
        return (offset + 0.1 * torch.randn(shape, generator=rng, device=on)).bfloat16()
    least, most = (-127, 127) if "self_attn" in name else (-8, 7)
    head = "lm_head" in name or ("embed" in name and c["tie_word_embeddings"])
    spread = 3.0 if head else 1.0
    q = torch.randint(least, most + 1, shape, generator=rng, device=on, dtype=torch.int16)
    q[:, ::32] = least
    exponent = round(math.log2(spread / math.sqrt(shape[1]) / (most / math.sqrt(3))))
    scale = torch.exp2(torch.randint(exponent - 1, exponent + 1, (shape[0], 1), generator=rng, device=on).float())
    sign = 2 * torch.randint(0, 2, (shape[0], 1), generator=rng, device=on) - 1
    return q.bfloat16() * (sign * scale).bfloat16()


def byte_tokenizer() -> dict:
    """A tokenizer of single bytes, so that the folder is complete."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, other = {}, 256
    for b in range(256):
        letters[b] = chr(b) if b in visible else chr(other)
        other += b not in visible
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None, "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": {letters[b]: b for b in range(256)}, "merges": []},
    }


def make(model: str, folder: Path) -> None:
    """Writes shards tensor by tensor: neither memory nor disk holds anything twice."""
    c, start = MODELS[model], time.time()
    folder.mkdir(parents=True, exist_ok=True)
    rng = torch.Generator(device()).manual_seed(1)
    shards: list[list[str]] = [[]]
    shapes, size = tensors(c), 0
    for name, shape in shapes.items():
        here = 2 * math.prod(shape)
        if shards[-1] and size + here > SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += here
    index, total = {}, 0
    for i, names in enumerate(shards):
        file = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        header, at = {}, 0
        for name in names:
            end = at + 2 * math.prod(shapes[name])
            header[name] = dict(dtype="BF16", shape=shapes[name], data_offsets=[at, end])
            at = end
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(folder / file, "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            for name in names:
                out.write(draw(name, shapes[name], c, rng).cpu().view(torch.int16).numpy().data)
        index |= {name: file for name in names}
        total += at
    listing = {"metadata": {"total_size": total}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(listing))
    (folder / "config.json").write_text(json.dumps(c, indent=1))
    (folder / "tokenizer.json").write_text(json.dumps(byte_tokenizer()))
    (folder / "generation_config.json").write_text(json.dumps({k: c[k] for k in ("bos_token_id", "eos_token_id")}))
    print(f"{model}: {total / 1e9:.2f} GB in {len(shards)} files, {time.time() - start:.1f} s", flush=True)


@torch.no_grad()
def expect(folder: Path, ids: np.ndarray) -> np.ndarray:
    """Logits [positions, vocabulary] by transformers, f32 throughout (no TF32)."""
    from safetensors.torch import load_file
    import transformers

    torch.backends.cuda.matmul.allow_tf32 = False
    config = transformers.AutoConfig.from_pretrained(folder)
    config.torch_dtype = torch.float32
    with torch.device(device()):
        cls = getattr(transformers, config.architectures[0])
        model = cls._from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    into = dict(model.named_parameters())
    for file in sorted(folder.glob("*.safetensors")):
        for name, value in load_file(file, device=device()).items():
            into[name].copy_(value)
    x = torch.from_numpy(ids).to(device())[None]
    return model(input_ids=x, use_cache=False).logits[0].float().cpu().numpy()


def seconds(work, least: float = 0.3) -> float:
    """Time of one call of `work` on the GPU: warmed up, the best of three runs of at least `least` seconds."""
    def run(n: int) -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(n):
            work()
        torch.cuda.synchronize()
        return time.perf_counter() - start
    run(3)
    n = max(5, int(least / max(run(5) / 5, 1e-6)))
    return min(run(n) for _ in range(3)) / n


def measure() -> dict:
    """Bytes read and written per second by a copy of 2 GiB, and bf16 matrix products of 8192³."""
    a = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    b = torch.empty_like(a)
    copy = 2 * a.numel() / seconds(lambda: b.copy_(a)) / 1e9
    del a, b
    x = torch.randn(8192, 8192, device="cuda").bfloat16()
    rate = 2 * 8192**3 / seconds(lambda: x @ x) / 1e12
    return dict(device=torch.cuda.get_device_name(), copy_gb_per_s=copy, matrix_tflops=rate)


def call(command: list[str], quiet: bool = False) -> tuple[str, float, int, int]:
    """Runs a program: its output, seconds, peak resident bytes, and peak resident bytes without mapped files."""
    start, whole, anonymous, done = time.time(), 0, 0, False
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=None if not quiet else subprocess.DEVNULL)

    def watch() -> None:
        nonlocal whole, anonymous
        while not done:
            try:
                for line in open(f"/proc/{process.pid}/status"):
                    # of a process that has not yet become the program, this is the memory of Python
                    if line.startswith("Name:") and Path(command[0]).name[:15] not in line:
                        break
                    if line.startswith("VmHWM"):
                        whole = int(line.split()[1]) * 1024
                    if line.startswith("RssAnon"):
                        anonymous = max(anonymous, int(line.split()[1]) * 1024)
            except OSError:
                return
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    text = process.stdout.read()
    status = process.wait()
    done = True
    watcher.join()
    if status != 0:
        raise RuntimeError(f"failed: {' '.join(command)}\n{text[-2000:]}")
    return text, time.time() - start, whole, anonymous


def matrix_flops(c: dict, tokens: int) -> float:
    """Multiply-adds, counted twice, of a prefill: matrices of all layers for all tokens, causal attention, one row of the head."""
    matrices = sum(math.prod(s) for n, s in tensors(c).items() if len(s) == 2 and ".layers." in n)
    attention = 2 * c["num_hidden_layers"] * c["num_attention_heads"] * c["head_dim"] * tokens * (tokens + 1) / 2
    return 2.0 * (matrices * tokens + attention + c["vocab_size"] * c["hidden_size"])


def decode_facts(driftc: str, bundle: Path, c: dict) -> tuple[int, float]:
    """Dispatches of a decode step, and the bytes that it must read: weights as stored, and the cache of DEPTH tokens."""
    text, *_ = call([driftc, "inspect", str(bundle), "--json"])
    variant = json.loads(text)["variants"][0]
    entry = next(e for e in variant["entry_points"] if e["name"] == "decode")
    listing, *_ = call([driftc, "inspect", str(bundle)])
    first = listing.split("variant 0:", 1)[1].split("variant 1:", 1)[0]
    objects = [line.split() for line in first.splitlines() if line.startswith("  object ")]
    weights = {int(words[1].rstrip(":")) for words in objects if words[2] == "Weights,"}
    seen: dict[tuple[int, int], int] = {}
    for step in entry["steps"]:
        if not step.startswith("dispatch") or "[embedding" in step:
            continue  # an embedding reads one row of its table
        bindings = step.split("pipeline", 1)[1].split("[", 1)[1].split("]", 1)[0].split()
        for binding in bindings:
            place, size = binding.split(":")
            which, offset = place.split("+")
            # tables of angles are bound whole and read in one row
            if int(which) in weights and not ("attention" in step.rsplit("[", 1)[1]):
                seen[int(which), int(offset)] = int(size)
    cache = 2 * c["num_hidden_layers"] * c["num_key_value_heads"] * c["head_dim"] * DEPTH * 2
    return entry["dispatches"], float(sum(seen.values()) + cache)


def check(driftc: str, bundle: Path, want: np.ndarray, ids: Path, prefill: int | None, work: Path) -> tuple[float, float]:
    """Largest error as a share of the largest logit, and how often the best token is PyTorch's."""
    out = work / "logits.npy"
    how = ["--prefill", str(prefill)] if prefill else []
    call([driftc, "logits", str(bundle), "--ids", str(ids), "--output", str(out), *how])
    got = np.load(out)
    assert got.shape == want.shape and np.isfinite(got).all(), (got.shape, want.shape)
    return float(np.abs(got - want).max() / np.abs(want).max()), float((got.argmax(1) == want.argmax(1)).mean())


# Largest error, and least share of equal best tokens, by what a scheme loses on these weights: f16 and 8/4/4 nothing,
# q8 the rounding of 15 levels to 255; then f16 activations, and int8 ones where weights are integers. The 4-bit
# schemes round the attention's weights to 15 levels, which is a different model: no bound is asked.
BOUNDS = {"f16": (0.02, 0.95), "8/4/4": (0.06, 0.85), "q8": (0.06, 0.85)}


def measured(args, model: str, scheme: str, folder: Path, want, ids: Path, rates: dict) -> tuple[list[str], list[str]]:
    """Compiles one scheme of a checkpoint, compares and times it: its row of the table, and what is wrong."""
    c, work, driftc, wrong = MODELS[model], Path(args.work), args.driftc, []
    bundle = work / "model.drift"
    text, took, peak, own = call([
        driftc, "compile", str(folder), "--target", args.target, "--precision", "mixed", "--quantize", scheme,
        "--context", str(CONTEXT), "--calibrate", args.calibrate, "-o", str(bundle)], quiet=True)
    print(text.strip(), flush=True)
    errors = []
    for split in (None, 40) if want is not None else ():
        error, same = check(driftc, bundle, want, ids, split, work)
        print(f"{model} {scheme} prefill {split or 'all'}: error {error:.1e} of max |logit|, "
              f"same best token {same:.3f}", flush=True)
        errors.append(f"{error:.1e}, {100 * same:.0f}%")
        bound = BOUNDS.get(scheme)
        if bound and (error > bound[0] or same < bound[1]):
            wrong.append(f"{model} {scheme} prefill {split}: error {error:.2e}, same best token {same:.3f}")
    bench = [driftc, "bench", str(bundle), "--llm", "--prefill", str(DEPTH), "--decode", "256", "--json"]
    call(bench, quiet=True)  # fills the driver's cache
    text, _, run_peak, run_own = call(bench)
    b = json.loads(text)
    dispatches, size = decode_facts(driftc, bundle, c)
    floor = size / rates["copy_gb_per_s"] / 1e9 + dispatches * DISPATCH_US * 1e-6
    speed, prefill = b["decode_tokens_per_second"], b["prefill_tokens_per_second"]
    if args.top:
        text, *_ = call([driftc, "bench", str(bundle), "--runs", "20", "--top", str(args.top)])
        print(text, flush=True)
    bundle.unlink()
    return [
        model, scheme, f"{speed:.0f}", f"{1 / floor:.0f}", f"{100 * speed * floor:.0f}%", f"{dispatches}",
        f"{size / 1e6:.0f}", f"{prefill:.0f}", f"{matrix_flops(c, DEPTH) * prefill / DEPTH / 1e12:.0f}",
        f"{1e3 * b['first_token_seconds']:.0f}", f"{b['bundle_bytes'] / 1e9:.2f}", f"{took:.0f}",
        f"{peak / 1e9:.2f} ({own / 1e9:.2f})", f"{run_peak / 1e9:.2f} ({run_own / 1e9:.2f})", "; ".join(errors),
    ], wrong


def run(args) -> None:
    work = Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    rates = measure() if device() == "cuda" else dict(device="no GPU", copy_gb_per_s=10.0, matrix_tflops=0.1)
    print(json.dumps(rates), flush=True)
    rows, wrong, began = [], [], time.time()
    for model in args.models.split(","):
        c, folder = MODELS[model], work / model
        if time.time() - began > args.seconds:
            continue
        if not (folder / "config.json").exists():
            make(model, folder)
        ids, want = work / "ids.npy", None
        if model in args.check.split(","):
            start = time.time()
            tokens = np.random.default_rng(1).integers(3, c["vocab_size"] - 300, 64)
            np.save(ids, tokens.astype(np.int64))
            want = expect(folder, tokens.astype(np.int64))
            if device() == "cuda":
                torch.cuda.empty_cache()
            print(f"PyTorch f32: |logit| <= {np.abs(want).max():.2f}, {time.time() - start:.1f} s", flush=True)
        for scheme in args.schemes.split(","):
            if time.time() - began > args.seconds:
                print(f"{model} {scheme}: left out, {args.seconds} s have passed", flush=True)
                continue
            try:
                row, off = measured(args, model, scheme, folder, want, ids, rates)
            except RuntimeError as e:
                row, off = [model, scheme, "failed"] + ["-"] * 12, [f"{model} {scheme}: {e}"]
            rows.append(row)
            wrong += off
            print("| " + " | ".join(row) + " |", flush=True)
        if not args.keep:
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    head = ["model", "scheme", "decode tok/s", "floor", "of floor", "dispatches", "MB per token", "prefill tok/s",
            "TFLOP/s", "first token ms", "bundle GB", "compile s", "compile peak GB (own)", "run peak GB (own)",
            "error, same best token: prefill; prefill + decode"]
    table = "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *("| " + " | ".join(r) + " |" for r in rows)])
    print(table)
    if args.table:
        Path(args.table).write_text(json.dumps(rates) + "\n\n" + table + "\n")
    if wrong:
        sys.exit("off by more than allowed:\n" + "\n".join(wrong))


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("make")
    p.add_argument("model", choices=MODELS)
    p.add_argument("folder", type=Path)
    p = commands.add_parser("expect")
    p.add_argument("folder", type=Path)
    p.add_argument("ids")
    p.add_argument("output")
    p = commands.add_parser("measure")
    p.add_argument("output", type=Path)
    p = commands.add_parser("run")
    p.add_argument("driftc")
    p.add_argument("work")
    p.add_argument("--models", default="llama-3.2-1b,llama-3.1-8b,llama-3.2-3b,gemma-2-2b")
    p.add_argument("--schemes", default="q8,q4g32,8/4/4")
    p.add_argument("--check", default="llama-3.2-1b,gemma-2-2b", help="models whose logits are compared with PyTorch's")
    p.add_argument("--target", default="nvidia-h200")
    p.add_argument("--calibrate", default="none", help="text of the range check; its reference run takes a minute on 8B")
    p.add_argument("--seconds", type=float, default=1e9, help="nothing new is begun after that")
    p.add_argument("--top", type=int, default=0, help="rows of the kernel table")
    p.add_argument("--keep", action="store_true", help="leave checkpoints where they are")
    p.add_argument("--table", help="file for the table")
    args = parser.parse_args()
    match args.command:
        case "make":
            make(args.model, args.folder)
        case "expect":
            np.save(args.output, expect(args.folder, np.load(args.ids).reshape(-1)))
        case "measure":
            args.output.write_text(json.dumps(measure()) + "\n")
        case "run":
            run(args)


if __name__ == "__main__":
    main()
