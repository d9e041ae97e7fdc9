"""A training or an evaluation as a run of MLflow."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.handlers import MLFlowHandler
from monai.utils import CommonKeys

from ..files import read_json, write_text
from ..handlers.ending import Ending
from ..handlers.history import as_number, read_history
from ..handlers.record import describe
from ..runs.command import PLACES

logger = logging.getLogger(__name__)

STATUSES = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
LONGEST = 500
"""Characters of a parameter that every version of MLflow takes."""
TABLES = {
    "training": ("history.csv", "training.json"),
    "evaluation": ("metrics.csv", "metrics.json", "evaluation.json"),
}
"""Files of the output folder that are logged when a run of each kind ends."""


class MLflowRun(MLFlowHandler):
    """MONAI's handler with a run of its own for each training or evaluation, and its true end.

    MONAI's own settings (``--tracking mlflow``) go on with any run of the experiment that is not finished, so that a
    training can be written into one that crashed, or into an evaluation. Here each start makes a new run; when it ends,
    MLflow shows it as FINISHED, FAILED (with the error as tag ``error``) or, after an interruption, KILLED.

    Logged are: the plain settings of the executed config, versions and machine as parameters; the rows of
    ``history.csv``, or the metrics of an evaluation; at the end the executed config and the tables of the output
    folder. The best weights of a training become a model with a signature that ``mlflow.pyfunc.load_model`` loads, see
    :mod:`components.tracking.mlflow_model`. No image is logged, and so no example of an input.

    ``mlflow.json`` in the output folder says which runs they are, so that ``scanseg report --mlflow`` finds it. Of many
    processes the first one logs. It stands after :class:`components.handlers.HistoryWriter` or
    :class:`components.handlers.ScoreWriter`, whose results it logs.

    Args:
        output_dir: folder of the training or the evaluation.
        weights: file of the best weights, in a training; None in an evaluation, which makes no model.
        tracking_uri: where MLflow keeps runs; by default ``mlruns.db`` in the output folder, with the artifacts in
            ``mlruns`` beside it. The environment variable ``MLFLOW_TRACKING_URI`` goes before both.
        kwargs: further arguments of MONAI's handler, such as ``experiment_name`` and ``run_name``.

    Raises:
        ValueError: if the tracking URI is a folder, which MLflow no longer takes.
    """

    def __init__(
        self, output_dir: str, weights: str | None = None, tracking_uri: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(
            tracking_uri or f"sqlite:///{(Path(output_dir) / 'mlruns.db').absolute().as_posix()}", **kwargs
        )
        self.output_dir = Path(output_dir)
        self.config: Path | None = None
        self.weights = weights
        self.kind = "training" if weights else "evaluation"
        self._shape: tuple[int, ...] | None = None

    def attach(self, engine: Engine) -> None:
        """Register with a trainer or an evaluator."""
        if idist.get_rank() > 0:
            return
        Ending(lambda status, error: self._ended(engine, status, error)).attach(engine)
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch)

    def start(self, engine: Engine) -> None:
        """Make a new run and log its parameters."""
        # MONAI has just written it; the name that it gives to the handlers is wrong where output_dir is no expression.
        self.config = max(self.output_dir.glob("config_*.json"), key=lambda path: path.stat().st_mtime_ns, default=None)
        self._set_experiment()
        self.cur_run = self.client.create_run(self.experiment.experiment_id, run_name=self.run_name)
        uri = os.environ.get("MLFLOW_TRACKING_URI") or self.client.tracking_uri
        self._remember({"tracking_uri": uri, "run_id": self.cur_run.info.run_id, "experiment": self.experiment_name})
        about = describe(engine)
        versions = {f"version_{name}": version for name, version in about["versions"].items()}
        machine = {f"machine_{name}": value for name, value in about["machine"].items() if value is not None}
        settings = {**_settings(self.config), "seed": about["seed"], "epochs_before": about["epoch"]}
        self._log_params({key: str(value)[:LONGEST] for key, value in {**settings, **versions, **machine}.items()})

    def _remember(self, where: dict[str, str]) -> None:
        path = self.output_dir / "mlflow.json"
        known = read_json(path) if path.is_file() else {}
        write_text(path, json.dumps({**known, self.kind: where}, indent=2) + "\n")

    def _iteration(self, engine: Engine) -> None:
        if self._shape is not None:
            return
        batch = engine.state.batch  # single items where MONAI has taken it apart
        first = batch[0] if isinstance(batch, list) and batch else batch
        image = first.get(CommonKeys.IMAGE) if isinstance(first, Mapping) else None
        if isinstance(image, torch.Tensor):
            self._shape = tuple(image.shape if isinstance(batch, list) else image.shape[1:])

    def _epoch(self, engine: Engine) -> None:
        row = (
            read_history(self.output_dir / "history.csv").get(engine.state.epoch, {})
            if self.weights is not None
            else {}
        )
        row = {name: float(value) for name, value in row.items() if name != "epoch"}
        found = {name: as_number(value) for name, value in engine.state.metrics.items()}
        metrics = {**row, **{name: value for name, value in found.items() if value is not None}}
        if metrics:
            self._log_metrics(metrics, engine.state.epoch)

    def _ended(self, engine: Engine, status: str, error: str) -> None:
        if self.cur_run is None:
            return
        run = self.cur_run.info.run_id
        try:
            if status == "finished":
                self._log_model(engine)
            for path in (self.config, *(self.output_dir / name for name in TABLES[self.kind])):
                if path is not None and path.is_file():
                    self.client.log_artifact(run, str(path))
            if error:
                self.client.set_tag(run, "error", error[:LONGEST])
        except BaseException:
            status = "failed"
            raise
        finally:
            self.client.set_terminated(run, STATUSES[status])
            self.cur_run = None

    def _log_model(self, engine: Engine) -> None:
        if self.weights is None:
            return
        if self.config is None or self._shape is None or not Path(self.weights).is_file():
            logger.warning("no model is logged: the executed config, an image or %s is missing", self.weights)
            return
        import mlflow

        from .mlflow_model import log_model

        before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
        mlflow.set_tracking_uri(self.client.tracking_uri)  # the functions that log models take it from there only
        try:
            log_model(self.cur_run.info.run_id, engine.network, self._shape, self.weights, str(self.config))
        finally:
            mlflow.set_tracking_uri(before)


def _settings(config: Path | None) -> dict[str, Any]:
    """Plain values at the top of an executed config; expressions, instances and places of files are left out."""
    if config is None:
        return {}
    content = read_json(config)
    return {
        key: value for key, value in content.items() if key not in (*PLACES, "save_execute_config") and _is_plain(value)
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, (bool, int, float)) or (isinstance(value, str) and not value.startswith("$"))
