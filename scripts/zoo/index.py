"""``zoo index``: the index for other tools."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from .entries import INDEX, read_index
from .fetch import index_place
from .formats import hugging_face
from .package import write_forms


def index(
    index: str | None = None, out: str | None = None, huggingface: str | None = None, zips: str | None = None
) -> None:
    """Write model_zoo.json in the formats of other tools.

    model_info.json is what ``python -m monai.bundle download --source github`` looks for, in the folder models of the
    repository. large_files.yml has the weights, for ``python -m monai.bundle download_large_files``. On request, a
    folder for a Hugging Face repository is made for each bundle, with a model card.

    Args:
        index: file or folder of the index to read; by default that of the checkout, of the released versions.
        out: folder for model_info.json and large_files.yml; by default models beside the index.
        huggingface: folder to make, with a folder for each bundle.
        zips: folder with the zips of the index, for --huggingface; by default that of the index, and for the one of the
            checkout dist.

    Example:
        scanseg zoo index --index dist --huggingface upload
    """
    place = Path(index_place(index))
    content = read_index(place)
    if not content["bundles"]:
        raise UserError(f"{place} lists no bundles: give the folder that zoo package wrote with --index")
    folder = Path(out) if out is not None else place.with_name("models")
    write_forms(content, folder)
    print(f"{folder / 'model_info.json'} and {folder / 'large_files.yml'} are written")
    if huggingface is not None:
        beside = place.parent if index is not None else INDEX.with_name("dist")
        for made in hugging_face(content, Path(zips) if zips is not None else beside, Path(huggingface)):
            print(f"{made} is ready for the upload")
