"""``--plan``: the batches that fit into the memory of this machine, by the memory model of ``scanseg new``."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from ..memory import GIB, Memory, bundle_gib, largest_batch
from ..tables import Table, gigabytes, span
from .bundles import RECIPES, config
from .session import Row

PRECISIONS = {"training, float32": False, "training, mixed precision": True}


def tables(memory: Memory, rows: Sequence[Row] = ()) -> Iterator[Table]:
    """What fits on this machine.

    Args:
        memory: of the machine.
        rows: of an earlier measurement, for the time of a step and for peaks in other modes than training.
    """
    yield _estimated(memory, rows)
    if lines := list(_measured(memory, rows)):
        columns = ("network, patch", "mode", "measured at", "largest batch")
        yield Table("As measured", "On the straight line through the smallest and the largest batch.", columns, lines)


def _estimated(memory: Memory, rows: Sequence[Row]) -> Table:
    lines = []
    for bundle in RECIPES:
        _, content = config(bundle)
        size = content.get("roi_size") or content["patch_size"]
        recipe = content["batch_size"]
        for mode, mixed in PRECISIONS.items():
            if mixed and "roi_size" in content:
                continue
            batch = largest_batch(content, mixed, memory.gib)
            lines.append(
                (
                    bundle,
                    " × ".join(map(str, size)),
                    mode,
                    f"{recipe} ({bundle_gib(content, recipe, mixed):.1f} GiB)",
                    f"{batch} ({bundle_gib(content, batch, mixed):.1f} GiB)" if batch else "none",
                    "" if mixed else _step(bundle, rows),
                )
            )
    return Table(
        "What fits on this machine",
        f"{memory}. Estimates of `scanseg new`.",
        ("bundle", "patch", "mode", "recipe's batch", "largest batch", "step, as measured"),
        lines,
    )


def _measured(memory: Memory, rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    """The largest batch of each network, patch and mode whose peak was measured at two batches."""
    peaks: dict[tuple[str, str], dict[int, int]] = {}
    for row in rows:
        if row["work"].startswith("memory/") and row.get("peak_bytes"):
            peaks.setdefault((row["case"], row["mode"]), {})[row["batch"]] = row["peak_bytes"]
    for (case, mode), found in peaks.items():
        small, large = min(found), max(found)
        growth = (found[large] - found[small]) / (large - small) if large > small else 0
        if growth > 0:
            batch = small + int((memory.gib * GIB - found[small]) // growth)
            at = ", ".join(f"{n}: {gigabytes(found[n])}" for n in (small, large))
            yield case, mode, at, str(batch) if batch > 0 else "none"


def _step(bundle: str, rows: Sequence[Row]) -> str:
    """Time of a step of the measured training of a bundle."""
    found = [row for row in rows if row["work"] == f"pipeline/{bundle}" and "step_seconds" in row]
    if not found or found[0]["overrides"].get("amp"):
        return ""
    seconds = statistics.median(found[0]["step_seconds"])
    return f"{span(seconds)}, batch of {found[0]['overrides']['batch_size']}"
