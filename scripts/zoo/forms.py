"""``zoo index``: the index for other tools."""

from __future__ import annotations

from pathlib import Path

from .convert import hugging_face
from .entries import INDEX, read_index
from .package import write_forms
from .sources import ROOT


def index(index: str | None = None, out: str | None = None, huggingface: str | None = None, zips: str = "dist") -> None:
    """Write model_zoo.json in the forms that other tools read.

    model_info.json is what ``python -m monai.bundle download --source github`` looks for, in the folder models of the
    repository. large_files.yml has the weights, for ``python -m monai.bundle download_large_files``. On request there
    is the folder of a Hugging Face repository for each bundle, with a model card.

    Args:
        index: the index to read; by default model_zoo.json of the checkout.
        out: folder for model_info.json and large_files.yml; by default models in the checkout.
        huggingface: folder to make, with a folder for each bundle.
        zips: folder with the zips that zoo package made; for --huggingface.

    Example:
        scanseg zoo index --huggingface upload --zips dist
    """
    content = read_index(Path(index) if index is not None else INDEX)
    folder = Path(out) if out is not None else ROOT / "models"
    write_forms(content, folder)
    print(f"{folder / 'model_info.json'} and {folder / 'large_files.yml'} are written")
    if huggingface is not None:
        for made in hugging_face(content, Path(zips), Path(huggingface)):
            print(f"{made} is ready for the upload")
