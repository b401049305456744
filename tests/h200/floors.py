"""Prints a table of measured times and of what the hardware allows.

    python3 floors.py NAME=NAME.onnx,NAME.bench.json ...

The floor of a model is the larger of two times: its multiply-adds at the rate that a large matrix
product reaches (measured with PyTorch, bf16, random data), and its weights, read once, at the rate of
a device copy (measured); plus what its dispatches cost when they are empty (measured).
"""

import json
import sys

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

COPY_GB_PER_S = 4277.0
MATRIX_TFLOPS = 790.0
EMPTY_DISPATCH_US = 2.2


def work(path: str) -> tuple[float, float]:
    """Floating-point operations, and bytes of weights in f16."""
    model = shape_inference.infer_shapes(onnx.load(path))
    graph = model.graph
    dims = lambda v: [d.dim_value for d in v.type.tensor_type.shape.dim]
    shapes = {v.name: dims(v) for v in [*graph.value_info, *graph.input, *graph.output]}
    weights = {t.name: list(t.dims) for t in graph.initializer}
    flops = 0
    for node in graph.node:
        if node.op_type == "Conv":
            flops += 2 * np.prod(shapes[node.output[0]]) * np.prod(weights[node.input[1]][1:])
        elif node.op_type == "Gemm":
            flops += 2 * np.prod(weights[node.input[1]])
    return float(flops), 2.0 * sum(np.prod(w) for w in weights.values())


def main() -> None:
    head = ["model", "GPU ms", "dispatches", "GFLOP", "floor: matrix us", "weights us", "dispatches us"]
    print("| " + " | ".join(head) + " | open to first result ms |")
    print("|---" * (len(head) + 1) + "|")
    for arg in sys.argv[1:]:
        name, files = arg.split("=")
        model, bench = files.split(",")
        flops, size = work(model)
        b = json.load(open(bench))
        count = sum(k["dispatches"] for k in b["kernels"])
        row = [
            name,
            f"{b['gpu_median_nanos'] / 1e6:.3f}",
            f"{count}",
            f"{flops / 1e9:.2f}",
            f"{flops / MATRIX_TFLOPS / 1e6:.1f}",
            f"{size / COPY_GB_PER_S / 1e3:.1f}",
            f"{count * EMPTY_DISPATCH_US:.0f}",
            f"{b['open_to_first_result_nanos'] / 1e6:.0f}",
        ]
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
