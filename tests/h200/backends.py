"""Times bundles through several APIs in one run; see backends.sh.

    python3 backends.py DRIFTC WORK [--models resnet50,mobilenet_v2,unet] [--llm llama-3.2-1b] [--schemes q8,q4g32]
                        [--onnx FILE[,OPTION...] ...]

A case is a model at a precision. Each is timed twice: with all that the device offers through an API,
and `plain`, without matrix units, so that the kernels are the same in every API. `unet` is that of Stable
Diffusion 1.4 (unet.py), in mixed precision only. An API may carry a variable of the environment along:
`--apis vulkan,webgpu,webgpu:NAME=VALUE`. `--kinds all` leaves out the plain ones.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

PLAIN = """name = "{device} without its matrix units"
vendor = "nvidia"
rank = 90
inherits = ["{device}"]

[api.{api}]
source = "to compare the same kernels"
matrix-shapes = []

[api.{api}.features]
source = "to compare the same kernels"
cooperative-matrix = false
"""
DEVICES = {"vulkan": "nvidia-h200", "webgpu": "webgpu-h200", "opencl": "opencl-h200"}
RUNS = 300
# of a network that takes tens of milliseconds
RUNS_LARGE = 60
# the networks' outputs; all else that lies beside them is an input
OUTPUTS = {"y", "noise"}


def call(*command: object, env: dict | None = None) -> str:
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, env=os.environ | (env or {}))
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout[-500:]}{done.stderr[-1500:]}")
    return done.stdout


def kernel_of(label: str) -> str:
    """`conv at layer1.0 [conv]` -> `conv`."""
    found = re.search(r"\[([^\]]*)\]$", label)
    return found.group(1) if found else label


def split(api: str) -> tuple[str, dict]:
    """`webgpu:NAME=VALUE` -> `webgpu` and its environment."""
    name, _, variable = api.partition(":")
    return name, dict([variable.split("=", 1)]) if variable else {}


def bench(driftc: str, bundle: Path, api: str, runs: int) -> dict | str:
    backend, env = split(api)
    try:
        # fills the driver's cache; the device idles at a sixth of its clock, so it also warms up
        call(driftc, "bench", bundle, "--backend", backend, "--runs", runs, env=env)
        text = call(driftc, "bench", bundle, "--backend", backend, "--runs", runs, "--json", "--top", 10000, env=env)
        return json.loads(text)
    except RuntimeError as e:
        return str(e).strip().splitlines()[-1][:160]


def difference(a: dict, b: dict) -> list[str]:
    """Kernels by how much longer they take in all in `b` than in `a`."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0, 0])
    for side, result in enumerate((a, b)):
        for k in result["kernels"]:
            entry = sums[kernel_of(k["label"])]
            entry[side] += k["nanos"] / 1000
            entry[side + 2] += k["dispatches"]
    rows = sorted(sums.items(), key=lambda row: row[1][0] - row[1][1])
    return [f"    {name:32} {x:9.1f} us in {n:4} {y:9.1f} us in {m:4}  {y - x:+9.1f}"
            for name, (x, y, n, m) in rows[:8]]


def show(name: str, results: dict[str, dict | str]) -> None:
    base = results.get("vulkan", "not asked for")
    cells = []
    for api, r in results.items():
        if isinstance(r, str):
            cells.append(f"{api} failed: {r}")
            continue
        us = r["gpu_median_nanos"] / 1000
        ratio = "" if isinstance(base, str) else f" ({us * 1000 / base['gpu_median_nanos']:.2f})"
        cells.append(f"{api} {us:9.1f} us{ratio} wall {r['wall_nanos'] / 1000:9.1f}")
    print(f"{name:28} " + " | ".join(cells), flush=True)
    for api in ("webgpu", "opencl"):
        other = results.get(api)
        if isinstance(other, dict) and isinstance(base, dict):
            total = [sum(k["nanos"] for k in r["kernels"]) / 1000 for r in (base, other)]
            print(f"    kernels alone: vulkan {total[0]:.1f} us, {api} {total[1]:.1f} us ({total[1] / total[0]:.2f})")
            print("\n".join(difference(base, other)), flush=True)


