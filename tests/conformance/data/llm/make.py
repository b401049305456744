"""Makes the small random-weight language models of this folder and the answers expected of them.

    python3 make.py                    # (re)makes every model that is missing
    python3 make.py NAME…              # makes these anew
    python3 make.py --check FOLDER…    # recomputes the answers beside existing checkpoints and compares

Needs torch and transformers. The committed files come from transformers 4.51.3, those of Qwen2 and
SmolLM3 and the folders ending in `_v5` from 5.x, whose config.json spells RoPE differently
(`rope_parameters`).

Each folder is a Hugging Face checkpoint (config.json, model.safetensors or shards with an index) and
    ids.npy        i64 [40]      token ids, longer than every attention window
    logits.npy     f32 [40, V]   logits at every position, computed in float64 from the stored weights
    refs.json      the same as text: cases, the last logits of a text that is several windows long
                   (`long`), and a greedy continuation of ids.npy with, for each step, the distance
                   between the best and the second best logit
Weights are rounded to the stored type first and the answers computed from the rounded ones. Scales
are chosen so that layers matter: attention is neither uniform nor one-hot, logits have a standard
deviation of about 3, and the greedy continuation has no near tie and does not just repeat itself.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
LENGTH, STEPS, CONTEXT = 40, 16, 64
# Models with windows get a longer text, for caches that are rings: its last logits only.
LONG, LONG_CONTEXT, LAST = 150, 192, 16


def llama(**more) -> dict:
    base = dict(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, vocab_size=96, max_position_embeddings=64, rms_norm_eps=1e-5,
        rope_theta=10000.0, bos_token_id=1, eos_token_id=2,
    )
    return base | more


# name -> architecture, stored type, number of files, configuration
MODELS = {
    # multi-head attention, its own head, linear RoPE scaling off; head_dim follows from the sizes
    "llama2": ("Llama", torch.float16, 1, llama(tie_word_embeddings=False)),
    # grouped queries, tied head, llama3 scaling whose three bands all occur within 16 frequencies
    "llama31": ("Llama", torch.bfloat16, 1, llama(
        num_key_value_heads=2, head_dim=16, hidden_size=40, intermediate_size=40, tie_word_embeddings=True,
        rope_theta=500000.0, rope_scaling=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0,
                                               high_freq_factor=4.0, original_max_position_embeddings=32))),
    # every bias that the Llama code knows, linear scaling
    "llama_bias": ("Llama", torch.bfloat16, 1, llama(
        num_key_value_heads=1, attention_bias=True, mlp_bias=True, tie_word_embeddings=False,
        rope_scaling=dict(rope_type="linear", factor=4.0))),
    # YaRN, whose cos and sin are scaled too
    "llama_yarn": ("Llama", torch.bfloat16, 1, llama(
        num_key_value_heads=2, head_dim=16, tie_word_embeddings=True,
        rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16))),
    "smollm2": ("Llama", torch.bfloat16, 1, llama(
        hidden_size=48, intermediate_size=40, num_attention_heads=3, num_key_value_heads=1,
        tie_word_embeddings=True, rope_theta=100000.0)),
    "mistral": ("Mistral", torch.bfloat16, 1, llama(
        num_key_value_heads=2, head_dim=12, sliding_window=16, tie_word_embeddings=False)),
    "gemma": ("Gemma", torch.bfloat16, 1, llama(
        num_key_value_heads=1, head_dim=16, num_attention_heads=3, vocab_size=128, rms_norm_eps=1e-6,
        hidden_act="gelu_pytorch_tanh", hidden_activation="gelu_pytorch_tanh", pad_token_id=0)),
    # window on every other layer, both soft caps tight enough to matter, scale not 1/sqrt(head_dim)
    "gemma2": ("Gemma2", torch.bfloat16, 1, llama(
        num_key_value_heads=2, head_dim=12, num_hidden_layers=3, intermediate_size=40, sliding_window=12,
        query_pre_attn_scalar=20, attn_logit_softcapping=4.0, final_logit_softcapping=8.0,
        hidden_activation="gelu_pytorch_tanh", pad_token_id=0, rms_norm_eps=1e-6)),
    # five local layers would be too many here: pattern of 3, own RoPE base for local layers; a softcap
    # of scores that the configuration names and the model does not apply
    "gemma3": ("Gemma3", torch.bfloat16, 1, llama(
        num_key_value_heads=1, head_dim=24, num_attention_heads=2, num_hidden_layers=4, intermediate_size=40,
        sliding_window=10, sliding_window_pattern=3, query_pre_attn_scalar=24, rope_theta=1000000.0,
        attn_logit_softcapping=4.0,
        rope_local_base_freq=10000.0, rope_scaling=dict(rope_type="linear", factor=8.0),
        hidden_activation="gelu_pytorch_tanh", pad_token_id=0, rms_norm_eps=1e-6)),
    # a window that the configuration names and does not use (5.x is right, 4.51 uses it nevertheless);
    # a config.json of the bare minimum
    "qwen2": ("Qwen2", torch.bfloat16, 1, llama(
        num_key_value_heads=2, rope_theta=1000000.0, tie_word_embeddings=True, use_sliding_window=False,
        sliding_window=8, max_window_layers=1, rms_norm_eps=1e-6)),
    "qwen3": ("Qwen3", torch.bfloat16, 2, llama(
        num_key_value_heads=2, head_dim=16, rope_theta=1000000.0, tie_word_embeddings=True,
        rms_norm_eps=1e-6)),
    # fused projections, window
    "phi3": ("Phi3", torch.bfloat16, 1, llama(
        num_key_value_heads=2, sliding_window=13, tie_word_embeddings=False, pad_token_id=0,
        original_max_position_embeddings=64)),
    # factors per frequency; beyond 16 positions the long ones hold, up to there the short ones
    "phi3_longrope": ("Phi3", torch.bfloat16, 1, llama(
        num_key_value_heads=4, tie_word_embeddings=False, pad_token_id=0, sliding_window=None,
        original_max_position_embeddings=16, partial_rotary_factor=1.0,
        rope_scaling=dict(type="longrope", short_factor=[1.0, 1.05, 1.2, 1.4], long_factor=[1.1, 1.8, 3.0, 6.0]))),
    # as Phi-4-mini: part of each head rotates
    "phi4": ("Phi3", torch.bfloat16, 1, llama(
        num_key_value_heads=2, head_dim=None, tie_word_embeddings=True, pad_token_id=0, sliding_window=None,
        original_max_position_embeddings=64, partial_rotary_factor=0.75, hidden_size=48, intermediate_size=40,
        num_hidden_layers=2)),
    # every fourth layer without RoPE; here, every second
    "smollm3": ("SmolLM3", torch.bfloat16, 1, llama(
        num_key_value_heads=2, num_hidden_layers=3, intermediate_size=40, tie_word_embeddings=True,
        no_rope_layer_interval=2, rope_theta=2000000.0, pad_token_id=0, rms_norm_eps=1e-6)),
    "gpt2": ("GPT2", torch.float16, 1, dict(
        vocab_size=96, n_embd=36, n_layer=2, n_head=3, n_inner=None, n_positions=64, bos_token_id=0, eos_token_id=0)),
    # what transformers 5 writes for models that 4.51 knows too
    "llama31_v5": ("Llama", torch.bfloat16, 1, llama(
        num_key_value_heads=2, head_dim=16, hidden_size=32, intermediate_size=64, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
                             high_freq_factor=4.0, original_max_position_embeddings=32)) | dict(rope_theta=None)),
    "gemma3_v5": ("Gemma3", torch.bfloat16, 1, llama(
        num_key_value_heads=1, head_dim=24, num_attention_heads=2, num_hidden_layers=3, intermediate_size=40,
        sliding_window=10, query_pre_attn_scalar=24,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters=dict(sliding_attention=dict(rope_type="default", rope_theta=10000.0),
                             full_attention=dict(rope_type="linear", rope_theta=1000000.0, factor=8.0)),
        hidden_activation="gelu_pytorch_tanh", pad_token_id=0, rms_norm_eps=1e-6) | dict(rope_theta=None)),
    # Qwen2 with windows from the second layer on
    "qwen2_v5": ("Qwen2", torch.bfloat16, 1, llama(
        num_key_value_heads=1, tie_word_embeddings=False, use_sliding_window=True, sliding_window=8,
        max_window_layers=1, rms_norm_eps=1e-6, num_hidden_layers=3, intermediate_size=48)),
}

CLASSES = {
    "Llama": ("LlamaConfig", "LlamaForCausalLM"), "Mistral": ("MistralConfig", "MistralForCausalLM"),
    "Gemma": ("GemmaConfig", "GemmaForCausalLM"), "Gemma2": ("Gemma2Config", "Gemma2ForCausalLM"),
    "Gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM"), "Qwen2": ("Qwen2Config", "Qwen2ForCausalLM"),
    "Qwen3": ("Qwen3Config", "Qwen3ForCausalLM"), "Phi3": ("Phi3Config", "Phi3ForCausalLM"),
    "SmolLM3": ("SmolLM3Config", "SmolLM3ForCausalLM"), "GPT2": ("GPT2Config", "GPT2LMHeadModel"),
}


class Double:
    """Stands for the module `torch` in a model's code: where that asks for float32, it gets float64."""

    float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def in_float64(model):
    """The model with every computation in float64, those that its code does in float32 too."""
    for cls in {type(m) for m in model.modules()}:
        module = sys.modules[cls.__module__]
        if cls.__module__.startswith("transformers.models"):
            module.torch = Double()
            if hasattr(module, "eager_attention_forward"):
                module.eager_attention_forward.__globals__["torch"] = module.torch
    torch.Tensor.float = torch.Tensor.double
    model = model.double().eval()
    model.config._attn_implementation = "eager"
    return model


