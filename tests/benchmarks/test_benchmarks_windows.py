"""The sliding windows that ours are measured beside do the same."""

import numpy as np
import torch

from benchmarks.windows import as_nnunet
from components.inferers import EvenWindowInferer


def test_the_rule_of_nnunet_is_ours_in_half_precision():
    image = torch.from_numpy(np.random.default_rng(0).random((1, 1, 13, 20, 23))).float()
    roi = (8, 9, 12)

    def network(x):
        return torch.cat([x.cumsum(-1) / x.shape[-1], x.flip(-2).cumsum(-2) + x], 1)

    found = as_nnunet(image, network, roi)
    assert found.dtype == torch.half
    expected = EvenWindowInferer(roi)(image, network)
    inside = (..., *[slice(2, -2)] * 3)  # at the very edge half precision has no weights left
    assert (found.float() - expected)[inside].abs().max() < 2e-3 * expected.abs().max()
