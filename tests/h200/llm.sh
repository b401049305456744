#!/bin/sh
# Language models of true shapes (random weights) on an NVIDIA H200 through Vulkan: writes checkpoints,
# compiles them with several quantizations, compares logits with PyTorch's, times prefill and decode,
# and prints a table with what the hardware allows.
#
#   tests/h200/llm.sh path/to/driftc [work folder] [options of `llm.py run`]
#
# Needs python3 with torch and transformers, and 30 GB of disk for the largest model. Fails when logits
# are off by more than llm.py's bounds.
set -eu
driftc=$1
work=${2:-$(mktemp -d)}
shift; [ $# = 0 ] || shift
exec python3 "$(dirname "$0")/llm.py" run "$driftc" "$work" "$@"
