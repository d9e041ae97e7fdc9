"""What inspect says of good files, and of damaged and hostile ones, in which nothing ever runs."""

import json
import pickle
import warnings
import zipfile
from collections import OrderedDict

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from components.networks import MSVMUNet, XLSTMUNet
from scripts.cli import main
from scripts.files import hexdigest


def legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def plain(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


def small():
    return {"state_dict": OrderedDict(a=torch.ones(3, 2), b=torch.arange(4)), "epoch": 7, "name": "x" * 300}


@pytest.mark.parametrize("save", [torch.save, legacy])
def test_lists_tensors_and_values(save, scanseg, tmp_path):
    path = tmp_path / "weights.pt"
    save(small(), path)
    status, told, errors = scanseg("weights", "inspect", path)
    assert (status, errors) == (0, "")
    for line in ("state_dict.a  3 × 2  float32  24 bytes", "state_dict.b  4      int64    32 bytes", "epoch = 7"):
        assert line in told
    assert "(300 characters)" in told
    assert "2 tensors (1 float32, 1 int64), 0.00 million values" in told
    assert "network: not one of scanseg" in told


def test_json_has_all_of_it(checkpoints, scanseg):
    path = checkpoints / "synapse.ckpt"
    status, told, _ = scanseg("weights", "inspect", path, "--json")
    record = json.loads(told)
    assert status == 0
    assert (record["format"], record["bytes"], record["sha256"]) == ("torch zip", path.stat().st_size, hexdigest(path))
    stem = next(row for row in record["tensors"] if row["name"].endswith("layer0.0.weight"))
    assert stem == {
        "name": "state_dict._model.encoder.layer0.0.weight",
        "shape": [48, 3, 3, 3],
        "dtype": "float32",
        "bytes": 48 * 27 * 4,
    }
    assert record["metadata"]["hyper_parameters.img_size"] == "[224, 224]"
    assert record["not_finite"] == []
    assert record["guess"]["settings"] == {"num_classes": 9, "encoder": "tiny_0230s"}
    assert {answer["bundle"]: answer["fits"] for answer in record["bundles"]} == {
        "msvm_synapse": True,
        "msvm_acdc": False,
    }


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("synapse.ckpt", ["MSVM-UNet, 9 classes, encoder tiny_0230s", "msvm_synapse: fits: scanseg weights convert"]),
        ("vssm1_tiny.pth", ["MSVM-UNet, encoder only", "msvm_acdc: fits:", "vssm1_tiny.pth --part encoder"]),
        ("checkpoint_final.pth", ["xLSTM-UNet, 4 classes, variant enc, spatial_dims 2, in_channels 3"]),
    ],
)
def test_guesses_the_network_and_the_bundles(name, lines, checkpoints, scanseg):
    status, told, _ = scanseg("weights", "inspect", checkpoints / name)
    assert status == 0
    for line in lines:
        assert line in told


@pytest.mark.parametrize("holder", [None, "network"])
def test_our_own_weights_fit_as_they_are(holder, scanseg, tmp_path):
    state = MSVMUNet(out_channels=4).state_dict()
    torch.save(state if holder is None else {holder: state, "epoch": 3}, tmp_path / "model.pt")
    status, told, _ = scanseg("weights", "inspect", tmp_path / "model.pt")
    assert status == 0
    assert "MSVM-UNet, 4 classes, encoder tiny_0230s (names of scanseg)" in told
    assert "msvm_acdc: fits as it is\n" in told
    assert "msvm_synapse: does not fit: it has 4 classes" in told


def test_variant_that_is_not_the_bundles(scanseg, tmp_path):
    plan = {"features": [32, 64, 128, 256, 512, 512, 512], "kernel_sizes": [3] * 7, "strides": [1] + [2] * 6}
    torch.save(XLSTMUNet(2, 3, 8, "bot", [384, 640], **plan).state_dict(), tmp_path / "model.pt")
    told = scanseg("weights", "inspect", tmp_path / "model.pt")[1]
    assert "xlstm_endoscopy: fits as it is, with --variant bot\n" in told


def test_values_that_are_not_finite(scanseg, tmp_path):
    state = {"a": torch.tensor([1.0, float("nan")]), "b": torch.tensor([float("inf")]).half(), "c": torch.ones(2)}
    torch.save(state, tmp_path / "model.pt")
    status, told, _ = scanseg("weights", "inspect", tmp_path / "model.pt")
    assert status == 1
    assert "2 tensors hold values that are not finite: a, b" in told


