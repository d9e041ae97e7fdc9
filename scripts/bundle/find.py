"""Where bundles are: found by name in the current folder, the repository or the installation, or by their path."""

from __future__ import annotations

from pathlib import Path

from components.validation import check_choice

from ..errors import UserError

_PACKAGE = Path(__file__).resolve().parents[1]
INSTALLED = (_PACKAGE / "components").is_dir()
"""Whether this is an installation; an editable one counts as the repository that it shows."""
ROOT = _PACKAGE if INSTALLED else _PACKAGE.parent
"""The folder that holds ``bundles`` and ``components``: the repository, or the installed package."""


def bundles_in(folder: Path, config: str = "metadata.json") -> list[Path]:
    """Folders in ``folder`` that are bundles with this config, sorted.

    Args:
        folder: such as ``bundles`` of the repository.
        config: file name, such as "train.json".
    """
    return sorted(path.parents[1] for path in folder.glob(f"*/configs/{config}"))


def bundle_names(config: str = "metadata.json") -> list[str]:
    """Names of the bundles with this config in ``./bundles`` and in :data:`ROOT`."""
    return sorted({path.name for folder in _places() for path in bundles_in(folder, config)})


def bundle_folder(name: str | Path, config: str = "metadata.json") -> Path | None:
    """As :func:`find_bundle`, but None if there is no such bundle."""
    places = (Path(name), *(folder / name for folder in _places()))
    return next((place.resolve() for place in places if (place / "configs" / config).is_file()), None)


def find_bundle(name: str | Path, config: str = "inference.json", argument: str = "--bundle") -> Path:
    """Folder of a bundle.

    Args:
        name: the folder, or a name that is looked for in ``./bundles``, then in the repository or the installation.
        config: a config that the bundle must have.
        argument: what gave the name, for messages.

    Returns:
        Its absolute path.

    Raises:
        UserError: if there is none; the message names the bundles that there are.
    """
    if folder := bundle_folder(name, config):
        return folder
    if Path(name).exists():
        hint = ": unpack it first" if Path(name).is_file() else ""
        raise UserError(f"{argument} {name} is not a bundle, it has no configs/{config}{hint}")
    try:
        check_choice("bundle", str(name), bundle_names(config))
    except ValueError as error:
        raise UserError(f"{error}, or give the folder of a bundle") from error
    raise UserError(f"there is no bundle at {name}")


def _places() -> tuple[Path, Path]:
    return Path("bundles"), ROOT / "bundles"
