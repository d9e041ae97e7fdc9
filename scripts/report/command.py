"""``report``: one page on a training and an evaluation."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from ..hints import Count


def report(
    output_dir: str,
    dataset_dir: str | None = None,
    slices: Count = 16,
    cases: Count = 3,
    mlflow: str | None = None,
    tensorboard: str | None = None,
) -> None:
    """Make report.html from what a training and an evaluation left in their output folder.

    The page is one file that needs no network: learning curves (history.csv), scores of each class and case
    (metrics.json, metrics.csv), agreement of volumes, how it was run (training.json, evaluation.json), and the
    predictions over the images (predictions/CASE_pred.nii.gz or .png) with their errors, for the best, the median and
    the worst case. With a data set it also describes the data, and overlay.png shows some slices. The strict scores are
    printed at the end.

    If the folder holds the folds of a cross-validation (fold_0, …), the same is made for all of them together in its
    folder out_of_fold: every case is scored by the network that has not seen it. The mean of each fold and the standard
    deviation of these means are printed and written to out_of_fold/metrics.json.

    Args:
        output_dir: the output_dir of the training and the evaluation.
        dataset_dir: the dataset_dir of the evaluation; without it there are no pictures.
        slices: largest number of slices shown of a case in each plane.
        cases: number of test cases with pictures, from the best to the worst.
        mlflow: tracking URI of MLflow, such as sqlite:///O/mlruns.db, to send the page, the picture and the scores to:
            to the run of the training where it was tracked there, else to a run of its own.
        tensorboard: folder of TensorBoard's events to write the picture and the scores to.

    Example:
        scanseg report --output_dir output/msvm_synapse --dataset_dir data/msvm_synapse
    """
    output, dataset = Path(output_dir), Path(dataset_dir) if dataset_dir else None
    if not output.is_dir():
        raise UserError(f"--output_dir {output} is not a folder: give the output_dir of a training or an evaluation")

    from .writing import write_reports

    write_reports(output, dataset, slices, cases, mlflow, tensorboard)
