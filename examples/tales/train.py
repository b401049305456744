"""Trains the language model that `driftc demo` speaks with, and writes it as a Hugging Face folder.

    python3 train.py [--device cuda] [--output FOLDER]

Needs torch, tokenizers, transformers and safetensors. Llama architecture, 464,928 parameters, trained
on the stories of corpus.py only: 49 million tokens, 70 seconds on a large GPU (loss 0.2499 on unseen
stories; what the grammar leaves to chance is nearly all of that). Another machine gives other bytes:
the committed model is one run's. Prints the loss and tells some stories.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from corpus import stories

CONTEXT = 512
UNKNOWN, BEGIN, END = 0, 1, 2
CONFIG = dict(
    vocab_size=512, hidden_size=96, intermediate_size=192, num_hidden_layers=5, num_attention_heads=6,
    num_key_value_heads=3, max_position_embeddings=CONTEXT, tie_word_embeddings=True, rms_norm_eps=1e-5,
    rope_theta=10000.0, bos_token_id=BEGIN, eos_token_id=END, initializer_range=0.05,
)
# Spelled out, as readers of older configuration files expect it.
WRITTEN = CONFIG | dict(
    architectures=["LlamaForCausalLM"], model_type="llama", head_dim=16, hidden_act="silu", attention_bias=False,
    mlp_bias=False, rope_scaling=None, torch_dtype="float16",
)


def make_tokenizer() -> Tokenizer:
    """Byte-pair encoding over printable ASCII; any other character is `<unk>`."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    byte_level = {" ": "\u0120", "\n": "\u010a"}
    alphabet = [byte_level.get(c, c) for c in map(chr, [10, *range(32, 127)])]
    trainer = trainers.BpeTrainer(vocab_size=CONFIG["vocab_size"], special_tokens=["<unk>", "<s>", "</s>"],
                                  initial_alphabet=alphabet, show_progress=False)
    source = stories(7)
    tokenizer.train_from_iterator((next(source) for _ in range(20000)), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BEGIN)])
    return tokenizer


def rows(tokenizer: Tokenizer, seed: int, count: int, batch: int):
    """Batches [batch, CONTEXT+1] of stories one after the other, each row from the start of one."""
    source = stories(seed)
    ids, starts = [], []
    for encoded in tokenizer.encode_batch([next(source) for _ in range(count)]):
        starts.append(len(ids))
        ids += encoded.ids + [END]
    ids = torch.tensor(ids)
    starts = torch.tensor([s for s in starts if s + CONTEXT < len(ids)])
    print(f"{count} stories, {len(ids)} tokens", flush=True)
    chosen = torch.Generator().manual_seed(seed)
    while True:
        first = starts[torch.randint(len(starts), (batch,), generator=chosen)]
        yield ids[first[:, None] + torch.arange(CONTEXT + 1)]


def loss_of(model, batch: torch.Tensor) -> torch.Tensor:
    logits = model(input_ids=batch[:, :-1], use_cache=False).logits.float()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())


def train(tokenizer: Tokenizer, steps: int, batch: int, count: int, device: str) -> LlamaForCausalLM:
    torch.manual_seed(1)
    torch.set_float32_matmul_precision("high")
    model = LlamaForCausalLM(LlamaConfig(**CONFIG)).to(device)
    print(sum(p.numel() for p in model.parameters()), "parameters")
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [dict(params=matrices, weight_decay=0.05), dict(params=vectors, weight_decay=0.0)]
    peak = 4e-3
    optimizer = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98))
    unseen = next(rows(tokenizer, 999, 500, 32)).to(device)
    data, start = rows(tokenizer, 11, count, batch), time.time()
    for step in range(steps):
        warm = min(1.0, (step + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = peak * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        loss = loss_of(model, next(data).to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 99 or step + 1 == steps:
            with torch.no_grad():
                print(f"step {step + 1}: loss {loss.item():.4f}, on unseen stories {loss_of(model, unseen).item():.4f}, "
                      f"{time.time() - start:.0f} s", flush=True)
    return model.cpu().eval()


def write(folder: Path, model: LlamaForCausalLM, tokenizer: Tokenizer) -> None:
    folder.mkdir(exist_ok=True)
    weights = {k: v.detach().half().contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(WRITTEN, indent=2) + "\n")
    generation = dict(bos_token_id=BEGIN, eos_token_id=END, do_sample=True, temperature=0.8, top_k=40)
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(
        tokenizer_class="PreTrainedTokenizerFast", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        add_bos_token=True, clean_up_tokenization_spaces=False, model_max_length=CONTEXT), indent=2) + "\n")


@torch.no_grad()
def greedy(model: LlamaForCausalLM, tokenizer: Tokenizer, prompt: str, limit: int) -> dict:
    """What the stored model goes on with in float64, and how clear each choice is."""
    ids = tokenizer.encode(prompt).ids
    told, margins = [], []
    while len(told) < limit and (not told or told[-1] != END):
        last = model(input_ids=torch.tensor([ids + told]), use_cache=False).logits[0, -1]
        best = last.topk(2).values
        told.append(int(last.argmax()))
        margins.append(round(float(best[0] - best[1]), 4))
    text = tokenizer.decode(ids + told)
    return dict(prompt=prompt, prompt_ids=ids, greedy_ids=told, margins=margins, text=text)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--stories", type=int, default=100_000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parent)
    args = parser.parse_args()
    tokenizer = make_tokenizer()
    model = train(tokenizer, args.steps, args.batch, args.stories, args.device)
    write(args.output, model, tokenizer)
    model = model.half().double()  # as it was stored
    prompts = ["Once upon a time", "Once there was a brave mouse named Zoe.", "One day Tom found a red key."]
    answers = [greedy(model, tokenizer, prompt, 300) for prompt in prompts]
    text = ",\n".join(json.dumps(answer) for answer in answers)
    (args.output / "greedy_f64.json").write_text(f"[\n{text}\n]\n")
    for answer in answers:
        print("\n" + answer["text"])


if __name__ == "__main__":
    main()
