"""``--plan``: the batches that fit into the memory of this machine, by the memory model of ``scanseg new``."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..new.memory import GIB, Memory, msvm_gib, xlstm_gib
from ..new.topology import Topology
from .bundles import RECIPES, config
from .session import Row
from .show import Table, gigabytes, span

PRECISIONS = {"training, float32": False, "training, mixed precision": True}
MOST = 4096
"""Larger batches are not looked for."""


def gib_of(content: Mapping[str, Any], batch: int, mixed: bool) -> float:
    """Memory of a training of a bundle in GiB, as estimated.

    Args:
        content: its train.json, with overrides.
        batch: patches or slices in a batch.
        mixed: whether in mixed precision; for MSVM-UNet there is an estimate for float32 only, which is used for both.
    """
    if "roi_size" in content:
        return msvm_gib(content["roi_size"], batch)
    network, patch = content["network_def"], tuple(content["patch_size"])
    strides, kernels = (_per_axis(network[key], len(patch)) for key in ("strides", "kernel_sizes"))
    topology = Topology(strides, kernels, patch)
    classes = len(content["class_names"]) + 1
    return xlstm_gib(topology, batch, network["in_channels"], classes, mixed, content["variant"])


def largest(content: Mapping[str, Any], mixed: bool, gib: float) -> int:
    """The largest batch whose training fits into so many GiB; 0 where not even one patch does."""
    return next((batch for batch in range(MOST) if gib_of(content, batch + 1, mixed) > gib), MOST)


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
            batch = largest(content, mixed, memory.gib)
            lines.append(
                (
                    bundle,
                    " × ".join(map(str, size)),
                    mode,
                    f"{recipe} ({gib_of(content, recipe, mixed):.1f} GiB)",
                    f"{batch} ({gib_of(content, batch, mixed):.1f} GiB)" if batch else "none",
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


def _per_axis(values: Sequence[Any], dims: int) -> tuple[tuple[int, ...], ...]:
    return tuple((value,) * dims if isinstance(value, int) else tuple(value) for value in values)
