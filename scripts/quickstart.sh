#!/usr/bin/env bash
# From nothing to a report in about ten minutes on two CPU cores: install, sample data, training, evaluation,
# inference, report. What is there already is used again. bash scripts/quickstart.sh [FOLDER], by default quickstart/
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
environment ""

folder=${1:-quickstart}
bundle=bundles/msvm_synapse
mkdir -p "$folder"
export PYTHONWARNINGS=ignore

# run ID CONFIGS: run a bundle's config; its log goes to a file, its progress bar to the terminal
run() {
    "$python" -m monai.bundle run "$1" --bundle_root "$bundle" --config_file "$2" --dataset_dir "$folder/data" \
        --output_dir "$folder/output" --ckpt_dir "$folder/models" --roi_size "[96, 128]" >"$folder/$1.log" ||
        { tail -n 20 "$folder/$1.log" && echo "$1 failed: see $folder/$1.log" >&2 && exit 1; }
}

"$python" -m scripts data sample --bundle msvm_synapse --out "$folder/data"
if [ -e "$folder/models/complete" ]; then
    echo "Using the trained weights in $folder/models"
else
    echo "Training MSVM-UNet from random weights (about five minutes)"
    run training "['$bundle/configs/train.json','$bundle/configs/demo.json']"
    touch "$folder/models/complete"
fi
echo "Evaluating and segmenting the test slices"
run evaluating "$bundle/configs/evaluate.json"
run inferring "$bundle/configs/inference.json"
"$python" -m scripts report --output_dir "$folder/output" --dataset_dir "$folder/data"
