"""Times the same models in PyTorch on the same GPU, f16, batch 1, and their rounding error.

    python3 pytorch.py

Medians of GPU events over 200 inferences; channels_last, cuDNN's benchmark mode on. The error is of
the f16 result against the f32 one on the CPU, as a share of the largest output: what f16 itself
costs on these weights.
"""

import torch
import torchvision

from export import calibrated


def median_ms(run, n: int = 200) -> float:
    times = []
    for _ in range(n):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[n // 2]


@torch.no_grad()
def main() -> None:
    torch.backends.cudnn.benchmark = True
    for name in ["resnet50", "mobilenet_v2"]:
        torch.manual_seed(1)
        model = calibrated(getattr(torchvision.models, name)(weights=None))
        x = torch.randn(1, 3, 224, 224)
        want = model(x)
        model = model.cuda().half().to(memory_format=torch.channels_last)
        x = x.cuda().half().to(memory_format=torch.channels_last)
        for _ in range(20):
            got = model(x)
        error = ((got.float().cpu() - want).abs().max() / want.abs().max()).item()
        eager = median_ms(lambda: model(x))
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            model(x)
        replay = median_ms(graph.replay)
        print(f"PyTorch {torch.__version__} f16 {name}: eager {eager:.3f} ms, CUDA graph {replay:.3f} ms, error {error:.2e}")


if __name__ == "__main__":
    main()
