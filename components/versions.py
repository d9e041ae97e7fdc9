"""The agreement of a bundle with the copy of this package that Python loaded."""

from __future__ import annotations

from pathlib import Path


def require(version: str) -> None:
    """Refuse to continue unless the loaded copy of ``components`` serves a bundle.

    A process has one ``components``, the first that was imported: that of an environment, of a checkout, or of the
    bundle that was loaded first. Every bundle calls this before its network is made. A copy serves where it has the
    version or a later one that is compatible by semantic versioning: the same major version, before 1.0 the same minor
    version too.

    Args:
        version: the version that the bundle needs, such as "0.1.0".

    Raises:
        ImportError: if the loaded copy is another one.

    Example:
        >>> import components
        >>> components.require(components.__version__)
    """
    from . import __version__

    needed, loaded = (tuple(map(int, text.split("."))) for text in (version, __version__))
    fixed = 1 if needed[0] else 2
    if needed[:fixed] != loaded[:fixed] or loaded < needed:
        raise ImportError(
            f"this bundle needs components {version}, but Python has loaded components {__version__} from "
            f"{Path(__file__).parent}: run the bundle in a separate process, or use bundles and an installed scanseg "
            "of one release"
        )
