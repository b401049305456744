#!/bin/bash
# The conformance suites on a machine with a GPU and without Rust: operators, networks, language models and
# limits, each test a process with a time limit, many at a time. Every API has its folder of results;
# `cargo xtask backends ID FOLDER` sums one up to docs/backends/ID.json.
#
#   tests/h200/conformance.sh RESULTS BINARIES API[:TARGET] ...     e.g. out bin vulkan opencl vulkan:nvidia-h200
#
# BINARIES has ops, models, llm and limits (`cargo test -p drift-conformance --no-run` prints where they are;
# strip them). They look for the repository where they were built: link it there. DRIFT_SHARED names the
# folder with the networks' `models`. SUITES: "ops models llm limits". JOBS: tests at a time (one per core).
# SECONDS_EACH: the time limit of a test (300).
set -u
results=$1
export BINARIES=$2 RESULTS=$1 DRIFT_REQUIRE_GPU=1
shift 2
# a container may have the driver's OpenCL without the file that tells loaders of it
if ldconfig -p | grep -q libnvidia-opencl && [ ! -e /etc/OpenCL/vendors/nvidia.icd ]; then
    mkdir -p /etc/OpenCL/vendors && echo libnvidia-opencl.so.1 > /etc/OpenCL/vendors/nvidia.icd
fi
mkdir -p "$results/log"

one() { # API[:TARGET] binary test
    local id=${1//:/-} log started=$SECONDS
    log=$RESULTS/log/$id.$2.${3//:/_}.log
    case $1 in *:*) export DRIFT_TARGET=${1#*:} ;; esac
    DRIFT_RESULTS=$RESULTS/$id DRIFT_BACKEND=${1%%:*} \
        timeout -k 5 "${SECONDS_EACH:-300}" "$BINARIES/$2" --exact "$3" --nocapture > "$log" 2>&1
    echo "$id $2 $3 rc=$? $((SECONDS - started)) s" >> "$RESULTS/tests.txt"
}
export -f one

for api in "$@"; do
    for suite in ${SUITES:-ops llm models limits}; do
        # what compares no device with anything runs in CI
        "$BINARIES/$suite" --list 2> /dev/null | sed -n 's/: test$//p' |
            grep -vE '^targets::|documentation|deterministic|of_the_manifest|has_its_test' |
            sed "s/^/$api $suite /"
    done
done | xargs -P "${JOBS:-$(nproc)}" -L 1 bash -c 'one "$0" "$1" "$2"'

grep -c 'rc=0 ' "$results/tests.txt" | sed 's/$/ tests passed/'
grep -v 'rc=0 ' "$results/tests.txt" | while read -r id suite test rest; do
    echo "failed: $id $suite $test $rest"
    grep -aA 6 -E 'panicked|failures:' "$results/log/$id.$suite.${test//:/_}.log" | head -n 12
done
! grep -qv 'rc=0 ' "$results/tests.txt"
