"""Dictionary transforms from a function of an array."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_numpy
from torch import Tensor


class ArrayMapTransform(MapTransform):
    """Applies a function of an array to every channel of the items; a MetaTensor keeps its metadata.

    Args:
        keys: the items, each channel first.
        allow_missing_keys: whether items may be missing.
        function: gets a channel as an array and gives one, whose type the item gets.
        args: further arguments of the function.
    """

    def __init__(
        self, keys: KeysCollection, allow_missing_keys: bool, function: Callable[..., Any], *args: Any
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.function, self.args = function, args

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Change the items; other items are passed on."""
        d = dict(data)
        for key in self.key_iterator(d):
            changed = np.stack([self.function(channel, *self.args) for channel in convert_to_numpy(d[key])])
            d[key] = convert_to_dst_type(changed, d[key], dtype=torch.from_numpy(changed).dtype)[0]
        return d
