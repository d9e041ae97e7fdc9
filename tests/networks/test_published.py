"""Published checkpoints: VMamba's and nnU-Net's files, everything that can be wrong with one, and hostile ones."""

import pickle
import re

import numpy as np
import pytest
import torch
from torch import nn

from components.networks import MSVMUNet, load_published, read_checkpoint
from tests.golden import GoldenCase


def as_imagenet(state):
    """The encoder of a published MSVM-UNet as VMamba's classifier holds it."""
    renamed = {}
    for name, tensor in state.items():
        if name.startswith("encoder."):
            name = re.sub(r"^layer0\.", "patch_embed.", name.removeprefix("encoder."))
            name = re.sub(r"^layer1\.(\d)", lambda found: f"patch_embed.{5 + int(found[1])}", name)
            renamed[re.sub(r"^downsamples\.(\d)\.", r"layers.\1.downsample.", name)] = tensor
    head = {"classifier.norm.weight": 768, "classifier.norm.bias": 768, "classifier.head.bias": 1000}
    return renamed | {name: torch.zeros(size) for name, size in head.items()} | {
        "classifier.head.weight": torch.zeros(1000, 768)
    }  # fmt: skip


def in_older_names(state):
    """The spelling of VMamba's earlier files."""
    older = {}
    for name, tensor in state.items():
        name = re.sub(r"(blocks\.\d+)\.norm\.", r"\1.ln_1.", name)
        older[re.sub(r"(blocks\.\d+)\.op\.", r"\1.self_attention.", name)] = tensor
    return older


def with_kernels(state):
    """Linear maps as 1 × 1 convolutions."""
    linear = re.compile(r"(in_proj|out_proj|fc1|fc2)\.weight$")
    return {name: t[..., None, None] if linear.search(name) else t for name, t in state.items()}


def without_values(build):
    """A network in which every value is −1."""
    with torch.device("meta"):
        network = build()
    network.to_empty(device="cpu")
    for tensor in network.state_dict().values():
        tensor.fill_(-1)
    return network


@pytest.fixture(scope="module")
def published():
    return GoldenCase("msvm_unet_9classes").state


@pytest.mark.parametrize(
    "change",
    [lambda state: state, in_older_names, with_kernels, lambda state: with_kernels(in_older_names(state))],
    ids=["as released", "older names", "kernels", "older names and kernels"],
)
def test_imagenet_file_fills_exactly_the_encoder(published, change, tmp_path):
    network, whole = without_values(MSVMUNet), without_values(MSVMUNet)
    torch.save(
        {"model": change(as_imagenet(published)), "epoch": 264}, tmp_path / "vssm1_tiny_0230s_ckpt_epoch_264.pth"
    )
    ours = load_published(network, tmp_path / "vssm1_tiny_0230s_ckpt_epoch_264.pth", part="encoder")
    assert not any(name.startswith("classifier") for name in ours)
    load_published(whole, published)
    for name, tensor in whole.state_dict().items():
        expected = tensor if name.startswith("encoder.") else torch.full_like(tensor, -1)
        assert torch.equal(network.state_dict()[name], expected), name
    assert set(ours.values()) == {name for name in whole.state_dict() if name.startswith("encoder.")}


def test_imagenet_file_of_another_depth(published):
    state = {name: tensor for name, tensor in as_imagenet(published).items() if "layers.2.blocks.7." not in name}
    state["layers.3.blocks.2.norm.weight"] = torch.zeros(768)
    with pytest.raises(ValueError, match=r"left over: layers\.3\.blocks\.2\.norm\.weight;") as caught:
        load_published(without_values(MSVMUNet), {"model": state}, part="encoder")
    unset = str(caught.value).split("left unset: ")[1].split(", ")
    assert len(unset) == sum("layers.2.blocks.7." in name for name in published)
    assert all(name.startswith("encoder.stages.2.7.") for name in unset)


def test_whole_network_where_a_part_is_wanted(published):
    with pytest.raises(ValueError, match=r"left over: (encoder\.)?decoder\.layers\.0\.up"):
        load_published(without_values(MSVMUNet), published, part="encoder")


def test_unknown_part():
    with pytest.raises(ValueError, match="MSVMUNet has no part 'backbone'"):
        load_published(without_values(MSVMUNet), {}, part="backbone")


def test_nnunet_file(tmp_path):
    case = GoldenCase("uxlstm_bot_2d")
    network, expected = case.network(), case.network()
    file = {
        "network_weights": case.state,
        "optimizer_state": {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 1e-2}]},
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float32(0.7), np.float64(0.8)], "epoch_end_timestamps": [1.5]},
        "_best_ema": np.float64(0.79),
        "current_epoch": 1000,
        "init_args": {"plans": {"patch_size": [64, 96]}, "fold": np.int64(0), "unpack_dataset": np.bool_(True)},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1),
    }
    torch.save(file, tmp_path / "checkpoint_final.pth")
    assert read_checkpoint(tmp_path / "checkpoint_final.pth")["_best_ema"] == 0.79
    load_published(network, tmp_path / "checkpoint_final.pth")
    load_published(expected, case.state)
    assert all(torch.equal(tensor, expected.state_dict()[name]) for name, tensor in network.state_dict().items())


