"""Published checkpoints as weights of a bundle, and everything that keeps one from it."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from monai.bundle import ConfigParser
from monai.handlers import CheckpointLoader

from components.networks import MSVMUNet, XLSTMUNet, load_published
from tests.golden import GoldenCase
from tests.scripts.weights.conftest import ENDOSCOPY


def bundle_network(bundle):
    root = Path(__file__).resolve().parents[3] / "bundles" / bundle
    config = json.loads((root / "configs" / "inference.json").read_text())
    return ConfigParser({**config, "bundle_root": str(root)}).get_parsed_content("network_def")


def test_lightning_file_becomes_the_weights_of_the_bundle(checkpoints, msvm, scanseg, tmp_path):
    out = tmp_path / "models" / "model.pt"
    status, told, errors = scanseg(
        "weights", "convert", "--bundle", "msvm_synapse", "--checkpoint", checkpoints / "synapse.ckpt", "--out", out
    )
    assert (status, errors) == (0, "")
    assert "450 tensors, 35.93 million values" in told
    network = bundle_network("msvm_synapse")
    CheckpointLoader(str(out), {"model": network}, strict=True)(Engine(lambda *_: None))
    with torch.no_grad():
        prediction = network.eval()(msvm.input)
    torch.testing.assert_close(prediction, msvm.outputs[0].float(), rtol=0, atol=2e-4)


def test_record_says_where_the_weights_come_from(checkpoints, msvm, scanseg, tmp_path):
    source, out = checkpoints / "synapse.ckpt", tmp_path / "model.pt"
    words = ["--bundle", "msvm_synapse", "--checkpoint", source, "--out", out, "--licence", "MIT"]
    status, told, _ = scanseg("weights", "convert", *words, "--verbose")
    assert status == 0
    assert "licence" not in told
    assert "_model.encoder.layer0.0.weight → encoder.stem.0.conv.weight (48, 3, 3, 3)" in told
    record = json.loads((tmp_path / "model.json").read_text())
    assert (record["kind"], record["bundle"], record["licence"]) == ("published", "msvm_synapse", "MIT")
    assert record["source"]["file"] == "synapse.ckpt"
    assert record["source"]["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert record["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    weights = torch.load(out, weights_only=True)
    assert {row["published"].removeprefix("_model.") for row in record["tensors"]} == set(msvm.state)
    assert {row["name"]: row["shape"] for row in record["tensors"]} == {n: list(t.shape) for n, t in weights.items()}
    assert record["unused"] == ["optimizer_states.0.state.0.exp_avg"]
    assert str(checkpoints) not in (tmp_path / "model.json").read_text()


def test_imagenet_file_becomes_the_encoder_that_a_training_starts_from(checkpoints, msvm, scanseg, tmp_path):
    out = tmp_path / "encoder.pt"
    source = checkpoints / "vssm1_tiny.pth"
    status, told, _ = scanseg(
        "weights", "convert", "--bundle", "msvm_acdc", "--checkpoint", source, "--part", "encoder", "--out", out
    )
    assert status == 0
    assert f"--encoder_weights {out}" in told
    assert "Enter the licence" in told
    started, whole = MSVMUNet(out_channels=4, encoder_weights=str(out)), MSVMUNet()
    load_published(whole, msvm.state)
    for name, tensor in whole.encoder.state_dict().items():
        assert torch.equal(started.encoder.state_dict()[name], tensor), name


def test_nnunet_file_with_the_settings_of_its_plan(checkpoints, scanseg, tmp_path):
    out = tmp_path / "model.pt"
    source = checkpoints / "checkpoint_final.pth"
    words = ["--bundle", "xlstm_endoscopy", "--checkpoint", source, "--override", json.dumps(ENDOSCOPY), "--out", out]
    status, told, errors = scanseg("weights", "convert", *words)
    assert (status, errors) == (0, "")
    assert "need the same settings: --class_names" in told
    case = GoldenCase("uxlstm_enc_2d")
    expected = XLSTMUNet(2, 3, 4, "enc", [64, 96], [32, 64, 128, 256], [3] * 4, [1, 2, 2, 2], deep_supervision=True)
    load_published(expected, case.state)
    weights = torch.load(out, weights_only=True)
    assert weights.keys() == expected.state_dict().keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.state_dict().items())
    record = json.loads(out.with_suffix(".json").read_text())
    assert record["override"] == ENDOSCOPY
    assert len(record["tensors"]) == len(weights)
    aliases = {f"network_weights.{name}" for name in case.aliases}
    assert len(aliases) + len(record["tensors"]) + len(case.unused) == len(case.state)


def test_the_same_file_gives_the_same_bytes(checkpoints, scanseg, tmp_path):
    hashes = set()
    for name in ("a.pt", "b.pt"):
        words = ["--bundle", "msvm_synapse", "--checkpoint", checkpoints / "vssm1_tiny.pth", "--part", "encoder"]
        assert scanseg("weights", "convert", *words, "--out", tmp_path / name)[0] == 0
        hashes.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(hashes) == 1


WRONG = {
    "classes": ("msvm_acdc", "synapse.ckpt", [], "it has 9 classes with the background, the bundle 4"),
    "no part": ("msvm_synapse", "vssm1_tiny.pth", [], "it holds only the encoder: add --part encoder"),
    "part": ("msvm_synapse", "synapse.ckpt", ["--part", "encoder"], "the whole network: leave out --part"),
    "part of another": ("xlstm_cells", "vssm1_tiny.pth", ["--part", "encoder"], "xlstm_cells has no such part"),
    "unknown part": ("msvm_synapse", "vssm1_tiny.pth", ["--part", "decoder"], "unknown --part 'decoder'"),
    "network": ("xlstm_cells", "synapse.ckpt", [], "it belongs to MSVM-UNet, 9 classes, encoder tiny_0230s"),
    "encoder": (
        "msvm_synapse",
        "vssm1_tiny.pth",
        ["--part", "encoder", "--encoder", "small_0229s"],
        "its encoder is tiny_0230s, the bundle's small_0229s: add --encoder tiny_0230s",
    ),
    "no variant": ("msvm_synapse", "synapse.ckpt", ["--variant", "enc"], "--variant: the network of msvm_synapse has"),
    "variant": (
        "xlstm_endoscopy",
        "checkpoint_final.pth",
        ["--variant", "bot", "--override", json.dumps(ENDOSCOPY)],
        "its variant is enc, the bundle's bot: add --variant enc",
    ),
    "wrong variant": ("xlstm_cells", "checkpoint_final.pth", ["--variant", "bott"], "did you mean 'bot'?"),
    "dimensions": ("xlstm_abdomen_mri_3d", "checkpoint_final.pth", [], "it is 2D, the bundle 3D"),
    "plan": ("xlstm_endoscopy", "checkpoint_final.pth", [], "its stages have [32, 64, 128] features before the last"),
    "patch": (
        "xlstm_endoscopy",
        "checkpoint_final.pth",
        ["--override", json.dumps({**ENDOSCOPY, "patch_size": [128, 128]})],
        "it was trained on patches of [64, 96], the bundle's are [128, 128]: add --override",
    ),
    "bundle": ("msvm_synaps", "synapse.ckpt", [], "did you mean 'msvm_synapse'?"),
    "no file": ("msvm_synapse", "missing.ckpt", [], "does not exist: give the path"),
    "folder": ("msvm_synapse", ".", [], "is a folder"),
    "override": ("msvm_synapse", "synapse.ckpt", ["--override", "5"], "--override needs values by id"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_fit_is_told_in_one_line_and_nothing_is_written(wrong, checkpoints, scanseg, tmp_path):
    bundle, name, flags, message = WRONG[wrong]
    words = ["--bundle", bundle, "--checkpoint", checkpoints / name, *flags, "--out", tmp_path / "new" / "model.pt"]
    status, told, errors = scanseg("weights", "convert", *words)
    assert (status, told) == (2, "")
    assert errors.count("\n") == 1
    assert message in errors
    assert len(errors) < 900
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(value, msvm, scanseg, tmp_path):
    state = dict(msvm.state)
    state["decoder.out_layers.0.out.bias"] = torch.full((9,), value)
    torch.save({"state_dict": state}, tmp_path / "diverged.ckpt")
    words = ["--bundle", "msvm_synapse", "--checkpoint", tmp_path / "diverged.ckpt", "--out", tmp_path / "model.pt"]
    status, _, errors = scanseg("weights", "convert", *words)
    assert status == 2
    assert "1 tensors hold values that are not finite, the first is head.head.bias" in errors
    assert not (tmp_path / "model.pt").exists()


def test_weights_that_are_there_are_kept_unless_forced(checkpoints, scanseg, tmp_path):
    out = tmp_path / "encoder.pt"
    out.write_bytes(b"precious")
    words = ["--bundle", "msvm_synapse", "--part", "encoder", "--out", out, "--checkpoint"]
    status, _, errors = scanseg("weights", "convert", *words, checkpoints / "vssm1_tiny.pth")
    assert status == 2
    assert "exists already: add --force" in errors
    assert scanseg("weights", "convert", *words, checkpoints / "synapse.ckpt", "--force")[0] == 2
    assert out.read_bytes() == b"precious"
    assert [path.name for path in tmp_path.iterdir()] == ["encoder.pt"]
    assert scanseg("weights", "convert", *words, checkpoints / "vssm1_tiny.pth", "--force")[0] == 0
    assert torch.load(out, weights_only=True)


def test_a_failing_disk_leaves_nothing_behind(checkpoints, scanseg, tmp_path, monkeypatch):
    out = tmp_path / "encoder.pt"
    out.write_bytes(b"precious")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    words = ["--bundle", "msvm_synapse", "--checkpoint", checkpoints / "vssm1_tiny.pth", "--part", "encoder"]
    status, _, errors = scanseg("weights", "convert", *words, "--out", out, "--force")
    assert status == 2
    assert errors.startswith(f"scanseg: {out} cannot be written: no space left on device, ")
    assert errors.count("cannot be written") == errors.count("\n") == 1
    assert out.read_bytes() == b"precious"
    assert [path.name for path in tmp_path.iterdir()] == ["encoder.pt"]


@pytest.mark.parametrize("name", ["model.bin", "."])
def test_name_of_the_output(name, checkpoints, scanseg, tmp_path):
    words = ["--bundle", "msvm_synapse", "--checkpoint", checkpoints / "synapse.ckpt", "--out", tmp_path / name]
    status, _, errors = scanseg("weights", "convert", *words)
    assert status == 2
    assert "give the name of a file that ends with .pt" in errors


def test_own_weights_need_no_conversion(scanseg, tmp_path):
    torch.save(MSVMUNet().state_dict(), tmp_path / "model.pt")
    words = ["--bundle", "msvm_synapse", "--checkpoint", tmp_path / "model.pt", "--out", tmp_path / "other.pt"]
    status, _, errors = scanseg("weights", "convert", *words)
    assert status == 2
    assert "already has the names of scanseg" in errors
