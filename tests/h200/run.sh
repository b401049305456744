#!/bin/sh
# ResNet-50 and MobileNetV2 on an NVIDIA H200 through Vulkan: exports them, compiles them, compares
# the results with PyTorch's, times them, and prints a table with what the hardware allows.
#
#   tests/h200/run.sh path/to/driftc [work folder]
#
# Needs python3 with torch, torchvision, onnx and numpy. Fails when a result is off by more than 2%
# of the largest output.
set -eu
driftc=$1
work=${2:-$(mktemp -d)}
here=$(dirname "$0")
[ -f "$work/mobilenet_v2.y.npy" ] || python3 "$here/export.py" "$work"
table=""
for m in resnet50 mobilenet_v2; do
    "$driftc" verify "$work/$m.onnx" --target nvidia-h200 --precision mixed \
        --input "x=$work/$m.x.npy" --expect "y=$work/$m.y.npy"
    "$driftc" compile "$work/$m.onnx" --target nvidia-h200 --precision mixed -o "$work/$m.drift"
    # the first run fills the driver's cache, the second shows what it saves
    "$driftc" bench "$work/$m.drift" --runs 5 > /dev/null
    "$driftc" bench "$work/$m.drift" --runs 200 --json > "$work/$m.bench.json"
    "$driftc" bench "$work/$m.drift" --runs 200 --top 40
    table="$table $m=$work/$m.onnx,$work/$m.bench.json"
done
python3 "$here/floors.py" $table
python3 "$here/pytorch.py"
