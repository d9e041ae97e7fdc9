#!/usr/bin/env bash
# What has to pass before a release: known weaknesses of the packages in constraints.txt, every check of every bundle, and
# the tests on damaged and hostile files. Needs the network. Further arguments go to pip-audit, for example
# --ignore-vuln ID for one that does not concern scanseg.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

echo "Known weaknesses of the packages in constraints.txt"
python3 -m venv "$folder/audit"
"$folder/audit/bin/pip" install --quiet --disable-pip-version-check pip-audit
# --no-deps: constraints.txt names every package already; --disable-pip: nothing is installed to look it up.
if ! "$folder/audit/bin/pip-audit" --no-deps --disable-pip --progress-spinner off -r constraints.txt "$@"; then
    echo "pip-audit found weaknesses, or reached no vulnerability service (see above): the release has to wait" >&2
    exit 1
fi

environment "[test]" "$folder/venv"
echo "The bundles"
"$python" -m scripts zoo verify

echo "Damaged and hostile files"
export PYTHONUTF8=1
"$python" -m pytest -q tests/faults/test_inputs.py tests/faults/test_security.py tests/scripts/zoo tests/scripts/weights
echo "Ready for a release"
