"""Makes the folders of new bundles, whose data they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from components.files import write_text

from ..bundle.config import dumps
from ..bundle.contents import add_components, has_neighbour
from ..data.dataset import PARTS, Dataset
from .base import Base
from .datafolder import Form, fill, share
from .describe import NewBundle, readme
from .own_data import Source, Sources
from .plan import Plan
from .short import Budget
from .summary import Measurement
from .write import new_bundle, write_configs


@dataclass
class Maker:
    """Makes one bundle or several for a data set, each with its folder ``data``.

    Args:
        name: what the user called them; of several, the beginning of their names.
        base: the bundle that they are derived from.
        pictures: another one whose way of loading pictures is taken, or None.
        sources: the files.
        cases: the cases with their lists and folds.
        division: the division in words.
        found: what was measured.
        form: how the data are written.
        ready: whether ``sources`` is a dataset_dir that stays as it is, so that none is written.
        notes: what else to know.
        budget: of a short training, or None.
        processes: how many cases are worked on at once.
    """

    name: str
    base: Base
    pictures: Base | None
    sources: Sources
    cases: Sequence[Source]
    division: str
    found: Measurement
    form: Form
    ready: bool
    notes: list[str]
    budget: Budget | None
    processes: int
    _data: Path | None = field(default=None, init=False)
    _lists: dict[str, int] = field(default_factory=dict, init=False)

    def make(self, target: Path, settings: Plan, alike: bool) -> NewBundle:
        """Make a bundle.

        Args:
            target: its folder, which is not there.
            settings: its plan.
            alike: whether its network can start from weights of the base.

        Returns:
            Its description.
        """
        with new_bundle(target) as folder:
            configs = write_configs(folder, self.base, self.pictures, target.name, self.found, settings)
            self._fill(folder / "data")
            if self.budget is not None:
                short = self.budget.training(settings, self._lists["training"], self._lists["validation"])
                write_text(folder / "configs" / "short.json", dumps(short.config) + "\n")
                settings = replace(settings, choices=(*settings.choices, short.choice))
                configs = [*configs, "short.json"]
            notes = list(self.notes)
            if alike and (weights := self.base.weights) is not None:
                notes.append(
                    f"a training can start from the weights of {self.base.folder.name}: --pretrained {weights}"
                )
            bundle = NewBundle(
                name=target.name,
                folder=target,
                base=self.base.folder.name,
                dataset_dir=self.sources.root if self.ready else target / "data",
                data=self.sources.root,
                layout=self.sources.layout,
                split=self.division,
                number=self._lists,
                configs=configs,
                measurement=self.found,
                plan=settings,
                notes=notes,
                folds=len({case.fold for case in self.cases} - {None}),
            )
            write_text(folder / "docs" / "README.md", readme(bundle))
            if not has_neighbour(target):
                add_components(folder, self.base.folder)
        self._data = target / "data"
        return bundle

    def _fill(self, folder: Path) -> None:
        """Write the data of the first bundle, and let the others share them."""
        if self.ready:
            self._lists = {part: sum(case.part == part for case in self.cases) for part in PARTS}
        elif self._data is not None:
            share(self._data, folder)
        else:
            dataset = self._dataset()
            for record in fill(folder, self.cases, self.form, self.processes):
                dataset.take(record)
            dataset.write(folder)
            self._lists = {part: len(items) for part, items in dataset.lists.items()}

    def _dataset(self) -> Dataset:
        found = self.found
        details: dict[str, Any] = {
            **found.labelling.record(),
            "channels": list(found.channels),
            "notes": self.notes,
            "cases": found.cases,
            "classes_found": {label: {"cases": n, "voxels": voxels} for label, (n, voxels) in found.counts.items()},
        }
        kind = "volumes" if found.spatial_dims == 3 else "pictures"
        return Dataset(
            name=self.name,
            bundle=self.name,
            description=f"{found.cases} {kind} from {self.sources.layout}.",
            modality=found.modality,
            source=str(self.sources.root.resolve()),
            licence="stated by the maker of the bundle in docs/data_license.txt",
            labels=found.labels,
            split=self.division,
            details=details,
        )