def norm_offset(architecture: str) -> float:
    """Gemma stores its norms' gains less one."""
    return 0.0 if architecture.startswith("Gemma") else 1.0


def draw(name: str, shape, architecture: str, tied: bool, rng: torch.Generator) -> torch.Tensor:
    """A weight with the scale that its place asks for."""
    noise = torch.randn(shape, generator=rng, dtype=torch.float64)
    leaf = name.rsplit(".", 1)[1]
    if "norm" in name or ".ln_" in name or "ln_f" in name:
        if leaf == "bias":
            return 0.2 * noise
        # q and k norms set how sharp attention is
        more = 0.4 if "q_norm" in name or "k_norm" in name else 0.0
        # Gemma 2 and 3 normalize what a layer adds: it must not drown in the scaled embedding
        if architecture in ("Gemma2", "Gemma3") and ".post_" in name:
            more = 3.0
        return norm_offset(architecture) + more + 0.2 * noise
    if leaf == "bias":
        return 0.3 * noise
    inputs = shape[0] if architecture == "GPT2" and ".h." in f".{name}" else shape[1]
    if "wpe" in name:
        return 0.2 * noise
    if "lm_head" in name:
        return 3.0 / math.sqrt(inputs) * noise
    if "embed_tokens" in name or "wte" in name:
        return (3.0 / math.sqrt(inputs) if tied else 0.6) * noise
    gain = 1.0
    if "q_proj" in name or "k_proj" in name or "qkv_proj" in name or "c_attn" in name:
        gain = 1.3
    if "o_proj" in name or "down_proj" in name or "c_proj" in name:
        # the layers, not the token itself, decide the next token of a tied model
        gain = 10.0 if architecture == "Gemma" else 4.0 if tied else 2.5
    return gain / math.sqrt(inputs) * noise


