"""The check of the documentation's commands notices what is wrong with one."""

import re

import pytest

from scripts.errors import UserError
from tests.docs.commands import check, commands_in

BUNDLE = "bundles/msvm_acdc"
RUN = f"python -m monai.bundle run training --bundle_root {BUNDLE} --config_file {BUNDLE}/configs/train.json"


@pytest.mark.parametrize(
    "text",
    [
        RUN + " --dataset_dir D --train#trainer#max_epochs 2 --tracking mlflow",
        RUN.replace("bundles/msvm_acdc/configs/train.json", "\"['bundles/msvm_acdc/configs/train.json']\""),
        "python -m scripts predict --bundle B --input I --output O --save-probabilities",
        "pip install -c constraints.txt '.[dicom,formats]'",
        "bash scripts/label_server.sh --studies S --bundles B",
        "torchrun --standalone --nproc_per_node=2 -m scripts predict --bundle B --input I --output O",
    ],
)
def test_right_command(text):
    (words,) = commands_in(text)
    check(words)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (RUN + " --max_epoch 2", "has no ['max_epoch']"),
        (RUN.replace("training", "trainig"), "has no ['trainig']"),
        (RUN.replace("train.json", "trains.json"), "trains.json"),
        (RUN.replace("--bundle_root bundles/msvm_acdc", "--bundle_root bundles/acdc"), "no bundle bundles/acdc"),
        ("python -m scripts predict --bundel B --input I --output O", "did you mean --bundle"),
        ("scanseg data sampel --bundle B --out D", "did you mean sample"),
        ("scanseg report", "missing --output_dir"),
        ("pip install 'scanseg[dicoms]'", "no extra {'dicoms'}"),
        ("bash scripts/start.sh", "no scripts/start.sh"),
        ("torchrun --nprocs=2 -m scripts predict --bundle B --input I --output O", "{'nprocs'}"),
        ("conda install scanseg", "conda is no program"),
    ],
)
def test_wrong_command(text, told):
    (words,) = commands_in(text)
    with pytest.raises((AssertionError, UserError, FileNotFoundError), match=re.escape(told)):
        check(words)


def test_comments_and_continued_lines():
    assert commands_in("scanseg bench \\\n    --quick  # small\n\n# nothing\nls") == [
        ["scanseg", "bench", "--quick"],
        ["ls"],
    ]


def test_variables_have_their_values():
    (words,) = commands_in('b=bundles/x\nrun --root "$b" $HOME/$b')
    assert words == ["run", "--root", "bundles/x", "$HOME/bundles/x"]
