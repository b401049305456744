"""The denoising network of Stable Diffusion 1.4 with random weights, as ONNX.

    python3 unet.py FOLDER [--width 320] [--side 64] [--expect]

writes FOLDER/unet.onnx (opset 17, weights beside it in unet.weights) with the inputs `sample` 1x4x64x64,
`timestep` (1) and `context` 1x77x768, and the output `noise` 1x4x64x64: 860 million parameters. `--expect` adds
FOLDER/unet.*.npy, inputs and what PyTorch answers to them in f32. The architecture is that of diffusers'
UNet2DConditionModel with the model's published configuration (four levels of 320, 640, 1280 and 1280 channels, two
residual blocks each and three on the way up, attention of eight heads on all but the lowest), written out so that
it needs PyTorch and onnx only.
"""

import argparse
import math
import pathlib
import sys

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

HEADS = 8


class Linear(nn.Module):
    """`x @ weight`: no transposition of 860 million parameters in the graph."""

    def __init__(self, inside: int, outside: int, bias: bool = True) -> None:
        super().__init__()
        bound = inside**-0.5
        self.weight = nn.Parameter(torch.empty(inside, outside).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outside).uniform_(-bound, bound)) if bias else None

    def forward(self, x):
        x = x @ self.weight
        return x if self.bias is None else x + self.bias


class Residual(nn.Module):
    def __init__(self, inside: int, outside: int, time: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(32, inside), nn.GroupNorm(32, outside)
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1)
        self.time = Linear(time, outside)
        self.skip = nn.Conv2d(inside, outside, 1) if inside != outside else nn.Identity()

    def forward(self, x, time):
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time(F.silu(time))[:, :, None, None]
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class Attention(nn.Module):
    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.scale = (width // HEADS) ** -0.5
        self.q = Linear(width, width, bias=False)
        self.k = Linear(context, width, bias=False)
        self.v = Linear(context, width, bias=False)
        self.out = Linear(width, width)

    def forward(self, x, context):
        def heads(t):
            return t.view(1, int(t.shape[1]), HEADS, -1).transpose(1, 2)

        q, k, v = heads(self.q(x)), heads(self.k(context)), heads(self.v(context))
        scores = (q @ k.transpose(2, 3)) * self.scale
        h = torch.softmax(scores, dim=-1) @ v
        return self.out(h.transpose(1, 2).reshape(1, int(x.shape[1]), -1))


class Transformer(nn.Module):
    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, width, eps=1e-6)
        self.enter, self.leave = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.own, self.cross = Attention(width, width), Attention(width, context)
        self.wide, self.narrow = Linear(width, 8 * width), Linear(4 * width, width)

    def forward(self, x, context):
        c, high, across = map(int, x.shape[1:])
        h = self.enter(self.norm(x)).permute(0, 2, 3, 1).reshape(1, high * across, c)
        n = self.norms[0](h)
        h = h + self.own(n, n)
        h = h + self.cross(self.norms[1](h), context)
        wide = self.wide(self.norms[2](h))
        value, gate = wide[..., : 4 * c], wide[..., 4 * c :]
        h = h + self.narrow(value * F.gelu(gate))
        return x + self.leave(h.reshape(1, high, across, c).permute(0, 3, 1, 2))


class Block(nn.Module):
    """A residual block, and attention where there is some."""

    def __init__(self, inside: int, outside: int, time: int, context: int, attends: bool) -> None:
        super().__init__()
        self.residual = Residual(inside, outside, time)
        self.attention = Transformer(outside, context) if attends else None

    def forward(self, x, time, context):
        x = self.residual(x, time)
        return x if self.attention is None else self.attention(x, context)


