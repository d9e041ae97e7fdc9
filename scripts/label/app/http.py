"""The web application that uvicorn runs: MONAI Label's, closed to the pages of other servers."""

from __future__ import annotations

from monailabel.config import settings

# By default a page of any server that the browser has open may read the images. OHIF comes from this server itself and
# needs no such leave. In the environment the setting would end MONAI Label 0.8.5: it cannot write addresses as JSON.
settings.MONAI_LABEL_CORS_ORIGINS = [f"http://127.0.0.1:{settings.MONAI_LABEL_SERVER_PORT}"]

from monailabel.app import app  # noqa: E402

__all__ = ["app"]
