"""What people mistype or forget is told in one line, before anything is built."""

import json
import logging
import re
import sys

import numpy as np
import pytest
import torch
from monai.transforms import LoadImage
from PIL import Image

from components.errors import in_words, one_line, root_cause
from components.runs import is_command, start
from components.runs.command import given_arguments, typed_arguments
from components.runs.dataset import check_dataset
from components.runs.logs import keeps
from components.runs.overrides import check_kind, check_overrides, check_places
from scripts.predict import InferenceBundle
from tests import processes
from tests.bundles.workflow import ROOT, configs, python, runner
from tests.folders import folder

BUNDLE = "xlstm_cells"
TINY = {"patch_size": "[128, 256]", "augmented_size": "[128, 256]", "batch_size": 1, "epoch_length": 1, "max_epochs": 1}


def config(name="train"):
    return json.loads((configs(BUNDLE) / f"{name}.json").read_text())


@pytest.mark.parametrize(
    "name",
    [
        "max_epochs", "train#trainer#max_epochs", "train::trainer::max_epochs", "train#dataloader#pin_memory",
        "train#trainer#accumulation_steps", "network_def#norm", "augmentation#transforms#1#rotate_prob",
        "train#handlers#0#_disabled_", "_meta_#version",
    ],
)  # fmt: skip
def test_names_that_are_known(name):
    if name == "network_def#norm":
        with pytest.raises(ValueError, match="network_def has spatial_dims"):
            check_overrides({name: 1}, config())
    else:
        check_overrides({name: "$1"}, config())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("max_epoch", r"unknown override --max_epoch, did you mean --max_epochs\?"),
        ("learningrate", "did you mean --learning_rate"),
        ("xyz", "unknown override --xyz; the documentation"),
        (
            "train#trainer#max_epoch",
            r"unknown override --train#trainer#max_epoch, did you mean max_epochs\?; train#trainer has",
        ),
        ("train#dataloder", "did you mean dataloader"),
        ("traking", r"did you mean --tracking\?"),
        ("run_name", "unknown override --run_name"),
    ],
)
def test_names_that_no_config_has(name, told):
    with pytest.raises(ValueError, match=told) as caught:
        check_overrides({name: 1}, config())
    assert "\n" not in str(caught.value)


def test_settings_of_the_tracking_are_known_where_it_is_on():
    check_overrides({"run_name": "a", "experiment_name": "b"}, config(), "mlflow")


@pytest.mark.parametrize(
    ("value", "ours", "told"),
    [
        ("many", 300, r"--x is 'many', but a whole number is needed, such as 300"),
        (True, 300, "a whole number"),
        (2.5, 300, "a whole number"),
        ("1e-3x", 0.1, "a number is needed, such as 0.1"),
        (224, [224, 224], r"--x is 224, but a list is needed, such as \[224, 224\]"),
        ("maybe", False, r"--x is 'maybe', but true or false is needed$"),
        (1, False, "true or false"),
    ],
)
def test_values_of_another_kind(value, ours, told):
    with pytest.raises(ValueError, match=told):
        check_kind("x", value, ours)


@pytest.mark.parametrize(
    ("value", "ours"),
    [(3, 300), (3.0, 300), ("$1 + 2", 300), ("@y", [1]), ("%file.json", 0.1), (None, 1), (1, 0.1), ((1, 2), [1]),
     ("true", False), (False, True), ("anything", None), ("anything", "text"), (5, {"_target_": "x"})],
)  # fmt: skip
def test_values_that_fit(value, ours):
    check_kind("x", value, ours)


@pytest.fixture
def data(tmp_path):
    """A data set in words: its files are empty."""
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "images" / name).touch()
    lists = {"training": [{"image": "images/a.png"}], "validation": [], "test": [{"image": ["images/b.png"]}]}
    (tmp_path / "datalist.json").write_text(json.dumps(lists))
    return tmp_path