def logits_of(model, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=ids[None], use_cache=False).logits[0].double()


def greedy(model, ids: torch.Tensor, steps: int) -> tuple[list[int], list[float]]:
    """Each step anew from all tokens: nothing here depends on a cache."""
    ids, out, margins = ids.clone(), [], []
    for _ in range(steps):
        last = logits_of(model, ids)[-1]
        top = last.topk(2).values
        out.append(int(last.argmax()))
        margins.append(float(top[0] - top[1]))
        ids = torch.cat([ids, torch.tensor([out[-1]])])
    return out, margins


def load(folder: Path):
    """The checkpoint of a folder, in float64; fails on any weight that is missing or left over."""
    config = transformers.AutoConfig.from_pretrained(folder)
    # else constants such as Gemma's scale of the embedding would be rounded to the weights' type
    config.torch_dtype = torch.float32
    model = getattr(transformers, config.architectures[0])._from_config(config, attn_implementation="eager")
    weights = {}
    for file in sorted(folder.glob("*.safetensors")):
        weights |= load_file(file)
    weights = {k: v for k, v in weights.items() if not k.endswith((".attn.bias", ".attn.masked_bias"))}
    if isinstance(model, transformers.GPT2LMHeadModel):
        weights = {k if k.startswith("transformer.") else f"transformer.{k}": v for k, v in weights.items()}
    model = in_float64(model)
    lost = model.load_state_dict({k: v.double() for k, v in weights.items()}, strict=False)
    assert not lost.unexpected_keys, lost
    assert set(lost.missing_keys) <= {"lm_head.weight"}, lost
    model.tie_weights()
    assert not lost.missing_keys or config.tie_word_embeddings
    # buffers are computed once more, now in float64
    for module in model.modules():
        if hasattr(module, "inv_freq") and hasattr(module, "original_inv_freq"):
            assert torch.isfinite(module.inv_freq).all()
    return model


