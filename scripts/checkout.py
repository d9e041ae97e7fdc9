"""The checkout that this package is part of, and where bundles are found."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The repository; in an installation without one, a folder without bundles."""


def bundles_in(folder: Path, config: str) -> list[Path]:
    """Folders in ``folder`` that are bundles with this config, sorted.

    Args:
        folder: such as ``bundles`` of the checkout.
        config: file name, such as "train.json".
    """
    return sorted(path.parents[1] for path in folder.glob(f"*/configs/{config}"))


def bundle_folder(name: str | Path, config: str) -> Path | None:
    """Folder of a bundle with this config: ``name`` itself, or of that name in ``./bundles`` or in the checkout.

    Returns:
        The first that there is, or None.
    """
    places = (Path(name), *(folder / name for folder in _places()))
    return next((place for place in places if (place / "configs" / config).is_file()), None)


def bundle_names(config: str) -> list[str]:
    """Names of the bundles with this config in ``./bundles`` and in the checkout."""
    return sorted({path.name for folder in _places() for path in bundles_in(folder, config)})


def _places() -> tuple[Path, Path]:
    return Path("bundles"), ROOT / "bundles"
