"""The app: MONAI Label's own for bundles, taken from the installed package, with our tasks."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
from collections.abc import Iterator
from importlib import metadata
from types import ModuleType
from typing import Any

import torch
from fastapi import HTTPException
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.exception import MONAILabelException

from ...errors import UserError
from .infer import BundleInference
from .train import BundleTraining

logger = logging.getLogger(__name__)

SAMPLE = "sample-apps/monaibundle/main.py"


def sample_app() -> ModuleType:
    """Load the app for bundles that comes with MONAI Label.

    Raises:
        UserError: if the installed MONAI Label has none.
    """
    for file in metadata.files("monailabel") or ():
        if file.as_posix().endswith(SAMPLE):
            spec = importlib.util.spec_from_file_location("monailabel_monaibundle", file.locate())
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise UserError(f"the installed MONAI Label {metadata.version('monailabel')} has no {SAMPLE}: install 0.8.5")


class BundlesApp(sample_app().MyApp, MONAILabelApp):
    """MONAI Label's app for bundles, with strict weights and with errors that say what is wrong.

    MONAILabelApp is a base once more because MONAI Label looks for a class that names it itself.
    """

    def init_infers(self) -> dict[str, BundleInference]:
        """An inference task for each bundle."""
        return {name: BundleInference(path, self.conf) for name, path in self.models.items()}

    def init_trainers(self) -> dict[str, BundleTraining]:
        """A training task for each bundle."""
        return {name: BundleTraining(path, self.conf) for name, path in self.models.items()}

    def infer(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Segment an image.

        Raises:
            HTTPException: with the reason in one line: 404 for an unknown model or image, 422 where image, bundle and
                weights do not go together, 500 for anything else.
        """
        image = request.get("image")
        self._check_model(request, self._infers)
        with _telling(f"{request['model']} on {image}"):
            sent = not isinstance(image, str) or os.path.exists(image)
            if not sent and not (datastore or self.datastore()).get_image_uri(image):
                raise HTTPException(404, f"there is no image {image!r} among the studies")
            return super().infer(request, datastore)

    def batch_infer(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Segment many images; without a GPU on the CPU, where MONAI Label would count the GPUs and divide by them."""
        several = request.get("multi_gpu", True) and torch.cuda.is_available()
        return super().batch_infer({**request, "multi_gpu": several}, datastore)

    def train(self, request: dict[str, Any]) -> dict[str, Any]:
        """Train a bundle.

        Raises:
            HTTPException: as for infer; a client that does not wait finds it at the end of the task's details.
        """
        self._check_model(request, self._trainers)
        with _telling(f"training of {request['model']}"):
            return super().train(request)

    @staticmethod
    def _check_model(request: dict[str, Any], tasks: dict[str, Any]) -> None:
        if request.get("model") not in tasks:
            raise HTTPException(404, f"there is no model {request.get('model')!r}: {', '.join(tasks)}")


@contextlib.contextmanager
def _telling(what: str) -> Iterator[None]:
    try:
        yield
    except HTTPException:
        raise
    except UserError as error:
        raise HTTPException(422, str(error)) from error
    except Exception as error:
        logger.exception("%s failed", what)
        reason = error.msg if isinstance(error, MONAILabelException) else f"{type(error).__name__}: {error}"
        raise HTTPException(500, f"{what} failed: {' '.join(reason.split())[:500]}") from error
