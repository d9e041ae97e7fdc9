"""What bundles read: data sets that MONAI does not have, and the lists of a dataset_dir."""

from ..datalist import inference_items, prediction_path, split_items
from .epoch import EpochDataset
from .persistent import PreparedCases
from .sampler import EvaluationSampler

__all__ = ["EpochDataset", "EvaluationSampler", "PreparedCases", "inference_items", "prediction_path", "split_items"]