def both(args: argparse.Namespace, work: Path, name: str, source: Path, options: list[str], runs: int = RUNS) -> dict:
    """Compiles and times a model, plain and with everything; gives the bundles."""
    bundles = {}
    for kind in args.kinds.split(","):
        bundles[kind] = bundle = work / f"{name.replace(' ', '.')}.{kind}.drift"
        targets = [work / f"{api}.toml" for api in DEVICES] if kind == "plain" else DEVICES.values()
        named = [word for t in targets for word in ("--target", t)]
        call(args.driftc, "compile", source, *named, *options, "-o", bundle)
        show(f"{name}, {kind}", {api: bench(args.driftc, bundle, api, runs) for api in args.apis.split(",")})
    return bundles


def networks(args: argparse.Namespace, work: Path) -> None:
    sources = [f.split(",") for f in args.onnx]
    wanted = [m for m in args.models.split(",") if m]
    for m in wanted:
        if not (work / f"{m}.onnx").exists():
            script = "unet.py" if m == "unet" else "export.py"
            more = ["--expect"] if m == "unet" else []
            subprocess.run([sys.executable, str(Path(__file__).parent / script), str(work), *more], check=True)
    sources += [[str(work / f"{m}.onnx")] for m in wanted]
    for first, *options in sources:
        file = Path(first)
        name = file.stem if file.stem != "model" else file.parent.name
        large = name == "unet"
        for precision in ["mixed"] if large else args.precisions.split(","):
            try:
                known = [(f.suffixes[-2][1:], f) for f in sorted(work.glob(f"{name}.*.npy"))]
                option = {True: "--expect", False: "--input"}
                values = [word for n, f in known for word in (option[n in OUTPUTS], f"{n}={f}")]
                for api in sorted({split(a)[0] for a in args.apis.split(",")}) if values else ():
                    call(args.driftc, "verify", file, "--target", DEVICES[api], "--backend", api, "--precision",
                         precision, *values)
            except RuntimeError as e:
                print(f"{name} {precision} is wrong: {e}", flush=True)
            try:
                runs = RUNS_LARGE if large else RUNS
                both(args, work, f"{name} {precision}", file, ["--precision", precision, *options], runs)
            except RuntimeError as e:
                print(f"{name} {precision}: {e}", flush=True)


def language(args: argparse.Namespace, work: Path) -> None:
    here = Path(__file__).parent
    for model in [m for m in args.llm.split(",") if m]:
        folder = work / model
        if not (folder / "config.json").exists():
            subprocess.run([sys.executable, str(here / "llm.py"), "make", model, str(folder)], check=True)
        for scheme in args.schemes.split(","):
            options = ["--precision", "mixed", "--quantize", scheme, "--context", "2048", "--calibrate", "none"]
            bundles = both(args, work, f"{model} {scheme} decode", folder, options)
            for kind, bundle in bundles.items():
                generate(args, bundle, kind)


def generate(args: argparse.Namespace, bundle: Path, kind: str) -> None:
    """Tokens per second of a language model through each API."""
    for api in args.apis.split(","):
        backend, env = split(api)
        command = [args.driftc, "bench", bundle, "--backend", backend, "--llm", "--prefill", 512, "--decode", 256]
        try:
            call(*command, env=env)  # fills the driver's cache
            b = json.loads(call(*command, "--json", env=env))
            print(f"    {kind:5} {api:8} decode {b['decode_tokens_per_second']:7.0f} tok/s, "
                  f"prefill {b['prefill_tokens_per_second']:7.0f} tok/s", flush=True)
        except RuntimeError as e:
            print(f"    {kind:5} {api}: {str(e).strip().splitlines()[-1][:160]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("driftc")
    parser.add_argument("work")
    parser.add_argument("--models", default="resnet50,mobilenet_v2,unet")
    parser.add_argument("--onnx", action="append", default=[])
    parser.add_argument("--precisions", default="f32,mixed")
    parser.add_argument("--llm", default="llama-3.2-1b")
    parser.add_argument("--schemes", default="q8,q4g32")
    parser.add_argument("--kinds", default="plain,all")
    parser.add_argument("--apis", default="vulkan,webgpu,opencl")
    args = parser.parse_args()
    work = Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    for api, device in DEVICES.items():
        (work / f"{api}.toml").write_text(PLAIN.format(api=api, device=device))
    networks(args, work)
    language(args, work)


if __name__ == "__main__":
    main()
