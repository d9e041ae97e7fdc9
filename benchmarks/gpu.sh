#!/usr/bin/env bash
# All that is to be seen on a machine with an NVIDIA GPU, in one go; run in a clone with ".[test,bench,cuda]" installed:
# the tests that need one, the operators beside mamba_ssm and mlstm_kernels where these are installed, forward passes,
# training steps and peak memory beside MONAI's networks, training with AMP, and the page of the numbers.
#
#   bash benchmarks/gpu.sh OUT          writes OUT/tests.xml, OUT/bench.json, OUT/bench.md and OUT/benchmarks.md
set -euo pipefail
if [ $# -ne 1 ]; then
    echo "usage: bash benchmarks/gpu.sh OUT (a new folder for what is measured)" >&2
    exit 2
fi
if [ -e "$1" ]; then
    echo "$1 is there already: name a new folder" >&2
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
if ! "$python" -c "import sys, torch; sys.exit(not torch.cuda.is_available())"; then
    echo "PyTorch sees no CUDA device: install a CUDA build of PyTorch on a machine with an NVIDIA GPU" >&2
    exit 2
fi
status=0
"$python" -m pytest -q -m gpu --junitxml "$out/tests.xml" || status=1  # a failed test does not stop the measurements
"$python" -m benchmarks --device cuda --work kernels,networks/msvm,networks/mri,networks/endoscopy,networks/amp \
    --repeats 5 --out "$out" --docs "$out/benchmarks.md" || status=1
exit "$status"