def test_safetensors(checkpoints, msvm, scanseg, tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file(dict(msvm.state), tmp_path / "model.safetensors", metadata={"format": "pt"})
    status, told, _ = scanseg("weights", "inspect", tmp_path / "model.safetensors")
    assert status == 0
    assert "model.safetensors: safetensors" in told
    assert "__metadata__.format = pt" in told
    assert "msvm_synapse: fits" in told
    source, out = tmp_path / "model.safetensors", tmp_path / "model.pt"
    assert scanseg("weights", "convert", "--bundle", "msvm_synapse", "--checkpoint", source, "--out", out)[0] == 0
    (tmp_path / "cut.safetensors").write_bytes(source.read_bytes()[:100_000])
    status, _, errors = scanseg("weights", "inspect", tmp_path / "cut.safetensors")
    assert (status, errors.count("\n")) == (1, 1)


class Payload:
    """Unpickling this makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


class Foreign:
    """A class that a loader would have to import."""


@pytest.mark.parametrize("save", [torch.save, legacy, plain])
@pytest.mark.parametrize("command", [["inspect"], ["convert", "--bundle", "msvm_synapse", "--checkpoint"]])
def test_payload_never_runs(command, save, scanseg, tmp_path):
    canary, path = tmp_path / "canary", tmp_path / "checkpoint.pth"
    save({"state_dict": {"a": [1.0]}, "callbacks": Payload(canary)}, path)
    status, told, errors = scanseg("weights", *command, path)
    assert status == (1 if command == ["inspect"] else 2)
    assert "is dangerous: it would call io.open, which reads or writes files; nothing in it was run" in errors
    assert errors.count("\n") == 1
    assert ("dangerous  io.open: reads or writes files" in told) == (command == ["inspect"])
    assert not canary.exists()
    pickle.loads(pickle.dumps(Payload(canary))).close()  # the payload does work
    assert canary.exists()


def test_refusal_as_json(scanseg, tmp_path):
    torch.save({"a": Payload(tmp_path / "canary")}, tmp_path / "checkpoint.pth")
    status, told, _ = scanseg("weights", "inspect", tmp_path / "checkpoint.pth", "--json")
    record = json.loads(told)
    assert status == 1
    assert "dangerous" in record["refused"]
    assert record["globals"] == [{"name": "io.open", "verdict": "dangerous", "reason": "reads or writes files"}]


def test_class_of_which_nothing_is_known(scanseg, tmp_path):
    torch.save({"state_dict": {"a": torch.ones(2)}, "config": Foreign()}, tmp_path / "checkpoint.pth")
    status, told, errors = scanseg("weights", "inspect", tmp_path / "checkpoint.pth")
    assert status == 1
    assert f"it holds {__name__}.Foreign: neither a tensor nor a plain value" in errors
    assert "save its state dict alone" in errors
    assert f"unknown  {__name__}.Foreign" in told
    assert "plain    torch._utils._rebuild_tensor_v2" in told


def test_program_is_refused(scanseg, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "program.pt"))
    status, _, errors = scanseg("weights", "inspect", tmp_path / "program.pt")
    assert status == 1
    assert "is a TorchScript program" in errors


def write_zip(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


NOT_WEIGHTS = {
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "text": (lambda path: path.write_text("Checkpoint of epoch 3\n" * 50), "is a text file"),
    "text that begins like a pickle": (lambda path: path.write_text("(see the readme)\n.\n"), "is a text file"),
    "page": (lambda path: path.write_text("\n<!DOCTYPE html>\n<html>Sign in</html>"), "is a web page"),
    "pointer": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "a pointer of Git LFS"),
    "gzip": (lambda path: path.write_bytes(b"\x1f\x8b\x08\x00"), "compressed by gzip"),
    "hdf5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50)), "an HDF5 file"),
    "zip": (lambda path: write_zip(path, **{"readme.txt": b"x"}), "but not one of torch.save: it holds readme.txt"),
    "bomb": (lambda path: write_zip(path, **{"a/data.pkl": bytes(10**6)}), "unpacks to more than 20 times its size"),
    "noise": (lambda path: path.write_bytes(bytes(range(1, 256)) * 20), "is neither a PyTorch nor"),
}


@pytest.mark.parametrize("kind", NOT_WEIGHTS)
def test_what_people_take_for_weights(kind, scanseg, tmp_path):
    path = tmp_path / "weights.pth"
    write, message = NOT_WEIGHTS[kind]
    write(path)
    status, told, errors = scanseg("weights", "inspect", path)
    assert (status, told) == (1, "")
    assert errors.count("\n") == 1
    assert message in errors


def test_missing_file_and_folder(scanseg, tmp_path):
    for path, message in ((tmp_path / "no.pt", "does not exist"), (tmp_path, "is a folder")):
        status, _, errors = scanseg("weights", "inspect", path)
        assert (status, errors.count("\n")) == (2, 1)
        assert message in errors


def nested(depth):
    content = torch.ones(1)
    for _ in range(depth):
        content = [content]
    return content


def circle():
    content = {"a": torch.ones(1)}
    content["self"] = content
    return content


def laughs(depth=60):
    """Lists of the list before, ten times: 10 to the power of ``depth`` items, in a small file."""
    content = [torch.ones(1)] * 10
    for _ in range(depth):
        content = [content] * 10
    return content


HUGE = {
    "deep": (lambda: {"deep": nested(300)}, "deep.0.0"),
    "circle": (circle, "a  1  float32  4 bytes"),
    "billion laughs": (lambda: {"laughs": laughs()}, "laughs.0.0"),
    "repeated storage": (lambda: {"a": torch.ones(1).expand(10**6, 10**6, 10**4)}, "1000000 × 1000000 × 10000"),
}


@pytest.mark.parametrize("kind", HUGE)
def test_small_files_of_huge_content_are_told_at_once(kind, scanseg, tmp_path):
    content, line = HUGE[kind]
    torch.save(content(), tmp_path / "weights.pt")
    assert (tmp_path / "weights.pt").stat().st_size < 100_000
    status, told, errors = scanseg("weights", "inspect", tmp_path / "weights.pt")
    assert (status, errors) == (0, "")
    assert line in told


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A small file of each format, and one with a payload."""
    folder = tmp_path_factory.mktemp("originals")
    torch.save(small(), folder / "zip")
    legacy(small(), folder / "legacy")
    plain({"a": [1, 2.5, "x"], "b": {"c": None}}, folder / "pickle")
    torch.save({"a": Payload(folder / "canary"), **small()}, folder / "payload")
    legacy({"a": Payload(folder / "canary"), **small()}, folder / "legacy payload")
    return {path.name: path.read_bytes() for path in folder.iterdir()}, folder / "canary"


def told_in_one_line(path, capsys):
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        status = main(["weights", "inspect", str(path)])
    told = capsys.readouterr()
    assert status in (0, 1), told.err
    assert told.err.count("\n") == (0 if "not finite" in told.out else status)
    assert "scanseg: unexpected" not in told.err  # what main says of errors that nothing expects


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle", "payload", "legacy payload"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_cut_files(kind, part, originals, tmp_path, capsys):
    data, canary = originals
    path = tmp_path / "cut"
    path.write_bytes(data[kind][: int(len(data[kind]) * part)])
    told_in_one_line(path, capsys)
    assert not canary.exists()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files(data, originals, tmp_path, capsys):
    files, canary = originals
    content = bytearray(files[data.draw(st.sampled_from(sorted(files)))])
    places = st.integers(0, len(content) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=8)):
        content[place] = value
    (tmp_path / "damaged").write_bytes(content)
    told_in_one_line(tmp_path / "damaged", capsys)
    assert not canary.exists()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), start=st.sampled_from([b"", b"\x80\x02", b"\x80\x04", b"PK\x03\x04"]))
def test_random_bytes(content, start, tmp_path, capsys):
    (tmp_path / "random").write_bytes(start + content)
    told_in_one_line(tmp_path / "random", capsys)


def test_names_cannot_steer_the_terminal(scanseg, tmp_path):
    torch.save({"a\x1b[2J\nb": torch.ones(1), "note": "x\x07\ny"}, tmp_path / "weights.pt")
    status, told, _ = scanseg("weights", "inspect", tmp_path / "weights.pt")
    assert status == 0
    assert "a?[2J?b" in told
    assert "note = x??y" in told
    assert not set("\x1b\x07") & set(told)
