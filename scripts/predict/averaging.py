"""Label maps from the average of probabilities that predict wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from tqdm import tqdm

from components.images.nifti import read_nifti
from components.transforms import write_regions

from ..data.reading import naming
from ..errors import UserError
from . import record
from .nnunet import copy_description
from .writing import write_map

POSTFIX = "_probabilities"


def average(folders: Sequence[Path], target: Path, nnunet_names: bool = False, overwrite: bool = False) -> int:
    """Write the label maps of the average.

    Args:
        folders: what predict wrote, with the probabilities of the same images and classes.
        target: folder for the label maps.
        nnunet_names: whether to call them as nnU-Net does.
        overwrite: whether label maps that are there are replaced.

    Returns:
        How many there are.

    Raises:
        UserError: if a folder has no probabilities, or others than the first, or label maps are there.
    """
    found = {folder: _cases(folder) for folder in folders}
    (first, cases), *others = found.items()
    names, regions = _names(first), record.read_labels(first, record.CHANNELS)
    for folder, there in others:
        if _names(folder) != names or record.read_labels(folder, record.CHANNELS) != regions:
            raise UserError(
                f"{folder} has other labels than {first} (labels.json): only the same classes can be averaged"
            )
        if strange := sorted(there ^ cases):
            raise UserError(f"{strange[0]} is in one of {first} and {folder} only: predict the same images with both")
    postfix = "" if nnunet_names else "_pred"
    maps = {case: target / case.replace(POSTFIX, postfix).replace(".npz", ".png") for case in sorted(cases)}
    if not overwrite and (there := [path for path in maps.values() if path.exists()]):
        raise UserError(f"{there[0]} exists: give another --output, or --overwrite to replace label maps")
    if nnunet_names:
        copy_description(first, target, ".png" if min(cases).endswith(".npz") else ".nii.gz", overwrite)
    record.write_labels(target, names, overwrite)
    for case, path in tqdm(maps.items(), "averaging", unit="case", disable=None):
        total, image = _sum([folder / case for folder in found], len(regions or names))
        labels = _decoded(total / len(found), names, regions) if regions else total.argmax(0)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_map(path, labels.astype(np.uint8 if max(names) < 256 else np.uint16), image)
    return len(maps)


def _cases(folder: Path) -> set[str]:
    cases = {path.name for ending in (".nii.gz", ".npz") for path in folder.glob(f"*{POSTFIX}{ending}")}
    if not cases:
        raise UserError(f"{folder} has no probabilities (CASE{POSTFIX}.nii.gz): predict with --save_probabilities")
    return cases


def _names(folder: Path) -> dict[int, str]:
    names = record.read_labels(folder)
    if not names:
        raise UserError(f"{folder} has no {record.LABELS}: give a folder that predict has written")
    return names


def _decoded(chances: np.ndarray, names: dict[int, str], regions: dict[int, str]) -> np.ndarray:
    """The label map of regions; each writes the label that has its name."""
    numbers = {name: number for number, name in names.items()}
    return write_regions(torch.from_numpy(chances), [numbers[regions[n]] for n in sorted(regions)])[0].numpy()


def _sum(sources: list[Path], channels: int) -> tuple[np.ndarray, nib.Nifti1Image | None]:
    total, image = _read(sources[0], channels)
    for source in sources[1:]:
        chances, other = _read(source, channels)
        with naming(source):
            if chances.shape != total.shape or (image and not np.allclose(image.affine, other.affine, atol=1e-3)):
                raise ValueError(f"it is not on the grid of {sources[0]}: it belongs to another image")
        total += chances
    return total, image


def _read(path: Path, channels: int) -> tuple[np.ndarray, nib.Nifti1Image | None]:
    """Probabilities, classes or regions first, and the image that they are on; None for pictures."""
    with naming(path):
        if path.suffix == ".npz":
            with np.load(path) as content:
                chances, image = content["probabilities"].astype(np.float32), None
        else:
            image = read_nifti(path)
            chances = np.moveaxis(np.asanyarray(image.dataobj, dtype=np.float32), -1, 0).copy()
        if len(chances) != channels:
            raise ValueError(
                f"it has {len(chances)} channels, but {channels} are named beside it: predict with --save_probabilities"
            )
        return chances, image
