"""The lists of a dataset_dir, ``datalist.json``: what a bundle reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .files import case_name, read_json
from .images.endings import is_image, is_volume, listed


def split_items(
    dataset_dir: str, split: str, fold: int | None = None, previous_dir: str | None = None
) -> list[dict[str, Any]]:
    """List the cases of a prepared data set for training, validation or test, of one fold or without folds.

    The items of the list training may have a number ``"fold"``, as MONAI's Auto3DSeg has it. For a fold the training
    are all items of another fold or of none, and both validation and test are those of the fold, which its network has
    not seen. Where the training takes slices, the whole volumes stand with their fold in the list validation, and are
    taken instead. Without a fold each list is itself, but for validation cases with a fold: the training has them.

    Args:
        dataset_dir: folder with ``datalist.json``.
        split: "training", "validation" or "test".
        fold: number of a fold; None for none.
        previous_dir: for a cascade the output_dir of its previous stage, whose label map of each case becomes the item
            "previous": for a case with a fold that of the network which has not seen it, in ``fold_k``.

    Returns:
        The items with the paths of their files, without the number of their fold.

    Raises:
        ValueError: if there is no such list or no such fold, or a fold has no other cases to train on.
        FileNotFoundError: if the previous stage has no label map of a case.

    Example:
        >>> split_items("dataset", "validation", fold="all")
        Traceback (most recent call last):
        ValueError: fold is 'all', but one number is needed, from 0 on
    """
    if fold is not None and (isinstance(fold, bool) or not isinstance(fold, int) or fold < 0):
        raise ValueError(f"fold is {fold!r}, but one number is needed, from 0 on")
    if fold is None:
        items = [item for item in _listed(dataset_dir, split) if split != "validation" or item.get("fold") is None]
    else:
        training = _listed(dataset_dir, "training")
        fold_numbers(dataset_dir, [fold])
        if split == "training":
            items = [item for item in training if item.get("fold") != fold]
        else:
            whole = [item for item in _listed(dataset_dir, "validation") if item.get("fold") is not None]
            items = [item for item in whole or training if item.get("fold") == fold]
    if previous_dir is not None:
        items = [{**item, "previous": _previous(item, previous_dir)} for item in items]
    return [{key: value for key, value in item.items() if key != "fold"} for item in items]


def prediction_path(output_dir: str | Path, image: str | Path) -> Path:
    """Where an evaluation or an inference with this output_dir writes the label map of an image."""
    return (
        Path(output_dir) / "predictions" / f"{case_name(Path(image))}_pred{'.nii.gz' if is_volume(image) else '.png'}"
    )


def _previous(item: dict[str, Any], previous_dir: str) -> str:
    """The label map of a case by the previous stage, as an absolute path."""
    fold, image = item.get("fold"), item["image"]
    folder = Path(previous_dir).resolve().joinpath(*([] if fold is None else [f"fold_{fold}"]))
    path = prediction_path(folder, image if isinstance(image, str) else image[0])
    if not path.is_file():
        made = "run training BUNDLE --folds all" if fold is not None else "run inferring BUNDLE --folds all"
        raise FileNotFoundError(
            f"{path}, the label map by the previous stage of the cascade, is missing: `scanseg {made}` with the bundle "
            f"of that stage writes it; for another output_dir of it give --previous_dir"
        )
    return str(path)


def _listed(dataset_dir: str, split: str) -> list[dict[str, Any]]:
    """The items of a list with the paths of their files, as MONAI's ``load_decathlon_datalist`` gives them.

    MONAI takes seconds to import, and reads the file in the encoding of the system.
    """
    path = Path(dataset_dir) / "datalist.json"
    if not path.is_file():
        raise ValueError(f"{path} does not exist: give a dataset_dir that has it, as `scanseg data prepare` makes one")
    lists = read_json(path)
    if split not in lists:
        raise ValueError(f"{path} has no list {split}: it has {', '.join(lists) or 'none'}")
    items = [{"image": item} if isinstance(item, str) else item for item in lists[split]]
    return [{key: _found(dataset_dir, key, value) for key, value in item.items()} for item in items]


def _found(dataset_dir: str, key: str, value: Any) -> Any:
    """An entry of an item: paths are taken from the data set, other values stay as they are."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return [_found(dataset_dir, key, each) for each in value]
    if not isinstance(value, str):
        return value
    path = os.path.normpath(os.path.join(dataset_dir, value))
    return path if key in ("image", "label") or os.path.exists(path) else value


def fold_numbers(dataset_dir: str, wanted: Sequence[int] = ()) -> list[int]:
    """The numbers of the folds of a prepared data set, sorted.

    Args:
        dataset_dir: folder with ``datalist.json``.
        wanted: folds that it must have.

    Raises:
        ValueError: if it has no folds or not the wanted ones, or all training items are of a single fold.
    """
    path, folds = Path(dataset_dir) / "datalist.json", {item.get("fold") for item in _listed(dataset_dir, "training")}
    known = sorted(folds - {None})
    if not known:
        raise ValueError(
            f"the training items of {path} have no folds: `scanseg new … --folds 5` makes them, or add "
            f'"fold": 0, 1, … to the items'
        )
    for number in wanted:
        if number not in known:
            raise ValueError(f"{path} has no fold {number}: it has {', '.join(map(str, known))}")
    if len(folds) == 1:
        raise ValueError(f"{path}: all training items are in fold {known[0]}, so nothing is left to train on")
    return known


def inference_items(dataset_dir: str, split: str = "test", previous_dir: str | None = None) -> list[dict[str, Any]]:
    """List the images to segment: those of a list in datalist.json, or all of a folder that has no such file.

    Args:
        dataset_dir: a prepared data set, or any folder of images, which is searched with its subfolders; hidden files
            are left alone.
        split: name of the list.
        previous_dir: as in :func:`split_items`; the label map is that of an inference.

    Returns:
        One ``{"image": path}`` for each image, with "previous" for a cascade.

    Raises:
        FileNotFoundError: if the folder does not exist or has no images, or the previous stage has no label map of one.
    """
    folder = Path(dataset_dir)
    datalist = folder / "datalist.json"
    if datalist.is_file():
        images = [item["image"] for item in _listed(dataset_dir, split)]
    elif not (images := [str(path) for path in listed(folder) if is_image(path)]):
        state = "has no images" if folder.is_dir() else "does not exist"
        raise FileNotFoundError(f"dataset_dir {folder} {state}: give a folder with datalist.json, or with images")
    items = [{"image": image} for image in images]
    return items if previous_dir is None else [{**item, "previous": _previous(item, previous_dir)} for item in items]
