"""The app folder: copies of the bundles, so that training in the server leaves the bundles themselves alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from components.files import read_json, replacing, write_text

from ..bundle.inference import InferenceBundle, get_weights, load_weights
from ..errors import UserError, root_cause
from ..files import hexdigest

MAIN = f'''"""Written by scanseg: what MONAI Label loads as its app."""

from {__package__}.app.bundles import BundlesApp
'''


def make_app(folder: Path, bundles: Iterable[InferenceBundle]) -> Iterator[str]:
    """Make or renew an app folder.

    Each bundle is in ``model/NAME``: its configs as they are now, and weights. Those are copied from the bundle when
    there are none, or when the bundle has new ones and no training in the server changed the copy.

    Args:
        folder: the app folder.
        bundles: the bundles to serve.

    Yields:
        What the user should know about the weights.

    Raises:
        UserError: if a bundle has no weights, or they do not fit its network, or it needs other components.
    """
    if folder.is_file():
        raise UserError(f"--app {folder} is a file: give a folder")
    write_text(folder / "main.py", MAIN)
    for bundle in bundles:
        copy = folder / "model" / bundle.name
        shutil.rmtree(copy / "configs", ignore_errors=True)
        shutil.copytree(bundle.root / "configs", copy / "configs")
        yield from place_weights(bundle, copy / "models")
        try:
            network = bundle.get("network_def")
        except (ImportError, RuntimeError) as error:
            raise UserError(f"the network of {bundle.name} cannot be made: {root_cause(error)}") from error
        load_weights(network, copy / "models" / "model.pt", bundle)


def place_weights(bundle: InferenceBundle, models: Path) -> Iterator[str]:
    """Copy the weights of a bundle, unless weights that were trained in the server would be lost.

    Args:
        bundle: the bundle.
        models: folder for ``model.pt`` and the record of where it came from, ``origin.json``.

    Yields:
        What the user should know.

    Raises:
        UserError: if there are no weights, neither in the bundle nor in the folder.
    """
    source, target, record = bundle.default_weights, models / "model.pt", models / "origin.json"
    if not source.is_file() and not target.is_file():
        raise UserError(f"{bundle.name} has no weights, {source} is missing: {get_weights('it')}")
    copied = read_json(record)["sha256"] if record.is_file() else None
    new = hexdigest(source) if source.is_file() else copied
    trained = target.is_file() and hexdigest(target) != copied
    if trained:
        yield f"{bundle.name}: weights trained in this server, {target}"
        if new != copied:
            yield f"{bundle.name}: {source} has changed since; to start from it, delete {models}"
    elif not target.is_file() or new != copied:
        with replacing(target) as partial:
            shutil.copyfile(source, partial)
        write_text(record, json.dumps({"source": str(source), "sha256": new}, indent=2) + "\n")
