#!/usr/bin/env bash
# The tests: format, lint and pytest, in .venv. Further arguments go to pytest: bash scripts/test.sh -k scan
# MONAI Label is tested as a server of its own environment, .venv-label; where that cannot be made, its test is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
if label_environment; then
    export SCANSEG_LABEL_PYTHON=$PWD/$python
else
    echo "The environment of MONAI Label could not be made (see above): its test is skipped" >&2
fi
environment "[test]"

"$python" -m ruff format --check .
"$python" -m ruff check .
# Text is UTF-8 whatever the locale, which libraries of image formats change in the running process.
export PYTHONUTF8=1
"$python" -m pytest -n 2 --dist loadgroup "$@"
