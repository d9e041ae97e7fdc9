"""Operations that can be counted by hand."""

import torch
from torch import nn

from benchmarks import operations
from scripts.bench.models import BOT, build, plan


def test_convolution_and_product():
    network = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 6 * 7, 2))
    assert operations.of_network(network, torch.zeros(4, 3, 6, 7)) == 2 * 4 * (3 * 5 * 9 * 6 * 7 + 5 * 6 * 7 * 2)


def test_nothing_is_computed_or_changed():
    network = build(BOT, plan("mri", quick=True)).eval()
    x = torch.zeros(plan("mri", quick=True).input(1))
    with torch.no_grad():
        before = network(x)
        counted = operations.of_network(network, x)
        assert torch.equal(network(x), before)
    assert not network.training
    assert operations.of_network(network.train(), x) == counted  # whatever path the kernels take


def test_scan_by_hand():
    # one number: projection 8, step size 6, softplus 14, decay 6, recurrence and output 4, in each of four paths
    assert operations.of_cross_scan(1, rank=6) == 2 * 4 * (8 + 6 + 14 + 6 + 4)
    assert operations.of_cross_scan(120, 6) == 120 * operations.of_cross_scan(1, 6)
