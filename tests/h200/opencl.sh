#!/bin/sh
# OpenCL on an NVIDIA GPU: every case of every operator, and bundles timed through OpenCL and Vulkan.
#
#   tests/h200/opencl.sh path/to/driftc path/to/ops BUNDLE.drift ...
#
# `ops` is the operator test (`cargo test -p drift-conformance --test ops --no-run` prints where it is).
# Bundles have variants for both APIs: --target nvidia-h200 --target opencl-h200. Where the machine has
# the driver's part of OpenCL and no loader, carry libOpenCL.so.1 along and name it: OPENCL_DYLIB_PATH.
set -u
driftc=$1
ops=$2
shift 2
# a container may have the driver's library without the file that tells loaders of it
if ldconfig -p | grep -q libnvidia-opencl && [ ! -e /etc/OpenCL/vendors/nvidia.icd ]; then
    mkdir -p /etc/OpenCL/vendors && echo libnvidia-opencl.so.1 > /etc/OpenCL/vendors/nvidia.icd
fi
"$driftc" devices | grep -v '^  '
logs=$(mktemp -d)
# each setup of the suite is a process: the driver compiles one kernel at a time in each
for setup in $("$ops" --list | sed -n 's/: test$//p'); do
    DRIFT_BACKEND=opencl DRIFT_REQUIRE_GPU=1 "$ops" --exact "$setup" --nocapture \
        > "$logs/$setup" 2>&1 &
done
wait
failed=0
for log in "$logs"/*; do
    grep -h 'on opencl:' "$log" || { tail -n 30 "$log"; failed=1; }
    grep -q 'test result: ok' "$log" || { grep -h -A 12 'failures:' "$log"; failed=1; }
done
printf '%-24s %12s %12s %7s\n' bundle vulkan opencl ratio
for bundle in "$@"; do
    for api in vulkan opencl; do
        # the first run fills the driver's cache
        "$driftc" bench "$bundle" --backend $api --runs 20 > /dev/null 2>&1
        "$driftc" bench "$bundle" --backend $api --runs 300 --json > "$logs/$api.json"
    done
    python3 - "$(basename "$bundle")" "$logs" <<'PYTHON'
import json, sys
name, logs = sys.argv[1:]
v, o = (json.load(open(f"{logs}/{api}.json"))["gpu_median_nanos"] / 1000
        for api in ("vulkan", "opencl"))
print(f"{name:24} {v:9.1f} us {o:9.1f} us {o / v:7.2f}")
PYTHON
done
exit $failed
