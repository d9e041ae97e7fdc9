"""``ensemble``: label maps from the probabilities that several bundles gave for the same images."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError

FEWEST = 2


def ensemble(*folders: str, output: str, nnunet_names: bool = False, overwrite: bool = False) -> None:
    """Average probabilities and write the label maps of the average, as nnU-Net ensembles its configurations.

    Each folder is the output of predict with --save_probabilities, for the same images and of a bundle with the same
    classes. The probabilities are averaged on the grid of the images. Several weights of one bundle are averaged by
    predict itself (--folds, --weights), which needs neither the time nor the room to write them.

    Args:
        folders: folders with CASE_probabilities.nii.gz, or .npz for pictures, and labels.json.
        output: folder for the label maps, CASE_pred.nii.gz or CASE_pred.png, and labels.json.
        nnunet_names: call the label maps CASE, as nnU-Net does, with the dataset.json and plans.json that predict
            --nnunet_names wrote into the first folder: nnUNetv2_evaluate_folder then runs on the results.
        overwrite: replace label maps that are there.

    Example:
        scanseg ensemble labels/spleen_3d labels/spleen_2d --output labels/both
    """
    if len(folders) < FEWEST:
        raise UserError(f"ensemble needs {FEWEST} folders or more, not {len(folders)}")
    sources = [Path(folder) for folder in folders]
    if missing := [source for source in sources if not source.is_dir()]:
        raise UserError(f"{missing[0]} is not a folder: give folders that predict has written")

    from .averaging import average

    count = average(sources, Path(output), nnunet_names, overwrite)
    print(f"{count} label maps are in {output}")