def write_checkpoint(folder: Path, weights: dict, dtype, files: int, architecture: str) -> None:
    for old in folder.glob("model*.safetensors*"):
        old.unlink()
    weights = {k: v.to(dtype).contiguous() for k, v in weights.items()}
    if architecture == "GPT2":
        # as the published GPT-2: no prefix, and the causal mask among the weights
        weights = {k.removeprefix("transformer."): v for k, v in weights.items()}
        n = 64
        for layer in {k.split(".")[1] for k in weights if k.startswith("h.")}:
            weights[f"h.{layer}.attn.bias"] = torch.tril(torch.ones(1, 1, n, n, dtype=torch.uint8))
    names = sorted(weights)
    if files == 1:
        save_file({k: weights[k] for k in names}, folder / "model.safetensors", metadata={"format": "pt"})
        return
    index, total = {}, 0
    for i in range(files):
        part = {k: weights[k] for k in names[i::files]}
        name = f"model-{i + 1:05}-of-{files:05}.safetensors"
        save_file(part, folder / name, metadata={"format": "pt"})
        index |= {k: name for k in part}
        total += sum(v.numel() * v.element_size() for v in part.values())
    text = {"metadata": {"total_size": total}, "weight_map": dict(sorted(index.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(text, indent=1) + "\n")


def make(name: str) -> None:
    architecture, dtype, files, values = MODELS[name]
    config_class, model_class = CLASSES[architecture]
    values = {k: v for k, v in values.items() if v is not None or k == "sliding_window"}
    config = getattr(transformers, config_class)(**values, architectures=[model_class])
    config.torch_dtype = dtype
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    if name == "qwen2":
        plain = values | dict(architectures=[model_class], model_type="qwen2", torch_dtype="bfloat16")
        (folder / "config.json").write_text(json.dumps(plain, indent=2) + "\n")
        config = transformers.AutoConfig.from_pretrained(folder)
    else:
        config.save_pretrained(folder)
    model = getattr(transformers, model_class)._from_config(config, attn_implementation="eager")
    tied = bool(config.tie_word_embeddings)
    shapes = {k: tuple(v.shape) for k, v in model.state_dict().items() if not (tied and k == "lm_head.weight")}
    best = None
    for seed in range(12):
        rng = torch.Generator().manual_seed(1000 * sorted(MODELS).index(name) + seed)
        weights = {k: draw(k, s, architecture, tied, rng) for k, s in sorted(shapes.items())}
        write_checkpoint(folder, weights, dtype, files, architecture)
        model = load(folder)
        ids = torch.randint(3, config.vocab_size, (LENGTH,), generator=rng)
        logits = logits_of(model, ids)
        out, margins = greedy(model, ids, STEPS)
        clear = min(margins) > 0.01 * float(logits.abs().max())
        score = (clear, min(len(set(out)), 6), min(margins))
        if best is None or score > best[0]:
            best = (score, weights, ids, logits, out, margins, seed)
        if clear and len(set(out)) >= 6:
            break
    score, weights, ids, logits, out, margins, seed = best
    assert score[0], f"{name}: no seed without a near tie"
    write_checkpoint(folder, weights, dtype, files, architecture)
    np.save(folder / "ids.npy", ids.numpy())
    np.save(folder / "logits.npy", logits.numpy().astype(np.float32))
    cases = [dict(ids="ids.npy", logits="logits.npy", shape=list(logits.shape), absmax=float(logits.abs().max()))]
    if name == "phi3_longrope":
        short = ids[:12]
        logits = logits_of(model, short)
        np.save(folder / "ids_12.npy", short.numpy())
        np.save(folder / "logits_12.npy", logits.numpy().astype(np.float32))
        cases.append(dict(ids="ids_12.npy", logits="logits_12.npy", shape=list(logits.shape),
                          absmax=float(logits.abs().max()), context=16))
    refs = dict(context=CONTEXT, cases=cases, greedy_from=ids.tolist(), greedy_ids=out,
                greedy_margins=[round(m, 5) for m in margins],
                note=f"random weights (seed {seed}), transformers {transformers.__version__} in float64")
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        ids = torch.randint(3, config.vocab_size, (LONG,), generator=torch.Generator().manual_seed(seed))
        last = logits_of(load(folder), ids)[-LAST:]
        np.save(folder / "ids_long.npy", ids.numpy())
        np.save(folder / "logits_long.npy", last.numpy().astype(np.float32))
        refs["long"] = dict(context=LONG_CONTEXT, ids="ids_long.npy", logits="logits_long.npy", last=LAST)
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in refs.items())
    (folder / "refs.json").write_text("{\n" + lines + "\n}\n")
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name}: seed {seed}, |logits| <= {cases[0]['absmax']:.2f}, smallest margin {min(margins):.3f}, "
          f"{len(set(out))} different tokens, {size} bytes")


