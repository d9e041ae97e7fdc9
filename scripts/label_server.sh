#!/usr/bin/env bash
# Starts MONAI Label with bundles, in an environment of its own, which is made the first time:
#   bash scripts/label_server.sh --studies S --bundles a,b [--app FOLDER] [--host H] [--port P] [--venv FOLDER]
# --venv is the environment, by default .venv-label in the repository; --help explains the others.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/environment.sh"

venv=$root/.venv-label
words=()
while [ $# -gt 0 ]; do
    case $1 in
        --venv) venv=$(realpath -m "${2:?--venv needs a folder}") && shift 2 ;;
        --venv=*) venv=$(realpath -m "${1#--venv=}") && shift ;;
        *) words+=("$1") && shift ;;
    esac
done

folder=$PWD
cd "$root"
label_environment "$venv"
cd "$folder"
exec "$(dirname "$python")/scanseg" label "${words[@]}"
