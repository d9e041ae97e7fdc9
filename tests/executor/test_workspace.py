"""Memory that is used again within a forward pass."""

import threading

import pytest
import torch

from components.executor import convolution, residual, workspace
from components.executor.workspace import give, take
from components.kernels.layout import channels_last
from components.networks import XLSTMUNet

SIZE = (1, 8, (4, 32, 64), torch.float32)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(workspace, "LARGE", 4 * 8 * 4 * 32 * 64 - 1)


def test_what_is_given_is_taken_again():
    with workspace.workspace():
        x = take(*SIZE)
        place = x.data_ptr()
        give(x)
        assert take(*SIZE).data_ptr() == place


def test_a_map_that_was_given_is_empty_and_its_memory_has_one_user():
    with workspace.workspace():
        x = take(*SIZE)
        give(x)
        give(x)
        assert x.numel() == 0
        assert take(*SIZE).data_ptr() != take(*SIZE).data_ptr()


def test_the_shape_is_channels_last_whatever_the_memory_was():
    with workspace.workspace():
        give(take(*SIZE))
        x = take(2, 4, (64, 128), torch.float32)
    assert x.shape == (2, 4, 64, 128)
    assert x.movedim(1, -1).is_contiguous()


def test_another_size_drops_what_is_spare():
    with workspace.workspace():
        give(take(*SIZE))
        take(1, 16, (4, 32, 64), torch.float32)
        assert workspace._spare.get() == []


def test_small_maps_are_left_to_the_c_library():
    with workspace.workspace():
        x = take(1, 8, (4, 4, 4), torch.float32)
        give(x)
        assert x.shape == (1, 8, 4, 4, 4)
        assert workspace._spare.get() == []


def test_without_a_workspace_nothing_is_given():
    x = torch.ones(1, 8, 4, 32, 64)
    give(x)
    assert x.shape == (1, 8, 4, 32, 64)


def test_each_thread_has_its_own():
    seen = []
    with workspace.workspace():
        thread = threading.Thread(target=lambda: seen.append(workspace._spare.get()))
        thread.start()
        thread.join()
        assert workspace._spare.get() == []
    assert seen == [None]


@pytest.mark.parametrize("variant", ["bot", "enc"])
@pytest.mark.parametrize(
    ("patch", "strides"), [((8, 16, 16), [1, [1, 2, 2], 2]), ((16, 24), [1, 2, [1, 2]])], ids=["3d", "2d"]
)
def test_a_network_is_the_same_with_all_maps_in_slabs_and_used_again(variant, patch, strides, monkeypatch):
    monkeypatch.setattr(workspace, "LARGE", 0)
    monkeypatch.setattr(convolution, "SLAB", 4000)
    monkeypatch.setattr(residual, "FEW", 0)
    torch.manual_seed(0)
    network = XLSTMUNet(len(patch), 2, 3, variant, patch, (4, 8, 8), [3] * 3, strides, deep_supervision=True).eval()
    network = network.double()
    x = torch.randn(2, 2, *patch, dtype=torch.float64)
    before = x.clone()
    expected = network.deep_outputs(x)  # gradients are recorded: PyTorch's convolutions
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            outputs = network.deep_outputs(x)
            torch.testing.assert_close(outputs, [output.detach() for output in expected])
            torch.testing.assert_close(network(x), expected[0].detach())
            channels = channels_last(x)
            torch.testing.assert_close(network(channels), expected[0].detach())
            torch.testing.assert_close(channels, before, rtol=0, atol=0)
    torch.testing.assert_close(x, before, rtol=0, atol=0)
