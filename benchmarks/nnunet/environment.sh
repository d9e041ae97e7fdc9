#!/usr/bin/env bash
# Makes an environment with nnU-Net 2.8.1, from PyPI, with exact versions: bash benchmarks/nnunet/environment.sh FOLDER
# [PYTHON]. nnU-Net's commands are in FOLDER/bin afterwards. An environment that is complete is left as it is.
#
# nnU-Net imports timm for its transformers, and timm imports torchvision, whose builds fit one build of PyTorch only.
# The planner and the U-Nets need neither: timm is replaced by empty classes, and is installed nowhere.
set -euo pipefail
folder=${1:?usage: bash benchmarks/nnunet/environment.sh FOLDER [PYTHON]}
base=${2:-python3}

wanted=$(cksum <"${BASH_SOURCE[0]}")
stamp=$folder/installed
[ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || exit 0

[ -x "$folder/bin/python" ] || "$base" -m venv "$folder"
install=("$folder/bin/python" -m pip install --quiet --disable-pip-version-check)
"${install[@]}" torch==2.13.0 numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0 scikit-learn==1.9.1 SimpleITK==2.5.7 \
    pandas==3.1.1 graphviz==0.21 tifffile==2026.3.3 requests==2.34.2 nibabel==5.4.2 matplotlib==3.11.2 \
    seaborn==0.13.2 imagecodecs==2026.3.6 yacs==0.1.8 einops==0.8.2 blosc2==4.14.1 connected-components-3d==4.1.1 \
    tqdm==4.70.1 future==1.0.0 unittest2==1.1.0 threadpoolctl==3.8.0 pillow==13.0.0
"${install[@]}" --no-deps nnunetv2==2.8.1 dynamic-network-architectures==0.4.4 acvl-utils==0.2.6 \
    batchgenerators==0.25.5 batchgeneratorsv2==0.3.6

timm=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/timm
mkdir -p "$timm/models"
: >"$timm/__init__.py"
: >"$timm/models/__init__.py"
tee "$timm/layers.py" >"$timm/models/eva.py" <<'PYTHON'
"""Stands for a module of timm: any name is a class that cannot be built."""


def __getattr__(name):
    def refuse(self, *args, **kwargs):
        raise ImportError(f"{name} needs timm, which this environment does not have")

    return type(name, (), {"__init__": refuse})
PYTHON
echo "$wanted" >"$stamp"
