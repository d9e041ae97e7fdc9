"""The scores of an evaluation as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.utils import ImageMetaKey, convert_to_numpy

from ..files import case_name, write_text
from ..metrics import ScoreTable, Scoring
from .record import RunRecord


class ScoreWriter:
    """Scores every case of an evaluator and writes ``metrics.csv`` (case × class) and ``metrics.json`` (means).

    It reads the engine's decollated output after postprocessing: integer label maps with one channel, on the grid of
    the ground truth. The voxel size comes from the affine of the ground truth and the name of a case from the file of
    its image. When the epoch ends both files are written, never in part, and the means go into the engine's metrics as
    ``strict_dice``, ``strict_hd95_mm`` and so on; a handler that logs the metrics stands after this one.

    ``evaluation.json`` says with what and on what the evaluation was done, see :class:`components.handlers.RunRecord`.

    With many processes attach it in each of them: the first one gathers the rows and writes.

    Args:
        output_dir: folder of the files; made where it is missing.
        class_names: names of the foreground classes; label ``k`` is ``class_names[k - 1]``.
        pred_key: key of the predicted label map.
        label_key: key of the ground truth.
        name_key: key of the image, whose file names the case.
        scoring: how a class is scored, for example ``components.metrics.OrganScoring``; by default Dice and HD95, with
            MSVM-UNet's published evaluation beside them.
        regions: the labels of each class where classes are sets of labels, see :class:`components.metrics.ScoreTable`.
        ignore_label: label of the ground truth's voxels that count in no score; None counts all.

    Raises:
        ValueError: if ``scoring`` or ``regions`` do not fit the classes; while it runs, if a map is not a label map
            with one channel, has no affine, or does not fit.
    """

    def __init__(
        self,
        output_dir: str,
        class_names: Sequence[str],
        pred_key: str = "pred",
        label_key: str = "label",
        name_key: str = "image",
        scoring: Scoring | None = None,
        regions: Sequence[Sequence[int]] | None = None,
        ignore_label: int | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.record = RunRecord(output_dir, "evaluation")
        self.pred_key, self.label_key, self.name_key = pred_key, label_key, name_key
        self.table = ScoreTable(class_names, scoring, regions, ignore_label)

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        self.record.attach(engine)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end)

    def _start(self) -> None:
        table = self.table
        self.table = ScoreTable(table.class_names, table.scoring, table.regions, table.ignore_label)

    def _iteration(self, engine: Engine) -> None:
        if not isinstance(engine.state.output, list):
            raise ValueError("ScoreWriter needs single cases: keep decollate=True in the evaluator")
        for given, item in zip(engine.state.batch, engine.state.output, strict=True):
            self._score({**given, **item})  # the output has image, label and pred only

    def _score(self, item: dict[str, Any]) -> None:
        prediction, truth = item[self.pred_key], item[self.label_key]
        name = getattr(item.get(self.name_key, truth), "meta", {}).get(ImageMetaKey.FILENAME_OR_OBJ)
        if not isinstance(truth, MetaTensor) or name is None:
            raise ValueError(
                f"the {self.label_key!r} has no affine or the {self.name_key!r} no file name: "
                "load both with LoadImaged, and keep them as MetaTensor"
            )
        for key, labels in ((self.pred_key, prediction), (self.label_key, truth)):
            if labels.shape[0] != 1:
                raise ValueError(
                    f"the {key!r} of {name} has shape {tuple(labels.shape)}, but needs one channel of labels: "
                    f"add AsDiscreted(keys={key!r}, argmax=True) to the postprocessing"
                )
        spacing = [float(size) for size in truth.pixdim]
        self.table.add(case_name(name), convert_to_numpy(prediction[0]), convert_to_numpy(truth[0]), spacing)

    def _end(self, engine: Engine) -> None:
        for rows in idist.all_gather(self.table.rows):
            self.table.merge(rows)
        for convention, means in self.table.summary()["mean"].items():
            engine.state.metrics.update({f"{convention}_{s}": mean for s, mean in means.items() if mean is not None})
        if idist.get_rank() == 0:
            write_text(self.output_dir / "metrics.csv", self.table.csv())
            write_text(self.output_dir / "metrics.json", self.table.json())
