"""The estimate against what PyTorch keeps, and where the memory of the machine comes from."""

import math

import pytest
import torch

from components import machine
from components.networks import MSVMUNet, XLSTMUNet
from scripts import memory
from scripts.errors import UserError
from scripts.new.topology import topology


def kept(network, image):
    """Bytes that the backward pass keeps of a forward pass, weights aside."""
    storages = {}

    def pack(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = network(image)
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    assert output is not None
    return sum(size for pointer, size in storages.items() if pointer not in weights)


@pytest.mark.parametrize(
    ("variant", "pixdim", "patch"),
    [
        ("bot", (1.0, 1.0), (96, 128)),
        ("enc", (1.0, 1.0), (96, 128)),
        ("bot", (3.0, 1.0, 1.0), (8, 48, 48)),
        ("enc", (1.0, 1.0, 1.0), (24, 24, 32)),
    ],
)
def test_estimate_of_xlstm_covers_what_is_kept(variant, pixdim, patch):
    found = topology(pixdim, patch)
    network = XLSTMUNet(
        len(patch), 1, 3, variant, found.patch_size, found.features, found.kernel_sizes, found.strides,
        deep_supervision=True,
    )  # fmt: skip
    real = kept(network, torch.randn(2, 1, *found.patch_size)) / memory.GIB
    estimate = memory.xlstm_gib(found, 2, 1, 3, mixed=False, variant=variant) - memory.FIXED_GIB
    # The peak, to which the constants belong, was 1.06 to 1.14 times what is kept.
    assert real <= estimate <= 1.3 * real


def test_estimate_of_msvm_covers_what_is_kept():
    real = kept(MSVMUNet(1, 3), torch.randn(2, 1, 64, 96)) / memory.GIB
    assert real <= memory.msvm_gib((64, 96), 2) - memory.FIXED_GIB <= 1.3 * real


def test_weights_fit_into_the_fixed_part():
    largest = XLSTMUNet(
        2, 3, 8, "enc", (384, 640), (32, 64, 128, 256, 512, 512, 512), [3] * 7, [1, *[2] * 6], deep_supervision=True
    )
    assert 16 * sum(p.numel() for p in largest.parameters()) / memory.GIB < memory.FIXED_GIB / 2


def test_memory_of_this_machine():
    found = memory.available()
    assert 0 < found.gib < 10_000
    assert found.mixed == torch.cuda.is_available()
    assert str(found).endswith(f": {found.gib:.1f} GiB")


def test_the_default_depends_on_no_machine(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: pytest.fail("looked at this machine"))
    found = memory.budget(None)
    assert (found.gib, found.mixed) == (8, True)
    assert "nnU-Net" in str(found)
    assert (memory.budget(4).gib, memory.budget(4).mixed) == (4, True)
    monkeypatch.setattr(memory, "available", lambda: memory.Memory(3, False, "this machine"))
    assert memory.budget("here").gib == 3


def test_memory_that_the_system_does_not_tell(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: 3 * memory.GIB)
    assert memory.available().gib == 3
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: None)
    with pytest.raises(UserError, match="give the GiB with --memory"):
        memory.available()


def test_memory_of_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (memory.GIB, 24 * memory.GIB))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    found = memory.available()
    assert (found.gib, found.mixed) == (24, True)
    assert "Some GPU" in str(found)


@pytest.mark.parametrize("wrong", [0, -1, "8GB", "hier", math.inf, math.nan])
def test_wrong_memory_is_told(wrong):
    with pytest.raises(UserError, match="--memory needs a number of GiB above 0"):
        memory.budget(wrong)
