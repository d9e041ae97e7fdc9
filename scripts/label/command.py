"""``label``: start MONAI Label with bundles."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from components.images.endings import is_image, is_picture, listed

from ..addresses import is_loopback
from ..bundle.find import find_bundle
from ..errors import UserError
from ..hints import Port, separated
from .environment import INSTALL
from .kinds import wanted

if TYPE_CHECKING:
    from ..bundle.inference import InferenceBundle


def label(studies: str, bundles: str, app: str = "label_app", host: str = "127.0.0.1", port: Port = 8000) -> None:
    """Start MONAI Label with one or more bundles, until Ctrl-C.

    The bundles are copied into the app folder, and training in the server changes the weights there, never those of the
    bundle. Clients are 3D Slicer, OHIF and others: docs/monai_label.md. It needs an environment with MONAI Label; in
    the repository ``bash scripts/label_server.sh`` makes one and runs this command in it.

    Args:
        studies: folder with the images; labels are in its folder labels/final. Or the address of a DICOMweb server.
        bundles: names or folders of bundles, with commas between them.
        app: folder for the copies of the bundles, weights trained in the server, and the logs; created if missing.
        host: address to listen on. Any other than 127.0.0.1 lets other machines connect, without encryption.
        port: port to listen on.

    Example:
        scanseg label --studies studies --bundles msvm_synapse,xlstm_abdomen_mri_3d
    """
    roots = _found(bundles)
    images = [] if _is_server(studies) else _images_of(Path(studies))
    _check_address(host, port)

    from ..bundle.inference import InferenceBundle
    from .folder import make_app
    from .server import start

    opened = [InferenceBundle(root) for root in roots]
    _check_bundles(opened, studies, images)
    if importlib.util.find_spec("monailabel") is None:
        raise UserError(f"MONAI Label is not installed here: {INSTALL}")
    folder = Path(app).resolve()
    for note in make_app(folder, opened):
        print(f"note: {note}")
    print(
        f"MONAI Label with {', '.join(bundle.name for bundle in opened)}: http://{host}:{port}, logs in {folder}/logs"
    )
    if not is_loopback(host):
        print(
            f"warning: {host} can be reached from other machines, and MONAI Label has no encryption and asks for no "
            "password: use a network that you trust, or a proxy with TLS",
            file=sys.stderr,
        )
    start(folder, studies if _is_server(studies) else str(Path(studies).resolve()), opened, host, port)


def _found(bundles: str) -> list[Path]:
    """Folders of the bundles."""
    roots = [find_bundle(name) for name in separated(bundles)]
    if not roots:
        raise UserError("--bundles needs the name of a bundle")
    counts = Counter(root.name for root in roots)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise UserError(f"--bundles has {twice[0]} twice")
    return roots


def _is_server(studies: str) -> bool:
    return studies.startswith(("http://", "https://"))


def _images_of(folder: Path) -> list[Path]:
    """The images that MONAI Label will find in a folder of studies."""
    if not folder.is_dir():
        raise UserError(f"--studies {folder} is not a folder: give the folder with the images")
    if not os.access(folder, os.W_OK):
        raise UserError(f"--studies {folder} cannot be written to, but MONAI Label keeps labels and its list there")
    found = list(filter(is_image, listed(folder)))
    images = [path for path in found if path.parent == folder]
    if not images:
        if found:
            raise UserError(f"--studies {folder} has images in its subfolders only: MONAI Label reads {folder} itself")
        print(f"note: {folder} has no images yet: clients can send them")
    return images


def _check_bundles(bundles: Iterable[InferenceBundle], studies: str, images: list[Path]) -> None:
    """Raise UserError unless MONAI Label can run each bundle, and on the images that are there."""
    for bundle in bundles:
        if bundle.previous_stage is not None:
            raise UserError(f"{bundle.name} is a cascade, which MONAI Label cannot run: give the bundle in 3d instead")
        if _is_server(studies) and bundle.takes_pictures:
            raise UserError(f"{bundle.name} reads pictures, which a DICOMweb server cannot provide: use a folder")
        if images and all(is_picture(path) != bundle.takes_pictures for path in images):
            raise UserError(f"--studies {studies} has no images for {bundle.name}, which needs {wanted(bundle)}")


def _check_address(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except socket.gaierror as error:
        raise UserError(f"--host {host} is not an address of this machine") from error
    except OSError as error:
        raise UserError(f"port {port} of {host} cannot be used ({error.strerror}): give another with --port") from error