def test_a_whole_data_set_is_fine(data):
    check_dataset(str(data), ["training", "validation"])
    check_dataset(data, ["test"])
    check_dataset(data / "images", ["test"], folder_of_images=True)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "datalist.json is not valid JSON"),
        ("[" * 100_000, "datalist.json is not valid JSON"),
        ("[]", "needs a list of items 'training', but has list"),
        ('{"test": []}', "needs a list of items 'training', but has test"),
        ('{"training": ["a.png"]}', "needs a list of items 'training'"),
        ('{"training": []}', "the list 'training' is empty"),
        ('{"training": [{"label": "images/a.png"}]}', "an item of 'training' has no image"),
        (json.dumps({"training": [{"image": f"{n}.png"} for n in range(5)] + [{"image": "images/a.png"}]}),
         r"5 of 6 files of the list 'training' in .*datalist.json are missing: 0.png, 1.png, 2.png, …; bring them"),
    ],
)  # fmt: skip
def test_data_sets_that_are_not_whole(data, content, told):
    (data / "datalist.json").write_text(content)
    with pytest.raises((ValueError, OSError), match=told) as caught:
        check_dataset(data, ["training"])
    assert "\n" not in str(caught.value)


def test_data_sets_that_are_not_there(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"none does not exist: give one with --dataset_dir; `scanseg data prep"
    ):
        check_dataset(tmp_path / "none", ["training"])
    with pytest.raises(FileNotFoundError, match=r"has no datalist\.json"):
        check_dataset(tmp_path, ["training"])


@pytest.mark.parametrize("name", ["output_dir", "ckpt_dir", "dataset_dir", "cache_dir"])
@pytest.mark.parametrize("text", ["5", "1e3", "d,1", "[a]", "True", "{1:2}"])
@pytest.mark.parametrize("assigned", [True, False])
def test_folders_that_are_read_as_something_else(name, text, assigned):
    own = [f"--{name}={text}"] if assigned else [f"--{name}", text]
    words = ["python", "-m", "monai.bundle", "run", "training", *own, "--max_epochs", "3"]
    with pytest.raises(ValueError, match=rf"--{name} {re.escape(text)} is read as .* write \./{re.escape(text)}$"):
        check_places(given_arguments(words), typed_arguments(words))
    words = [word.replace(text, f"./{text}") for word in words]
    check_places(given_arguments(words), typed_arguments(words))


def test_other_programs_are_left_alone(monkeypatch):
    before = sys.excepthook
    start("nowhere", ["training"])
    assert sys.excepthook is before
    assert not is_command()


