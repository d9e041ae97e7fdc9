"""``label``: start MONAI Label with bundles."""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import json
import os
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from components.images.endings import PICTURES, VOLUMES, is_image, is_picture, listed

from ..bundle.inference import InferenceBundle
from ..errors import UserError
from .folder import make_app
from .kinds import wanted

PATTERNS = [f"*{each}" for ending in (*VOLUMES, *PICTURES) if ending != ".img" for each in (ending, ending.upper())]
"""Names of the files that MONAI Label takes for studies; ``.img`` is the other half of ``.hdr``."""
INSTALL = "bash scripts/label_server.sh installs it into an environment of its own and starts it"


def serve(studies: str, bundles: str, app: str = "label_app", host: str = "127.0.0.1", port: int = 8000) -> None:
    """Start MONAI Label with one or more bundles, until Ctrl-C.

    The bundles are copied into the app folder, and training in the server changes the weights there, never those of the
    bundle. Clients are 3D Slicer, OHIF and others: docs/monai_label.md. It runs in an environment that has MONAI Label;
    ``bash scripts/label_server.sh`` makes one and runs this command in it.

    Args:
        studies: folder with the images; labels are in its folder labels/final. Or the address of a DICOMweb server.
        bundles: names or folders of bundles, with commas between them.
        app: folder for the copies of the bundles, what is trained in the server, and the logs; made where missing.
        host: address to listen on. Others than 127.0.0.1 let other machines in, without any encryption.
        port: port to listen on.

    Example:
        scanseg label --studies studies --bundles msvm_synapse,xlstm_abdomen_mri_3d
    """
    names = [name.strip() for name in bundles.split(",") if name.strip()]
    if not names:
        raise UserError("--bundles needs the name of a bundle")
    opened = [InferenceBundle(name) for name in names]
    if twice := [bundle.name for bundle in opened if [other.name for other in opened].count(bundle.name) > 1]:
        raise UserError(f"--bundles has {twice[0]} twice")
    where = _check_studies(studies, opened)
    _check_address(host, port)
    if importlib.util.find_spec("monailabel") is None:
        raise UserError(f"MONAI Label is not installed here: {INSTALL}")
    folder = Path(app).resolve()
    for note in make_app(folder, opened):
        print(f"note: {note}")
    print(
        f"MONAI Label with {', '.join(bundle.name for bundle in opened)}: http://{host}:{port}, logs in {folder}/logs"
    )
    if not _is_local(host):
        print(
            f"warning: {host} can be reached from other machines, and MONAI Label has no encryption and asks for no "
            "password: use a network that you trust, or a proxy with TLS",
            file=sys.stderr,
        )
    _start(folder, where, opened, host, port)


def _check_studies(studies: str, bundles: Iterable[InferenceBundle]) -> str:
    if studies.startswith(("http://", "https://")):
        if pictures := [bundle.name for bundle in bundles if bundle.takes_pictures]:
            raise UserError(f"{pictures[0]} reads pictures, which a DICOMweb server does not give: use a folder")
        return studies
    folder = Path(studies)
    if not folder.is_dir():
        raise UserError(f"--studies {folder} is no folder: give the folder with the images")
    if not os.access(folder, os.W_OK):
        raise UserError(f"--studies {folder} cannot be written to, but MONAI Label keeps labels and its list there")
    found = list(filter(is_image, listed(folder)))
    images = [path for path in found if path.parent == folder]
    if not images:
        if found:
            raise UserError(f"--studies {folder} has images in its subfolders only: MONAI Label reads {folder} itself")
        print(f"note: {folder} has no images yet: clients can send them")
    for bundle in bundles if images else ():
        if all(is_picture(path) != bundle.takes_pictures for path in images):
            raise UserError(f"--studies {folder} has nothing for {bundle.name}, which needs {wanted(bundle)}")
    return str(folder.resolve())


def _check_address(host: str, port: int) -> None:
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise UserError(f"--port needs a number from 1 to 65535, not {port!r}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except socket.gaierror as error:
        raise UserError(f"--host {host} is no address of this machine") from error
    except OSError as error:
        raise UserError(f"port {port} of {host} cannot be used ({error.strerror}): give another with --port") from error


def _is_local(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _start(app: Path, studies: str, bundles: Iterable[InferenceBundle], host: str, port: int) -> None:
    modalities = {str(bundle.takes["modality"]) for bundle in bundles}
    settings = {
        "MONAI_LABEL_DICOMWEB_SEARCH_FILTER": json.dumps({"Modality": min(modalities)} if len(modalities) == 1 else {}),
        "MONAI_LABEL_DATASTORE_FILE_EXT": json.dumps(PATTERNS),
        "MONAI_LABEL_SESSION_PATH": str(app / "sessions"),
        "MONAI_LABEL_TRACKING_ENABLED": "false",
        # It would forget our own package whenever it turns to another bundle.
        "MONAI_LABEL_RELOAD_APP_LIB": "false",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    os.chdir(app)  # MONAI Label reads a file .env of the current folder
    from monailabel.main import Main

    conf = {"models": ",".join(bundle.name for bundle in bundles), "zoo_source": "local", "sam2": "false"}
    flags = [word for pair in conf.items() for word in ("--conf", *pair)]
    flags += ["--app", str(app), "--studies", studies, "--host", host, "--port", str(port)]
    sys.argv = ["monailabel", "start_server", *flags, "--uvicorn_app", f"{__package__}.app.http:app"]
    Main().run()
