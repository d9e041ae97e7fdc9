"""Runs: repeated, interrupted, shared by processes, and wrong command lines."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from scripts.bundle.inference import InferenceBundle, load_weights
from scripts.errors import UserError
from scripts.predict import Predictor, predict, segmenting
from scripts.predict.ranks import Ranks
from tests.scripts.predict.images import SMALL
from tests.timeouts import HANG

ROOT = Path(__file__).parents[3]
BUNDLE = "xlstm_cells"


@pytest.fixture
def scans(nuclei, tmp_path):
    """Three pictures."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for number, name in enumerate("abc"):
        Image.fromarray(np.roll(nuclei, 7 * number, axis=1)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def scanseg(*words, cwd, launcher=(), **environment):
    """The command in a process of its own, as typed."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, *launcher, "-m", "scripts", "predict", *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=HANG)


def words(arguments):
    override = json.dumps(arguments["override"])
    return [
        "--bundle",
        arguments["bundle"],
        "--weights",
        arguments["weights"],
        "--device",
        "cpu",
        "--override",
        override,
    ]


def test_second_run_does_what_is_missing(scans, out, arguments, capsys):
    assert predict(input=str(scans), output=str(out), **arguments(BUNDLE)) == 0
    first = contents(out)
    names = {f"{case}_{kind}" for case in "abc" for kind in ("pred.png", "pred.json")}
    assert set(first) == {*names, "labels.json"}
    (out / "b_pred.png").unlink()
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert predict(input=str(scans), output=str(out), **arguments(BUNDLE)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"1 done, 2 skipped, 0 failed; the results are in {out}"
    assert contents(out) == first
    assert {n for n, t in times.items() if (out / n).stat().st_mtime_ns != t} == {"b_pred.json"}


def test_more_products_are_added(scans, out, arguments, capsys):
    predict(input=str(scans), output=str(out), **arguments(BUNDLE))
    assert predict(input=str(scans), output=str(out), save_probabilities=True, **arguments(BUNDLE)) == 0
    assert len(list(out.glob("*_probabilities.npz"))) == 3
    predict(input=str(scans), output=str(out), **arguments(BUNDLE))
    assert [line.partition(";")[0] for line in capsys.readouterr().out.splitlines()] == [
        "3 done, 0 skipped, 0 failed",
        "3 done, 0 skipped, 0 failed",
        "0 done, 3 skipped, 0 failed",
    ]
    assert len(list(out.glob("*_probabilities.npz"))) == 3


def other_weights(scans, arguments):
    return arguments(BUNDLE, seed=1)


def other_settings(scans, arguments):
    return {**arguments(BUNDLE), "tta": True}


def other_image(scans, arguments):
    Image.open(scans / "b.png").rotate(180).save(scans / "b.png")
    return arguments(BUNDLE)


def other_override(scans, arguments):
    return {**arguments(BUNDLE), "override": {**SMALL[BUNDLE], "sw_batch_size": 1}}


@pytest.mark.parametrize(
    "change", [other_weights, other_settings, other_image, other_override], ids=lambda f: f.__name__
)
def test_results_of_something_else_are_not_replaced_unasked(change, scans, out, arguments):
    predict(input=str(scans), output=str(out), **arguments(BUNDLE))
    first = contents(out)
    changed = change(scans, arguments)
    told = "made from another image, or with other weights or settings.*--overwrite"
    with pytest.raises(UserError, match=told):
        predict(input=str(scans), output=str(out), **changed)
    assert contents(out) == first
    assert predict(input=str(scans), output=str(out), overwrite=True, **changed) == 0
    assert contents(out)["b_pred.json"] != first["b_pred.json"]
    assert predict(input=str(scans), output=str(out), **changed) == 0  # they belong together now


def test_files_of_somebody_else_are_not_replaced_unasked(scans, out, arguments):
    out.mkdir()
    (out / "b_pred.png").write_text("drawn by hand")
    with pytest.raises(UserError, match="results of b that were not made by this command: give another --output"):
        predict(input=str(scans), output=str(out), **arguments(BUNDLE))
    assert contents(out) == {"b_pred.png": b"drawn by hand"}


def test_labels_of_another_bundle_are_not_replaced_unasked(scans, out, arguments):
    out.mkdir()
    (out / "labels.json").write_text('{"0": "background", "1": "liver"}')
    with pytest.raises(UserError, match="has other labels: give another --output"):
        predict(input=str(scans), output=str(out), **arguments(BUNDLE))


def test_interrupted_run_is_taken_up(scans, out, arguments, monkeypatch, capsys):
    write = segmenting.write_prediction

    def interrupted(folder, names, *rest):
        if "b_pred.png" in names.values():
            raise KeyboardInterrupt
        write(folder, names, *rest)

    monkeypatch.setattr(segmenting, "write_prediction", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict(input=str(scans), output=str(out), **arguments(BUNDLE))
    monkeypatch.undo()
    assert {path.name for path in out.glob("*.png")} == {"a_pred.png"}
    (out / ".partial.b_pred.png").write_text("half")  # what a killed process leaves
    assert predict(input=str(scans), output=str(out), **arguments(BUNDLE)) == 0
    assert capsys.readouterr().out.startswith("2 done, 1 skipped, 0 failed")
    whole = {path.name for path in out.iterdir()}
    assert ".partial.b_pred.png" not in whole
    assert whole == {"labels.json", *(f"{case}_pred.{ending}" for case in "abc" for ending in ("png", "json"))}


def test_full_disk_is_told_and_leaves_no_part(scans, out, arguments, monkeypatch, capsys):
    save = Image.Image.save

    def full(image, path, **options):
        if "b_pred" in str(path):
            Path(path).write_text("half", encoding="utf-8")
            raise OSError(28, "No space left on device")
        save(image, path, **options)

    monkeypatch.setattr(Image.Image, "save", full)
    assert predict(input=str(scans), output=str(out), **arguments(BUNDLE)) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"failed: b: {out / 'b_pred.png'} cannot be written: no space left on device, ")
    assert {path.name for path in out.glob("*b_*")} == {"b_pred.json"}
    monkeypatch.undo()
    assert predict(input=str(scans), output=str(out), **arguments(BUNDLE)) == 0


def test_output_inside_of_the_input_is_no_input(scans, arguments, capsys):
    for _ in range(2):
        assert predict(input=str(scans), output=str(scans / "labels"), **arguments(BUNDLE)) == 0
    assert [line.partition(";")[0] for line in capsys.readouterr().out.splitlines()] == [
        "3 done, 0 skipped, 0 failed",
        "0 done, 3 skipped, 0 failed",
    ]


def test_two_processes_share_the_cases(scans, out, arguments, tmp_path):
    (scans / "broken.png").write_text("")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    line = ["--input", scans, "--output", out, *words(arguments(BUNDLE))]
    shared = scanseg(*line, cwd=tmp_path, launcher=launcher)
    assert "3 done, 0 skipped, 1 failed" in shared.stdout, shared.stderr
    assert shared.stdout.count("the results are in") == 1
    assert shared.stderr.count("failed: broken: cannot identify image file") == 1
    assert shared.returncode != 0  # one failed
    assert predict(input=str(scans), output=str(tmp_path / "alone"), **arguments(BUNDLE)) == 1
    assert contents(out) == contents(tmp_path / "alone")


def test_second_run_does_the_cases_of_a_killed_process(scans, out, arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")  # the other one was killed at once
    assert predict(input=str(scans), output=str(out), **arguments(BUNDLE)) == 0
    assert {path.name for path in out.glob("*_pred.png")} == {"b_pred.png"}
    monkeypatch.undo()
    capsys.readouterr()
    assert predict(input=str(scans), output=str(out), **arguments(BUNDLE)) == 0
    assert capsys.readouterr().out.startswith("2 done, 1 skipped, 0 failed")


def test_shares_are_all_cases_once():
    items = list(range(10))
    shares = [Ranks(rank, 4, rank).share(items) for rank in range(4)]
    assert sorted(item for share in shares for item in share) == items


@pytest.mark.parametrize("rank", ["2", "-1", "x"])
def test_wrong_ranks_are_told(rank, monkeypatch):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=f"RANK={rank}"):
        Ranks.of_environment()


def test_command_line_is_quiet_in_a_pipe_and_says_what_failed(scans, out, arguments, tmp_path):
    (scans / "d.png").write_text("no picture")
    done = scanseg("--input", scans, "--output", "out", "--amp", *words(arguments(BUNDLE)), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == "3 done, 0 skipped, 1 failed; the results are in out\n"
    assert done.stderr == f"failed: d: cannot identify image file '{scans}/d.png'\n"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bundle": "xlstm_cell"}, "unknown bundle 'xlstm_cell', did you mean 'xlstm_cells'?"),
        ({"bundle": "."}, r"--bundle \. is not a bundle, it has no configs/inference.json"),
        ({"input": "nowhere"}, "--input nowhere does not exist"),
        (
            {"input": "empty"},
            r"--input empty has no images \(\.nii, .*; 1 other file was left out: 1 \.txt, such as notes.txt",
        ),
        ({"output": "scans"}, "--output scans is also the input"),
        ({"output": "scans/a.png"}, "is a file, but a folder is needed"),
        ({"weights": "none.pt"}, "no weights at none.pt: give a file with --weights, .*zoo fetch.*weights convert"),
        ({"weights": None}, "no weights at .*models/model.pt"),
        ({"device": "gpu"}, "--device 'gpu' is not known"),
        ({"device": "cuda:99"}, "--device cuda:99: .*give --device cpu"),
        ({"device": "meta"}, "--device 'meta' is not supported"),
        ({"override": {"patch_siz": [1]}}, "unknown id in --override 'patch_siz', did you mean 'patch_size'?"),
        ({"override": {"network_def#feature#x": 1}}, "--override: .*inference.json has no network_def#feature#x"),
        ({"dicom_seg": True}, "--dicom-seg needs DICOM series, but --input scans has none"),
        ({"volume": 2}, "--volume is for DICOM series, but --input scans has none"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_wrong_command_is_told_before_any_work(changes, told, scans, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("notes")
    with pytest.raises((UserError, ValueError), match=told):
        predict(**{"input": "scans", "output": "out", **arguments(BUNDLE), **changes})
    assert not (tmp_path / "out").exists()
    assert len(list(scans.iterdir())) == 3


def test_weights_have_to_fit(weights, arguments, tmp_path):
    bundle = InferenceBundle(BUNDLE, SMALL[BUNDLE])
    network = bundle.get("network")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.load(weights(BUNDLE), weights_only=True)
    names = list(state)
    del state[names[0]]
    state["surplus"] = torch.zeros(1)
    state[names[-1]] = torch.zeros(77)
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(UserError) as caught:
        load_weights(network, tmp_path / "odd.pt", bundle)
    for told in (
        f"1 tensors missing, first {names[0]}",
        "1 tensors not known, first surplus",
        f"{names[-1]} (77,) instead",
    ):
        assert told in str(caught.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("content", [b"", b"not torch", b"PK\x03\x04"])
def test_damaged_weights_are_told(content, tmp_path):
    bundle = InferenceBundle(BUNDLE, SMALL[BUNDLE])
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(UserError, match="cannot read the checkpoint"):
        load_weights(bundle.get("network"), tmp_path / "m.pt", bundle)


def test_weights_with_code_are_refused(tmp_path):
    bundle = InferenceBundle(BUNDLE, SMALL[BUNDLE])
    torch.save({"x": os.system}, tmp_path / "m.pt")
    with pytest.raises(UserError, match="only tensors and plain values are read"):
        load_weights(bundle.get("network"), tmp_path / "m.pt", bundle)


def test_state_of_a_training_holds_weights_too(weights, tmp_path):
    bundle = InferenceBundle(BUNDLE, SMALL[BUNDLE])
    network = bundle.get("network")
    state = torch.load(weights(BUNDLE, seed=1), weights_only=True)
    torch.save({"network": state, "epoch": 3}, tmp_path / "last.pt")
    load_weights(network, tmp_path / "last.pt", bundle)
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


def test_bundle_may_lie_anywhere(scans, out, arguments, tmp_path):
    """A folder with a bundle, its weights in models, from another current folder."""
    import shutil

    shutil.copytree(ROOT / "bundles" / BUNDLE, tmp_path / "mine", ignore=shutil.ignore_patterns("*.pt", "output"))
    (tmp_path / "mine" / "models").mkdir(exist_ok=True)
    shutil.copy(arguments(BUNDLE)["weights"], tmp_path / "mine" / "models" / "model.pt")
    assert predict(str(tmp_path / "mine"), str(scans / "a.png"), str(out), device="cpu", override=SMALL[BUNDLE]) == 0
    assert json.loads((out / "a_pred.json").read_text())["settings"]["bundle"] == "mine"


def test_memory_of_the_gpu_is_told(scans, out, arguments, monkeypatch, capsys):
    def too_much(*arguments):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(Predictor, "segment", too_much)
    assert predict(input=str(scans), output=str(out), **arguments(BUNDLE)) == 1
    assert "failed: a: the GPU has too little memory: give --device cpu" in capsys.readouterr().err


def test_fault_inside_a_transform_is_told_not_its_wrapping(scans, out, arguments, monkeypatch, capsys):
    from monai.transforms import NormalizeIntensityd

    def odd(*arguments):
        raise ValueError("an odd thing")

    monkeypatch.setattr(NormalizeIntensityd, "__call__", odd)
    assert predict(input=str(scans / "a.png"), output=str(out), **arguments(BUNDLE)) == 1
    assert capsys.readouterr().err == "failed: a: unexpected ValueError: an odd thing\n"


def test_several_weights(weights, ct, tmp_path):
    """The average on the grid of the network: probabilities of two are the mean, of one they are its own."""
    nib.save(ct, tmp_path / "ct.nii.gz")
    files, override = [weights("msvm_synapse", seed) for seed in (0, 1)], SMALL["msvm_synapse"]

    def chances(files):
        predictor = Predictor("msvm_synapse", files, "cpu", override=override)
        logits = []
        inferer = predictor.inferer
        predictor.inferer = lambda *given: logits.append(inferer(*given)) or logits[-1]
        labels = predictor(tmp_path / "ct.nii.gz").labels
        return logits[0].softmax(1), labels, predictor.weights_sha256

    (first, labels, (sha,)), (second, _, _) = (chances(file) for file in files)
    single, again, _ = chances([files[0]])
    assert torch.equal(single, first)
    assert np.array_equal(labels, again)
    mean, _, hashes = chances(files)
    torch.testing.assert_close(mean, (first + second) / 2)
    assert hashes[0] == sha
    assert len(set(hashes)) == 2