def check(folder: Path) -> None:
    """Compares what lies beside a checkpoint with what this machine's transformers computes from it."""
    refs = json.loads((folder / "refs.json").read_text())
    model = load(folder)
    for case in refs["cases"]:
        ids = torch.from_numpy(np.load(folder / case["ids"])).flatten()
        want = torch.from_numpy(np.load(folder / case["logits"])).double().reshape(len(ids), -1)
        got = logits_of(model, ids)
        error = float((got - want).abs().max() / want.abs().max())
        print(f"{folder.name} {case['ids']}: error {error:.1e} of max |logit|")
        assert error < 1e-5, folder
    if "long" in refs:
        ids = torch.from_numpy(np.load(folder / refs["long"]["ids"]))
        want = torch.from_numpy(np.load(folder / refs["long"]["logits"])).double()
        error = float((logits_of(model, ids)[-len(want):] - want).abs().max() / want.abs().max())
        assert error < 1e-5, (folder, error)
    out, margins = greedy(model, torch.tensor(refs["greedy_from"]), len(refs["greedy_ids"]))
    assert out == refs["greedy_ids"], (folder, out)


def main() -> None:
    args = sys.argv[1:]
    if args[:1] == ["--check"]:
        for folder in args[1:]:
            check(Path(folder))
        return
    v5 = int(transformers.__version__.split(".")[0]) >= 5
    for name in args or MODELS:
        new = name.endswith("_v5") or name in ("smollm3", "qwen2")
        if args or (new == v5 and not (HERE / name / "refs.json").exists()):
            make(name)


if __name__ == "__main__":
    main()
