"""Exports torchvision's ResNet-50 and MobileNetV2 with random weights, and what they should answer.

    python3 export.py FOLDER

writes for each model NAME.onnx (opset 17, input `x` of 1x3x224x224, output `y` of 1x1000),
NAME.x.npy and NAME.y.npy (PyTorch's result on the CPU in f32). Seeds are fixed.

Random weights alone would let activations grow or vanish over fifty layers; batch normalization
gets the statistics of one random batch, as a trained network has those of its data.
"""

import pathlib
import sys

import numpy as np
import torch
import torchvision


def calibrated(model: torch.nn.Module) -> torch.nn.Module:
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for m in norms:
        m.momentum = 1.0
    model.train()
    with torch.no_grad():
        model(torch.randn(8, 3, 224, 224))
    return model.eval()


def main(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ["resnet50", "mobilenet_v2"]:
        torch.manual_seed(1)
        model = calibrated(getattr(torchvision.models, name)(weights=None))
        x = torch.randn(1, 3, 224, 224)
        with torch.no_grad():
            y = model(x)
        path = str(folder / f"{name}.onnx")
        names = {"input_names": ["x"], "output_names": ["y"], "opset_version": 17}
        torch.onnx.export(model, (x,), path, dynamo=False, **names)
        np.save(folder / f"{name}.x.npy", x.numpy())
        np.save(folder / f"{name}.y.npy", y.numpy())
        print(f"{name}: output {y.abs().max().item():.3f} at most", file=sys.stderr)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
