"""What a bundle reads from a dataset_dir."""

from __future__ import annotations

from pathlib import Path

from monai.data import load_decathlon_datalist

from ..images.endings import is_image, listed


def inference_items(dataset_dir: str, split: str = "test") -> list[dict[str, str]]:
    """List the images to segment: those of a list in datalist.json, or all of a folder that has no such file.

    Args:
        dataset_dir: a prepared data set, or any folder of images, which is searched with its subfolders; hidden files
            are left alone.
        split: name of the list.

    Returns:
        One ``{"image": path}`` for each image.

    Raises:
        FileNotFoundError: if the folder does not exist or has no images.
    """
    folder = Path(dataset_dir)
    datalist = folder / "datalist.json"
    if datalist.is_file():
        items = load_decathlon_datalist(str(datalist), data_list_key=split, base_dir=str(folder))
        return [{"image": item["image"]} for item in items]
    images = [str(path) for path in listed(folder) if is_image(path)]
    if not images:
        state = "has no images" if folder.is_dir() else "does not exist"
        raise FileNotFoundError(f"dataset_dir {folder} {state}: give a folder with datalist.json, or with images")
    return [{"image": path} for path in images]
