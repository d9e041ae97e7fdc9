"""What a bundle reads: pictures, volumes, or volumes slice by slice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from components.images.endings import PICTURES, VOLUMES, is_picture

from ..errors import UserError

if TYPE_CHECKING:
    from ..bundle.inference import InferenceBundle


def is_slicewise(bundle: InferenceBundle) -> bool:
    """Whether a bundle segments volumes slice by slice."""
    return bundle.parser.config["inferer"]["_target_"].endswith("SliceInferer")


def wanted(bundle: InferenceBundle) -> str:
    """The images that a bundle takes, as text."""
    kind, suffixes = ("pictures", PICTURES) if bundle.takes_pictures else ("volumes", VOLUMES)
    return f"{kind} ({', '.join(suffixes)})"


def check_kind(bundle: InferenceBundle, path: Path) -> None:
    """Raise UserError if a bundle cannot read an image, by the ending of the file."""
    if is_picture(path) != bundle.takes_pictures:
        raise UserError(f"{path.name} does not fit {bundle.name}, which needs {wanted(bundle)}")
