"""Whether all numbers of a map are finite."""

import pytest
import torch
from monai.data import MetaTensor

from components.finite import all_finite


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_every_kind_of_number(dtype):
    x = torch.linspace(-1e4, 1e4, 60, dtype=dtype).view(3, 4, 5)
    assert all_finite(x)
    assert all_finite(MetaTensor(x))
    assert all_finite(x[:0])
    for bad in (float("nan"), float("inf"), -float("inf")):
        broken = x.clone()
        broken[1, 2, 3] = bad
        assert not all_finite(broken)
        assert not all_finite(MetaTensor(broken).movedim(0, -1))
    assert not all_finite(torch.stack([x.fill_(float("inf")), -x]))
