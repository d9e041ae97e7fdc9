"""What bundles read: data sets that MONAI does not have, and the lists of a dataset_dir."""

from .epoch import EpochDataset
from .items import inference_items
from .sampler import EvaluationSampler

__all__ = ["EpochDataset", "EvaluationSampler", "inference_items"]
