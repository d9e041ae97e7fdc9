#!/usr/bin/env bash
# The tests: format, lint and pytest, in .venv. Further arguments go to pytest: bash scripts/test.sh -k scan
# --fast, as the first one, leaves out what runs bundles or takes long: three minutes while you write, all before a commit.
# MONAI Label is tested as a server of its own environment, .venv-label; where that cannot be made, its test is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
chosen=()
if [ "${1:-}" = --fast ]; then
    shift
    chosen=(-m "not slow and not gpu")
elif label_environment; then
    export SCANSEG_LABEL_PYTHON=$PWD/$python
else
    echo "The environment of MONAI Label could not be made (see above): its test is skipped" >&2
fi
environment "[test]"

"$python" -m ruff format --check .
"$python" -m ruff check .
# Tests read and write text as UTF-8; scanseg itself names the encoding wherever it opens a file.
export PYTHONUTF8=1
# In the order of tests/conftest.py, not by the sizes of the groups.
"$python" -m pytest -n 2 --dist loadgroup --no-loadscope-reorder ${chosen[@]+"${chosen[@]}"} "$@"
