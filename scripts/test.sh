#!/usr/bin/env bash
# The tests: format, lint and pytest, in .venv. Further arguments go to pytest: bash scripts/test.sh -k scan
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
environment "[test]"

"$python" -m ruff format --check .
"$python" -m ruff check .
"$python" -m pytest -n 2 --dist loadgroup "$@"