class Small(nn.Module):
    """A network with an alias, a renaming and a tensor to leave out."""

    published_names = ((r"^old\.", None), (r"^twin\.", "first."), (r"^one\.", "first."), (r"^two\.", "second."))

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 2)
        self.second = nn.Linear(2, 4)


def complete():
    return {
        "one.weight": torch.ones(2, 3),
        "one.bias": torch.ones(2),
        "two.weight": torch.ones(4, 2),
        "two.bias": torch.ones(4),
        "twin.weight": torch.ones(2, 3),
        "old.scale": torch.ones(7),
    }


def test_names_that_were_used():
    ours = load_published(Small(), complete())
    assert ours == {
        "one.weight": "first.weight",
        "one.bias": "first.bias",
        "two.weight": "second.weight",
        "two.bias": "second.bias",
    }


def test_half_precision_file_fills_a_float32_network():
    network = Small()
    load_published(network, {name: tensor.half() for name, tensor in complete().items()})
    assert network.first.weight.dtype == torch.float32
    assert (network.first.weight == 1).all()


def without(name):
    return {key: tensor for key, tensor in complete().items() if key != name}


WRONG = {
    "left over": (
        complete() | {"three.weight": torch.ones(1), "four": torch.ones(1)},
        ["left over: three.weight, four"],
    ),
    "unset": (without("two.bias"), ["of Small left unset: second.bias"]),
    "two unset": (without("two.bias") | {"two.weight": torch.ones(2, 4)}, ["left unset: second.weight, second.bias"]),
    "vector": (complete() | {"one.bias": torch.ones(2, 1)}, ["of another shape: one.bias (2, 1), needed (2,)"]),
    "transposed": (complete() | {"two.weight": torch.ones(2, 4)}, ["another shape: two.weight (2, 4), needed (4, 2)"]),
    "kernel of 3": (
        complete() | {"two.weight": torch.ones(4, 2, 3, 3)},
        ["another shape: two.weight (4, 2, 3, 3), needed (4, 2)"],
    ),
    "aliases": (complete() | {"twin.weight": torch.zeros(2, 3)}, ["in disagreement: twin.weight and one.weight"]),
    "aliases of two shapes": (complete() | {"twin.weight": torch.ones(3, 3)}, ["another shape: twin.weight (3, 3)"]),
    "everything": (
        without("two.bias") | {"five": torch.ones(1), "two.weight": torch.ones(9), "twin.weight": torch.zeros(2, 3)},
        [
            "left over: five;",
            "of another shape: two.weight (9,), needed (4, 2);",
            "in disagreement: twin.weight and one.weight;",
            "left unset: second.weight, second.bias",
        ],
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_every_misfit_is_named_and_nothing_is_changed(wrong):
    checkpoint, messages = WRONG[wrong]
    network = Small()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ValueError, match="the checkpoint does not fit this network") as caught:
        load_published(network, {"state_dict": checkpoint})
    assert "\n" not in str(caught.value)
    for message in messages:
        assert message in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ({}, "this is not a state dict: it holds no tensor"),
        ({"epoch": 3, "weights": {}}, "this is not a state dict: epoch, weights holds no tensor; give a state dict"),
        ([torch.ones(2)], "a checkpoint is a dictionary with a state dict, but this is of type list"),
        (torch.ones(2), "of type Tensor"),
        (None, "of type NoneType"),
    ],
    ids=["empty", "no tensors", "list", "tensor", "None"],
)
def test_not_a_state_dict(checkpoint, message):
    with pytest.raises(ValueError, match=message):
        load_published(Small(), checkpoint)


class Payload:
    """Unpickling this writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def plain_pickle(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("save", [torch.save, legacy, plain_pickle])
def test_payload_is_refused_and_never_executed(save, tmp_path):
    marker, path = tmp_path / "marker", tmp_path / "checkpoint.pth"
    save({"init_args": Payload(marker), "network_weights": complete()}, path)
    network = Small()
    before = network.first.weight.clone()
    with pytest.raises(ValueError, match=r"it holds _?io\.open, but only tensors and plain values are read;") as caught:
        load_published(network, path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert "save its state dict alone" in str(caught.value)
    assert torch.equal(network.first.weight, before)
    assert not marker.exists()
    if save is plain_pickle:
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert marker.exists()  # so the payload was a working one


def test_allowed_globals_stay_inside(tmp_path):
    """What read_checkpoint allows is not allowed to the rest of the process."""
    torch.save({"score": np.float64(1)}, tmp_path / "scores.pth")
    read_checkpoint(tmp_path / "scores.pth")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "scores.pth", weights_only=True)


@pytest.mark.parametrize("place", ["missing.pth", "."])
def test_no_such_file(place, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*: give the path of a downloaded"):
        load_published(Small(), tmp_path / place)


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_truncated_file(kept, tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save(complete(), path)
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(
        ValueError, match=r"^cannot read the checkpoint .*checkpoint\.pth: it is damaged, or no"
    ) as caught:
        load_published(Small(), path)
    assert str(caught.value).endswith(f"({path.stat().st_size} bytes): download it again")


def test_a_page_saved_in_place_of_the_file(tmp_path):
    path = tmp_path / "checkpoint.pth"
    path.write_text("<!DOCTYPE html>\n<html>Sign in\n</html>")
    with pytest.raises(ValueError, match=r"no file of torch\.save") as caught:
        load_published(Small(), path)
    assert "\n" not in str(caught.value)