class UNet(nn.Module):
    def __init__(self, width: int, context: int = 768) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 4 * width]
        time = 4 * width
        steps = torch.arange(width // 2, dtype=torch.float32)
        self.register_buffer("frequencies", torch.exp(steps * (-2.0 * math.log(10000.0) / width)))
        self.time = nn.Sequential(Linear(width, time), nn.SiLU(), Linear(time, time))
        self.first = nn.Conv2d(4, width, 3, padding=1)
        skips, now = [width], width
        self.down, self.reduce = nn.ModuleList(), nn.ModuleList()
        for level, w in enumerate(widths):
            for _ in range(2):
                self.down.append(Block(now, w, time, context, level < 3))
                now = w
                skips.append(now)
            if level < 3:
                self.reduce.append(nn.Conv2d(now, now, 3, stride=2, padding=1))
                skips.append(now)
        self.middle = Block(now, now, time, context, True)
        self.middle_last = Residual(now, now, time)
        self.up, self.enlarge = nn.ModuleList(), nn.ModuleList()
        for level, w in reversed(list(enumerate(widths))):
            for _ in range(3):
                self.up.append(Block(now + skips.pop(), w, time, context, level < 3))
                now = w
            if level > 0:
                self.enlarge.append(nn.Conv2d(now, now, 3, padding=1))
        self.norm, self.last = nn.GroupNorm(32, now), nn.Conv2d(now, 4, 3, padding=1)

    def forward(self, sample, timestep, context):
        angles = timestep[:, None] * self.frequencies[None]
        time = self.time(torch.cat([angles.cos(), angles.sin()], dim=-1))
        x = self.first(sample)
        skips = [x]
        for i, block in enumerate(self.down):
            x = block(x, time, context)
            skips.append(x)
            if i % 2 == 1 and i // 2 < 3:
                x = self.reduce[i // 2](x)
                skips.append(x)
        x = self.middle_last(self.middle(x, time, context), time)
        for i, block in enumerate(self.up):
            x = block(torch.cat([x, skips.pop()], dim=1), time, context)
            if i % 3 == 2 and i // 3 < 3:
                x = self.enlarge[i // 3](F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.last(F.silu(self.norm(x)))


def export(model: UNet, inputs: dict[str, torch.Tensor], folder: pathlib.Path) -> None:
    """The exporter writes the graph alone: with the weights it would be more than a protobuf message holds."""
    path = folder / "unet.onnx"
    torch.onnx.export(
        model, tuple(inputs.values()), str(path), dynamo=False, opset_version=17, export_params=False,
        do_constant_folding=False, input_names=list(inputs), output_names=["noise"])
    proto = onnx.load(str(path))
    weights = dict(model.named_parameters()) | dict(model.named_buffers())
    kept = [i for i in proto.graph.input if i.name not in weights]
    used = [i.name for i in proto.graph.input if i.name in weights]
    offset = 0
    with open(folder / "unet.weights", "wb") as file:
        for name in used:
            data = weights[name].detach().cpu().numpy()
            tensor = proto.graph.initializer.add()
            tensor.name, tensor.data_type = name, onnx.TensorProto.FLOAT
            tensor.dims.extend(data.shape)
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in [("location", "unet.weights"), ("offset", offset), ("length", data.nbytes)]:
                tensor.external_data.add(key=key, value=str(value))
            data.tofile(file)
            offset += data.nbytes
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    onnx.save(proto, str(path))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--expect", action="store_true")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    with torch.no_grad():
        model = UNet(args.width).eval()
        inputs = {
            "sample": torch.randn(1, 4, args.side, args.side),
            "timestep": torch.full((1,), 500.0),
            "context": torch.randn(1, 77, 768),
        }
        export(model, inputs, args.folder)
        if args.expect:
            inputs["noise"] = model.to(device)(*(x.to(device) for x in inputs.values()))
            for name, value in inputs.items():
                np.save(args.folder / f"unet.{name}.npy", value.cpu().numpy())
    count = sum(p.numel() for p in model.parameters())
    print(f"unet: {count / 1e6:.1f} million parameters", file=sys.stderr)


if __name__ == "__main__":
    main()
