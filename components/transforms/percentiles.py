"""Images of any intensity range as 8 bit."""

from __future__ import annotations

import numpy as np
from monai.config import KeysCollection

from .mapped import ArrayMapTransform


class PercentilesToUint8d(ArrayMapTransform):
    """Stretch each channel to 0 … 255 between two percentiles of its non-zero values, and round down.

    MONAI's ``ScaleIntensityRangePercentilesd`` counts the zeros too. A channel whose percentiles are the same, up to
    0.001, is only clipped. Source: the baseline of the NeurIPS 2022 cell segmentation challenge (Ma et al., 2024).

    Args:
        keys: the images, each channel first.
        lower: percentile that becomes 0.
        upper: percentile that becomes 255.
        allow_missing_keys: whether items may be missing.

    Raises:
        ValueError: unless 0 ≤ lower < upper ≤ 100.
    """

    def __init__(
        self, keys: KeysCollection, lower: float = 1.0, upper: float = 99.0, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys, _stretch, lower, upper)
        if not 0 <= lower < upper <= 100:
            raise ValueError(f"lower and upper must be percentiles with 0 ≤ lower < upper ≤ 100, got {lower}, {upper}")


def _stretch(channel: np.ndarray, lower: float, upper: float) -> np.ndarray:
    values = channel[channel != 0]
    low, high = np.percentile(values, [lower, upper]) if values.size else (0.0, 0.0)
    if high - low > 0.001:
        channel = (channel - low) / (high - low) * 255
    return np.clip(channel, 0, 255).astype(np.uint8)
