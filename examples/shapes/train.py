#!/usr/bin/env python3
"""Trains the embedded demo model: which of eight shapes is drawn in a 32x32 picture?

The data is generated here (circles, rings, squares, triangles, crosses, stars, stripes, dots, each
at a random size, place, rotation and contrast under noise), so model and pictures are free of
anybody's rights. Writes, beside this file:

  shapes.onnx     the network, batch normalization not folded, dynamic batch
  pictures.npy    u8 [16, 32, 32], two test pictures per class
  labels.npy      u8 [16]
  logits.npy      f32 [16, 8], PyTorch's answers for the pictures

Needs numpy and torch (with onnx); about a minute on one GPU, a few on a CPU:

  python3 examples/shapes/train.py
"""
import math
import pathlib

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent
CLASSES = ["circle", "ring", "square", "triangle", "cross", "star", "stripes", "dots"]
SIZE = 32


def draw(kind, rng):
    """One picture as floats 0..1, anti-aliased by 3x3 supersampling."""
    n = SIZE * 3
    y, x = np.mgrid[0:n, 0:n] / n * 2 - 1
    r = rng.uniform(0.45, 0.8)
    cx, cy = rng.uniform(-0.2, 0.2, 2)
    a = rng.uniform(0, 2 * math.pi)
    u = ((x - cx) * math.cos(a) + (y - cy) * math.sin(a)) / r
    v = (-(x - cx) * math.sin(a) + (y - cy) * math.cos(a)) / r
    d = np.hypot(u, v)
    if kind == 0:
        m = d < 0.9
    elif kind == 1:
        m = (d < 0.95) & (d > rng.uniform(0.5, 0.65))
    elif kind == 2:
        m = np.maximum(abs(u), abs(v)) < 0.75
    elif kind == 3:
        m = (v > -0.5) & (v < 1.0 - math.sqrt(3) * abs(u))
    elif kind == 4:
        w = rng.uniform(0.18, 0.3)
        m = ((abs(u) < w) | (abs(v) < w)) & (np.maximum(abs(u), abs(v)) < 0.95)
    elif kind == 5:
        t = np.arctan2(v, u)
        m = d < 0.4 + 0.55 * np.abs(((t * 5 / (2 * math.pi)) % 1) * 2 - 1) ** 1.5
    elif kind == 6:
        m = (np.sin(u * rng.uniform(7, 10)) > 0) & (d < 1.0)
    else:
        s = rng.uniform(0.55, 0.7)
        m = np.hypot((u % s) - s / 2, (v % s) - s / 2) < s * 0.3
        m &= d < 1.1
    p = m.reshape(SIZE, 3, SIZE, 3).mean((1, 3))
    lo, hi = rng.uniform(0.0, 0.35), rng.uniform(0.65, 1.0)
    if rng.random() < 0.5:
        lo, hi = hi, lo
    p = lo + (hi - lo) * p
    return np.clip(p + rng.normal(0, rng.uniform(0.01, 0.1), p.shape), 0, 1)


def batch(count, rng):
    kinds = rng.integers(0, len(CLASSES), count)
    pictures = np.stack([draw(k, rng) for k in kinds])
    return np.round(pictures * 255).astype(np.uint8), kinds


class Block(nn.Module):
    """Depthwise-separable residual block."""

    def __init__(self, c):
        super().__init__()
        self.dw = nn.Conv2d(c, c, 3, padding=1, groups=c, bias=False)
        self.n1 = nn.BatchNorm2d(c)
        self.pw = nn.Conv2d(c, c, 1, bias=False)
        self.n2 = nn.BatchNorm2d(c)

    def forward(self, x):
        y = F.hardswish(self.n1(self.dw(x)))
        return F.relu(x + self.n2(self.pw(y)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 24, 3, stride=2, padding=1, bias=False)
        self.n0 = nn.BatchNorm2d(24)
        self.a = Block(24)
        self.down = nn.Conv2d(24, 48, 3, stride=2, padding=1, bias=False)
        self.n1 = nn.BatchNorm2d(48)
        self.b = Block(48)
        self.c = Block(48)
        self.head = nn.Linear(48, len(CLASSES))

    def forward(self, x):
        x = x / 255.0 - 0.5
        x = F.silu(self.n0(self.stem(x)))
        x = self.a(x)
        x = F.silu(self.n1(self.down(x)))
        x = self.c(self.b(x))
        return self.head(x.mean((2, 3)))


def main():
    torch.manual_seed(7)
    rng = np.random.default_rng(7)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pictures, kinds = batch(24_000, rng)
    x = torch.tensor(pictures, dtype=torch.float32, device=device)[:, None]
    t = torch.tensor(kinds, device=device)
    net = Net().to(device)
    epochs, size = 14, 128
    opt = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-3)
    sched = torch.optim.lr_scheduler.OneCycleLR(opt, 6e-3, epochs * (len(x) // size))
    for epoch in range(epochs):
        net.train()
        order = torch.randperm(len(x), device=device)
        for i in range(len(x) // size):
            pick = order[i * size : (i + 1) * size]
            loss = F.cross_entropy(net(x[pick]), t[pick], label_smoothing=0.05)
            opt.zero_grad()
            loss.backward()
            opt.step()
            sched.step()
        print(f"epoch {epoch + 1}/{epochs} loss {loss.item():.4f}", flush=True)
    net.eval().cpu()
    test, want = batch(2_000, np.random.default_rng(8))
    with torch.no_grad():
        got = net(torch.tensor(test, dtype=torch.float32)[:, None]).argmax(1).numpy()
    print(f"test accuracy {100 * (got == want).mean():.2f} %")
    keep = [i for k in range(len(CLASSES)) for i in np.flatnonzero((want == k) & (got == want))[:2]]
    pictures = test[keep]
    with torch.no_grad():
        logits = net(torch.tensor(pictures, dtype=torch.float32)[:, None]).numpy()
    np.save(HERE / "pictures.npy", pictures)
    np.save(HERE / "labels.npy", want[keep].astype(np.uint8))
    np.save(HERE / "logits.npy", logits)
    torch.onnx.export(
        net,
        torch.zeros(1, 1, SIZE, SIZE),
        str(HERE / "shapes.onnx"),
        input_names=["picture"],
        output_names=["logits"],
        dynamic_axes={"picture": {0: "batch"}, "logits": {0: "batch"}},
        opset_version=17,
        do_constant_folding=False,
        # keep batch normalization as it is: folding it is the compiler's work
        training=torch.onnx.TrainingMode.PRESERVE,
        dynamo=False,
    )
    print((HERE / "shapes.onnx").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
