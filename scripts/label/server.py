"""MONAI Label's own server, with our additions."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from components.images.endings import PICTURES, VOLUMES

from ..bundle.inference import InferenceBundle

PATTERNS = [f"*{each}" for ending in (*VOLUMES, *PICTURES) if ending != ".img" for each in (ending, ending.upper())]
"""Names of the files that MONAI Label takes for studies; ``.img`` is the other half of ``.hdr``."""


def start(app: Path, studies: str, bundles: Iterable[InferenceBundle], host: str, port: int) -> None:
    """Serve until Ctrl-C.

    Args:
        app: folder of :func:`scripts.label.folder.make_app`.
        studies: folder of the images, or address of a DICOMweb server.
        bundles: the bundles.
        host: address to listen on.
        port: port to listen on.
    """
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
