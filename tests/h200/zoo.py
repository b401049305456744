#!/usr/bin/env python3
"""Networks that nobody tuned for: exports many torchvision, timm and transformers models with random
weights, verifies each through `driftc verify` against PyTorch in f32, and prints a table.

  python3 tests/h200/zoo.py path/to/driftc [NAME ...]
"""
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import torch

warnings.filterwarnings("ignore")
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
# the fused attention of inference has no ONNX form
torch.backends.mha.set_fastpath_enabled(False)


def vision():
    import torchvision.models as m

    names = """squeezenet1_1 shufflenet_v2_x1_0 mobilenet_v3_small mobilenet_v3_large efficientnet_b0
    mnasnet0_5 regnet_y_400mf resnet18 densenet121 googlenet convnext_tiny vit_b_16 swin_t""".split()
    for n in names:
        kw = {"init_weights": False, "aux_logits": False} if n == "googlenet" else {}
        yield n, lambda n=n, kw=kw: (getattr(m, n)(weights=None, **kw), (torch.randn(1, 3, 224, 224),))
    seg = m.segmentation
    yield "lraspp", lambda: (
        Dict(seg.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)),
        (torch.randn(1, 3, 192, 192),),
    )
    yield "deeplabv3", lambda: (
        Dict(seg.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None)),
        (torch.randn(1, 3, 192, 192),),
    )


class Dict(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)["out"]


def timm_models():
    import timm

    for n in "ghostnet_100 mobilevit_xxs lcnet_050 repvgg_a0 edgenext_xx_small mixer_s32_224".split():
        yield n, lambda n=n: (timm.create_model(n, pretrained=False), (torch.randn(1, 3, 224, 224),))


class Hidden(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, *a):
        return self.net(*a)[0]


def language():
    import transformers as t

    ids = torch.randint(3, 100, (1, 24))
    small = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=100)
    yield "bert", lambda: (Hidden(t.BertModel(t.BertConfig(intermediate_size=128, **small))), (ids, torch.ones_like(ids)))
    yield "distilbert", lambda: (
        Hidden(t.DistilBertModel(t.DistilBertConfig(dim=64, n_layers=2, n_heads=4, hidden_dim=128, vocab_size=100))),
        (ids, torch.ones_like(ids)),
    )
    yield "gpt2", lambda: (
        Hidden(t.GPT2Model(t.GPT2Config(n_embd=64, n_layer=2, n_head=4, vocab_size=100, use_cache=False, attn_implementation="eager"))),
        (ids,),
    )
    yield "whisper_encoder", lambda: (
        Hidden(
            t.WhisperModel(
                t.WhisperConfig(d_model=64, encoder_layers=2, decoder_layers=1, encoder_attention_heads=4,
                                decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128)
            ).encoder
        ),
        (torch.randn(1, 80, 3000),),
    )
    yield "wav2vec2", lambda: (
        Hidden(t.Wav2Vec2Model(t.Wav2Vec2Config(intermediate_size=128, conv_dim=[32] * 7,
                                                num_conv_pos_embedding_groups=4, **{**small, "vocab_size": 32}))),
        (torch.randn(1, 8000),),
    )


class UNet(torch.nn.Module):
    """Instance norms, transposed convolutions, skip concats."""

    def __init__(self):
        super().__init__()
        c = lambda i, o, s=1: torch.nn.Sequential(torch.nn.Conv2d(i, o, 3, s, 1), torch.nn.InstanceNorm2d(o, affine=True), torch.nn.LeakyReLU(0.2))
        self.a, self.b, self.c = c(3, 16), c(16, 24, 2), c(24, 40, 2)
        self.u1, self.u2 = torch.nn.ConvTranspose2d(40, 24, 4, 2, 1), torch.nn.ConvTranspose2d(48, 16, 2, 2)
        self.out = torch.nn.Conv2d(32, 5, 1)

    def forward(self, x):
        a = self.a(x)
        b = self.b(a)
        y = torch.cat([self.u1(self.c(b)), b], 1)
        y = torch.cat([self.u2(y), a], 1)
        return torch.softmax(self.out(y), 1)


class Audio(torch.nn.Module):
    """1-D convolutions with dilation, GRU and LSTM."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Sequential(torch.nn.Conv1d(1, 20, 9, 4, 4), torch.nn.PReLU(20), torch.nn.Conv1d(20, 30, 5, 2, 4, 2), torch.nn.ELU())
        self.gru = torch.nn.GRU(30, 48, 2, batch_first=True, bidirectional=True)
        self.lstm = torch.nn.LSTM(96, 40, batch_first=True)
        self.head = torch.nn.Linear(40, 7)

    def forward(self, x):
        y = self.conv(x).transpose(1, 2)
        return torch.log_softmax(self.head(self.lstm(self.gru(y)[0])[0]), -1)


def own():
    yield "unet_instance_norm", lambda: (UNet(), (torch.randn(1, 3, 64, 72),))
    yield "audio_rnn", lambda: (Audio(), (torch.randn(1, 1, 1600),))


def main():
    driftc, only = sys.argv[1], sys.argv[2:]
    rows = []
    for source in (own, vision, timm_models, language):
        try:
            models = list(source())
        except Exception as e:  # a package that this machine lacks
            print(f"{source.__name__}: {e}")
            continue
        for name, make in models:
            if only and name not in only:
                continue
            rows.append((name, *check(driftc, name, make)))
            print(f"{name:<22} {rows[-1][1]}", flush=True)
    bad = [r[0] for r in rows if not r[1].startswith("ok")]
    print(f"{len(rows) - len(bad)} passed, {len(bad)} failed: {' '.join(bad)}")
    return 1 if bad else 0


def check(driftc, name, make):
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as d:
        d = pathlib.Path(d)
        try:
            net, args = make()
            net.eval()
            # batch norms with statistics that matter
            for b in net.modules():
                if isinstance(b, torch.nn.modules.batchnorm._BatchNorm):
                    b.running_mean.normal_(0, 0.1)
                    b.running_var.uniform_(0.5, 1.5)
            with torch.no_grad():
                want = net(*args)
                names = [f"in{i}" for i in range(len(args))]
                torch.onnx.export(net, args, str(d / "m.onnx"), input_names=names, output_names=["out"],
                                  opset_version=17, dynamo=False)
        except Exception as e:
            return (f"export: {str(e).splitlines()[0][:160]}",)
        cmd = [driftc, "verify", str(d / "m.onnx"), "--expect", f"out={d / 'out.npy'}"]
        for n, a in zip(names, args):
            np.save(d / f"{n}.npy", a.numpy())
            cmd += ["--input", f"{n}={d / n}.npy"]
        np.save(d / "out.npy", want.detach().numpy())
        results = []
        for extra in (["--target", "vulkan-modern"], ["--target", "nvidia-h200", "--precision", "mixed"]):
            start = time.time()
            r = subprocess.run(cmd + extra, capture_output=True, text=True, timeout=300)
            text = (r.stdout.splitlines() or [""])[-1] if r.returncode == 0 else r.stderr.strip()[:300]
            error = text.split("(")[-1].split(" of")[0] if r.returncode == 0 else text
            results.append(f"{'ok' if r.returncode == 0 else f'rc {r.returncode}'} {error} {time.time() - start:.1f}s")
        good = all(r.startswith("ok") for r in results)
        return (("ok   " if good else "FAIL ") + " | ".join(results),)


if __name__ == "__main__":
    sys.exit(main())