class _Damaged(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        try:
            try:
                raise KeyError("below")
            except KeyError as error:
                raise ValueError("scan.nii.gz cannot be read:\n  cut off") from error
        except ValueError as error:
            raise RuntimeError("applying transform <LoadWholeImaged>") from error


@pytest.mark.parametrize("workers", [0, 1])
def test_the_error_of_a_worker_is_that_of_the_transform(workers):
    with pytest.raises(RuntimeError) as caught:
        list(torch.utils.data.DataLoader(_Damaged(), num_workers=workers))
    assert type(root_cause(caught.value)) is ValueError
    assert in_words(caught.value) == ("scan.nii.gz cannot be read: cut off", True)


@pytest.mark.parametrize(
    ("error", "told", "mendable"),
    [
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "smaller --batch_size", True),
        (MemoryError(), "smaller --batch_size", True),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "want of memory", True),
        (RuntimeError("[gloo/pair.cc] Connection closed by peer [127.0.0.1]:1"), "another process of this run", True),
        (RuntimeError("unable to allocate shared memory(shm) for file </torch_7_8_0>: No space left on device (28)"),
         "--num_workers 0", True),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's "
                      "workers are out of shared memory. Please try to raise your shared memory limit."),
         "larger --shm-size", True),
        (AttributeError("no such"), "no such", False),
        (KeyError("id='x' is not found"), "id='x' is not found", True),
    ],
)  # fmt: skip
def test_errors_in_words(error, told, mendable):
    text, can_be_mended = in_words(error)
    assert told in text
    assert can_be_mended is mendable
    assert "\n" not in one_line(error)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two pictures, of which the second is cut off, and weights that do not fit."""
    with folder(tmp_path_factory, "runs") as work:
        rng = np.random.default_rng(0)
        for name in ("whole", "damaged"):
            Image.fromarray(rng.integers(1, 255, (64, 64, 3)).astype(np.uint8)).save(work / f"{name}.png")
            Image.fromarray(rng.integers(0, 2, (64, 64)).astype(np.uint8)).save(work / f"{name}_label.png")
        path = work / "damaged.png"
        path.write_bytes(path.read_bytes()[:2000])
        items = {name: {"image": f"{name}.png", "label": f"{name}_label.png"} for name in ("whole", "damaged")}
        lists = {"training": [items["damaged"]], "validation": [], "test": [items["whole"]]}
        (work / "datalist.json").write_text(json.dumps(lists))
        yield work


def run(place, run_id, name, count=1, fresh=False, environment=None, **overrides):
    """Run a bundle: the exit status and the lines that begin with the program's name; every other line of stderr.

    A fresh one is started by the very command, others are forked, see :mod:`tests.processes`.
    """
    files = [str(configs(BUNDLE) / f"{each}.json") for each in name.split("+")]
    settings = {
        "bundle_root": ROOT / "bundles" / BUNDLE,
        "config_file": files[0] if len(files) == 1 else files,
        "dataset_dir": place,
        "output_dir": place / "output",
        "ckpt_dir": place / "models",
        "num_workers": 0,
        **overrides,
    }
    words = runner(run_id, settings)
    done = python("-m", *words, cwd=place, check=False) if fresh else processes.run(words, place, count, environment)
    lines = done.stderr.splitlines()
    told = [line for line in lines if line.startswith("scanseg: ")]
    assert "Traceback" not in done.stdout
    return done.returncode, told, [line for line in lines if line not in told]


@pytest.mark.parametrize(
    ("run_id", "name", "overrides", "told"),
    [
        ("training", "train", {"max_epoch": 1}, r"unknown override --max_epoch, did you mean --max_epochs\?"),
        ("training", "train", {"dataset_dir": "nowhere"}, "dataset_dir nowhere does not exist"),
        ("training", "train", {**TINY, "num_workers": 1}, r"damaged\.png cannot be read: .*data check"),
        (
            "evaluating",
            "evaluate",
            {"patch_size": "[128, 256]"},
            r"there are no weights at .*model\.pt: train the bundle",
        ),
        ("inferring", "inference", {"amp": "true", "amp_dtype": "float16"}, "amp_dtype float16 needs CUDA"),
    ],
)
def test_a_run_ends_with_one_line(place, run_id, name, overrides, told):
    status, lines, others = run(place, run_id, name, fresh="max_epoch" in overrides, **overrides)
    assert status == 2, others
    assert len(lines) == 1
    assert re.search(told, lines[0])
    assert not any("Traceback" in line or "Error" in line for line in others), others


def test_the_traceback_can_be_asked_for(place):
    status, lines, others = run(place, "training", "train", environment={"SCANSEG_DEBUG": "1"}, dataset_dir="nowhere")
    assert status == 2
    assert len(lines) == 1
    assert any(line.startswith("Traceback") for line in others)


def test_processes_tell_it_too(place):
    status, lines, _ = run(place, "training", "train+multi_gpu_train", 2, **TINY, max_epoch=3)
    assert status == 2
    assert len(lines) == 2
    assert all("unknown override --max_epoch" in line for line in lines)


def test_random_weights_have_to_be_asked_for(place):
    status, lines, others = run(place, "inferring", "inference", patch_size="[128, 256]", random_weights="true")
    assert (status, lines) == (0, []), others
    assert (place / "output" / "predictions" / "whole_pred.png").is_file()


def test_weights_of_another_network_are_refused(place, tmp_path):
    network = InferenceBundle(BUNDLE, {"patch_size": [128, 256], "network_def#out_channels": 5}).get("network")
    torch.save(network.state_dict(), tmp_path / "model.pt")
    status, lines, others = run(place, "inferring", "inference", patch_size="[128, 256]", ckpt_dir=tmp_path)
    assert status == 2, others
    assert len(lines) == 1
    assert re.search(r"model\.pt does not fit the network XLSTMUNet: \d+ tensors of another shape, first", lines[0])


def test_a_missing_decoder_of_dicom_is_not_logged(caplog, request):
    caplog.handler.addFilter(keeps)
    request.addfinalizer(lambda: caplog.handler.removeFilter(keeps))
    logging.getLogger("monai.data").warning("of another kind")
    LoadImage()
    assert caplog.messages == ["of another kind"]
