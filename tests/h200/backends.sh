#!/bin/sh
# The same models through Vulkan, WebGPU (wgpu) and OpenCL on an NVIDIA H200, side by side: times,
# ratios to Vulkan, and the kernels that make the difference.
#
#   tests/h200/backends.sh path/to/driftc [work folder] [options of backends.py]
#
# `driftc` is built with `--features webgpu`. Needs python3 with torch, torchvision, onnx and numpy; what
# is in the work folder already (resnet50.onnx, unet.onnx, llama-3.2-1b/, ...) is not made again.
set -eu
driftc=$1
work=${2:-$(mktemp -d)}
shift; [ $# = 0 ] || shift
# a container may have the driver's OpenCL without the file that tells loaders of it
if ldconfig -p | grep -q libnvidia-opencl && [ ! -e /etc/OpenCL/vendors/nvidia.icd ]; then
    mkdir -p /etc/OpenCL/vendors && echo libnvidia-opencl.so.1 > /etc/OpenCL/vendors/nvidia.icd
fi
"$driftc" devices | grep -v '^  '
exec python3 "$(dirname "$0")/backends.py" "$driftc" "$work" "$@"
