"""Averages over mirrored inputs, inside of MONAI's inferers."""

import itertools
import weakref

import pytest
import torch
from monai.bundle import ConfigParser
from monai.inferers import SimpleInferer, SliceInferer, SlidingWindowInferer

from components.inferers import MirrorInferer


def network(spatial_dims=2, seed=0):
    torch.manual_seed(seed)
    conv = torch.nn.Conv2d if spatial_dims == 2 else torch.nn.Conv3d
    return torch.nn.Sequential(conv(1, 4, 3, padding=1), torch.nn.ReLU(), conv(4, 3, 3, padding=1)).eval()


def average(net, x, axes):
    """Each voxel's mean over the flips, written out."""
    outputs = []
    for wanted in itertools.product([False, True], repeat=len(axes)):
        flips = [axis for axis, flip in zip(axes, wanted, strict=True) if flip]
        outputs.append(net(x.flip(flips)).flip(flips))
    return torch.stack(outputs).mean(0)


@pytest.mark.parametrize("axes", [[], [0], [1], [0, 1], [0, 1, 2], [2]])
def test_average_over_all_mirrors(axes):
    dims = 3 if 2 in axes else 2
    net, x = network(dims), torch.rand(2, 1, *(7, 8, 6)[:dims])
    with torch.no_grad():
        result = MirrorInferer(SimpleInferer(), axes)(x, net)
        torch.testing.assert_close(result, average(net, x, [axis + 2 for axis in axes]))


def test_result_is_mirrored_with_the_input():
    """Which the network's own output is not."""
    net, x = network(), torch.rand(1, 1, 8, 9)
    infer = MirrorInferer(SimpleInferer(), [0, 1])
    with torch.no_grad():
        torch.testing.assert_close(infer(x.flip(2, 3), net), infer(x, net).flip(2, 3))
        assert not torch.allclose(net(x.flip(2, 3)), net(x).flip(2, 3))


def test_answers_are_neither_changed_nor_kept():
    """A network may return its input; an answer is freed before the network computes the next one."""
    x = torch.rand(2, 1, 6, 7)
    before = x.clone()
    torch.testing.assert_close(MirrorInferer(SimpleInferer(), [0, 1])(x, lambda x: x), before)
    assert torch.equal(x, before)
    answers = []

    def seen(x):
        assert [answer for answer in answers if answer() is not None] == []
        y = x * 2
        answers.append(weakref.ref(y))
        return y

    torch.testing.assert_close(MirrorInferer(SimpleInferer(), [0, 1])(x, seen), 2 * x)
    assert len(answers) == 4


def test_windows_are_mirrored_one_by_one():
    """What the sliding window does with a network that mirrors."""
    net, x = network(), torch.rand(1, 1, 20, 23)
    sliding = SlidingWindowInferer(roi_size=[8, 8], overlap=0.5, mode="gaussian", sigma_scale=0.125, sw_batch_size=3)
    with torch.no_grad():
        expected = sliding(x, lambda window: average(net, window, [2, 3]))
        torch.testing.assert_close(MirrorInferer(sliding, [0, 1])(x, net), expected)


def test_slices_are_mirrored_in_their_plane():
    net, x = network(), torch.rand(1, 1, 5, 10, 12)
    slices = SliceInferer(roi_size=[10, 12], spatial_dim=0)
    with torch.no_grad():
        result = MirrorInferer(slices, [0, 1])(x, net)
        expected = torch.stack([average(net, x[:, :, i], [2, 3]) for i in range(5)], dim=2)
    torch.testing.assert_close(result, expected)


def test_network_gets_its_other_arguments():
    infer = MirrorInferer(SimpleInferer(), [0])
    result = infer(torch.ones(1, 1, 2, 2), lambda x, factor, offset=0: x * factor + offset, 3, offset=1)
    assert torch.equal(result, torch.full((1, 1, 2, 2), 4.0))


def test_from_a_configuration():
    config = {
        "_target_": "components.inferers.MirrorInferer",
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [4, 4], "mode": "gaussian"},
        "axes": [0, 1],
    }
    infer = ConfigParser({"i": config}).get_parsed_content("i")
    assert infer(torch.rand(1, 1, 6, 6), network()).shape == (1, 3, 6, 6)


def test_wrong_use():
    for axes in ([0, 0], [-1]):
        with pytest.raises(ValueError, match="different numbers from 0"):
            MirrorInferer(SimpleInferer(), axes)
    with pytest.raises(TypeError, match=r"one tensor, not list: call network.eval\(\)"):
        MirrorInferer(SimpleInferer(), [0])(torch.rand(1, 1, 4, 4), lambda x: [x, x])
