"""The report and its pictures for MLflow and TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from components.files import read_json

from ..errors import UserError
from .results import Results

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_FILE = "mlflow.json"
"""Where :class:`components.tracking.MLflowRun` keeps which runs it made."""
FILE = "sqlite:///"
"""Begin of a tracking URI that is a file."""
EXPERIMENT = "scanseg"
"""Experiment of reports that belong to no tracked training."""


def scalars(results: Results) -> Iterator[tuple[str, float]]:
    """Name and value of each strict mean: over all classes as ``test_dice``, of one class as ``test_dice/liver``."""
    if not results.metrics:
        return
    for name, value in results.metrics["mean"]["strict"].items():
        if value is not None:
            yield f"test_{name}", float(value)
    classes = results.metrics["classes"]
    for label, scores in classes.items() if len(classes) > 1 else ():
        for name, value in scores["strict"].items():
            if value is not None and name != "counted":
                yield f"test_{name}/{_safe(label)}", float(value)


def to_mlflow(results: Results, uri: str, page: Path, overview: Path | None) -> str:
    """Log the page, the picture and the scores.

    Args:
        results: what is reported.
        uri: tracking URI.
        page: report.html.
        overview: overlay.png, if there is one.

    Returns:
        Which run of which server it was.

    Raises:
        UserError: if MLflow is not installed, or the tracking URI cannot be used.
    """
    try:
        import mlflow
        from mlflow.entities import Metric
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise UserError("--mlflow needs MLflow: pip install 'scanseg[tracking]'") from error
    uri = _absolute(uri)
    if "://" not in uri:
        raise UserError(f"--mlflow needs a tracking URI such as sqlite:///{page.parent}/mlruns.db, not {uri!r}")
    try:
        client = mlflow.MlflowClient(tracking_uri=uri)
        run, status = _run(client, uri, page.parent, results.dataset.get("bundle", ""))
        client.log_batch(run, metrics=[Metric(name, value, 0, 0) for name, value in scalars(results)])
        for path in (page, overview):
            if path is not None:
                client.log_artifact(run, str(path), artifact_path="report")
        if status:
            client.set_terminated(run, status)
    except MlflowException as error:
        raise UserError(f"MLflow at {uri} did not take the report: {' '.join(str(error).split())}") from error
    return f"run {run} of {uri}"


def to_tensorboard(results: Results, folder: str, overview: Path | None) -> None:
    """Write the picture and the scores as events.

    Args:
        results: what is reported.
        folder: folder of the events.
        overview: overlay.png, if there is one.

    Raises:
        UserError: if TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError("--tensorboard needs TensorBoard: pip install 'scanseg[tracking]'") from error
    step = int(results.history[-1]["epoch"]) if results.history else 0
    with SummaryWriter(log_dir=folder) as writer:
        for name, value in scalars(results):
            writer.add_scalar(name, value, step)
        if overview is not None:
            with Image.open(overview) as picture:
                writer.add_image("test_predictions", np.asarray(picture.convert("RGB")), step, dataformats="HWC")


def _run(client: MlflowClient, uri: str, output: Path, bundle: str) -> tuple[str, str | None]:
    """The run of the training, or else of the evaluation, which keeps its status; or a new one and its status."""
    tracked = read_json(output / RUN_FILE) if (output / RUN_FILE).is_file() else {}
    for kind in ("training", "evaluation"):
        if tracked.get(kind, {}).get("tracking_uri") == uri:
            return tracked[kind]["run_id"], None
    name = bundle or EXPERIMENT
    experiment = client.get_experiment_by_name(name)
    identifier = experiment.experiment_id if experiment else client.create_experiment(name, _artifacts(uri))
    return client.create_run(identifier, run_name="report").info.run_id, "FINISHED"


def _absolute(uri: str) -> str:
    """A database file by its whole path, as the handler remembers it; any other address as it is."""
    return f"{FILE}{Path(uri.removeprefix(FILE)).absolute().as_posix()}" if uri.startswith(FILE) else uri


def _artifacts(uri: str) -> str | None:
    """Beside a database file its artifacts, as MONAI's handler keeps them; any other server decides for itself."""
    return (Path(uri.removeprefix(FILE)).parent / "mlruns").as_uri() if uri.startswith(FILE) else None


def _safe(name: str) -> str:
    """A class name with the characters that MLflow takes in the name of a metric."""
    return "".join(letter if letter.isalnum() or letter in "_-. " else "_" for letter in name)
