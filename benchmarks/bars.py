"""The bars that the project holds itself to: ratios to MONAI's networks, growth, shares and memory."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from scripts.bench.models import BOT, ENC, MSVM
from scripts.bench.networks import TITLES
from scripts.bench.session import Row
from scripts.bench.timing import median_ratio
from scripts.kernel_cases import FORWARD

from .operations import of_cross_scan
from .precision import PRECISIONS
from .windows import MONAI, NNUNET, OURS


@dataclass(frozen=True)
class Bar:
    """A number and how large it may be.

    Args:
        title: what it is.
        work: the work that measures it.
        names: the alternatives whose times are divided; or the one that has the number.
        bar: what it may be at most.
        aim: what it is to be at most.
        unit: behind the number.
        kind: "ratio" of times, "growth": ratio of the times at two points of a curve, "peaks": ratio of the memory,
            "share" of parts of the time in %, "memory" in GB, "limit": ratio to the time that reading and writing the
            tensors takes.
        case: pattern of the case, where the work has several.
        points: of a "growth".
        operations: of a "limit".
        needs: entry of the machine's CPU without which the bar does not count, and what is said then.
    """

    title: str
    work: str
    names: tuple[str, ...]
    bar: float
    aim: float
    unit: str = ""
    kind: str = "ratio"
    case: str = "*"
    points: tuple[int, int] = (0, 0)
    operations: int = 0
    needs: tuple[str, str] | None = None

    def value(self, rows: Sequence[Row], machine: Mapping[str, Any]) -> float | None:
        """The number, or None if it could not be measured.

        Args:
            rows: of the measurement.
            machine: description and rates.
        """
        mine = self._rows(rows)
        if self.kind == "growth":
            curve = {row["x"]: statistics.median(row["seconds"]) for row in mine if row["name"] == self.names[0]}
            late, early = (curve.get(point) for point in self.points)
            return None if late is None or early is None else late / early
        found = {row["name"]: row for row in mine}
        if any(name not in found for name in self.names):
            return None
        first = found[self.names[0]]
        if self.kind == "ratio":
            return median_ratio(first["seconds"], found[self.names[1]]["seconds"])
        if self.kind == "peaks":
            peaks = [found[name]["peak_bytes"] for name in self.names]
            return None if None in peaks else peaks[0] / peaks[1]
        if self.kind == "share":
            return 100 * median_ratio(first["part_seconds"], first["seconds"])
        if self.kind == "memory":
            return None if first["peak_bytes"] is None else first["peak_bytes"] / 1e9
        rate = machine["rates"]["copy"]
        return None if rate is None else statistics.median(first["seconds"]) / (first["bytes"] / rate)

    def least(self, rows: Sequence[Row], machine: Mapping[str, Any]) -> float | None:
        """What the number of a "limit" would be if only its operations took time, at the rate of a matrix product."""
        matrix, copy = machine["rates"]["matrix_float32"], machine["rates"]["copy"]
        if not self.operations or matrix is None or copy is None:
            return None
        return (self.operations / matrix) / (self._rows(rows)[0]["bytes"] / copy)

    def _rows(self, rows: Sequence[Row]) -> list[Row]:
        mine = (row for row in rows if row["work"] == self.work and fnmatchcase(row["case"], self.case))
        return [row for row in mine if "failed" not in row]

    def verdict(self, value: float | None, record: Mapping[str, Any]) -> str:
        """Whether it is met ("ok" or "miss"), whether the aim is reached, or why the bar does not count.

        A miss says so where the operations alone, at the rate of a matrix product, take longer than the bar.
        """
        if value is None:
            return "not measured"
        if record["settings"]["quick"]:
            return "quick run"
        if self.needs is not None and not record["machine"]["cpu"].get(self.needs[0]):
            return self.needs[1]
        if value > self.bar:
            least = self.least(record["rows"], record["machine"])
            return "miss" if least is None or least <= self.bar else f"miss: its arithmetic alone takes {least:.2f}"
        return "ok, aim reached" if value <= self.aim else "ok"


_AMX = ("amx", "no AMX")
_HALVES = ("avx512_bf16", "no AVX512-BF16")
_SLICES, _PATCH, _PICTURE = "networks/msvm", "networks/mri", "networks/endoscopy"
_FORWARD, _STEP = f"{TITLES['inference']}*", f"{TITLES['training']}*"
_SCAN = (96, 56, 56)
"""Channels, height and width of the first stage of MSVM-UNet at 224²."""
BARS = (
    Bar("MSVM-UNet / SwinUNETR, forward, 1 × 224²", _SLICES, (MSVM, "SwinUNETR"), 0.65, 0.5, case="forward, 1 ×*"),
    Bar(
        "MSVM-UNet / SwinUNETR, training step, 2 × 224²", _SLICES, (MSVM, "SwinUNETR"), 0.65, 0.5,
        case="training step, 2 ×*",
    ),
    Bar("xLSTM-UNet Bot 3D / DynUNet, forward", _PATCH, (BOT, "DynUNet"), 0.85, 0.7, case=_FORWARD),
    Bar("xLSTM-UNet Enc 3D / DynUNet, forward", _PATCH, (ENC, "DynUNet"), 1.1, 0.9, case=_FORWARD),
    Bar("xLSTM-UNet Bot 3D / DynUNet, training step", _PATCH, (BOT, "DynUNet"), 1.25, 1.0, case=_STEP),
    Bar("xLSTM-UNet Enc 3D / DynUNet, training step", _PATCH, (ENC, "DynUNet"), 1.6, 1.25, case=_STEP),
    Bar("xLSTM-UNet Bot 3D / DynUNet, peak memory of a step", _PATCH, (BOT, "DynUNet"), 1.1, 0.9, "", "peaks", _STEP),
    Bar("xLSTM-UNet Enc 3D / DynUNet, peak memory of a step", _PATCH, (ENC, "DynUNet"), 1.3, 1.0, "", "peaks", _STEP),
    Bar(
        "xLSTM-UNet Bot 3D, bfloat16 / float32, training step", "networks/bfloat16", PRECISIONS, 0.65, 0.5,
        case=f"{BOT}, {TITLES['training']}*", needs=_HALVES,
    ),
    Bar("xLSTM-UNet Enc 2D / DynUNet, training step, 192 × 320", _PICTURE, (ENC, "DynUNet"), 1.5, 1.2, case=_STEP),
    Bar("mLSTM, 13,440 / 6,720 tokens", "scaling/mlstm", ("chunkwise",), 2.6, 2.0, "", "growth", points=(13440, 6720)),
    Bar("ViL layers' share of Enc 3D's forward pass", "networks/vil_share", (ENC,), 5.0, 2.0, " %", "share"),
    Bar("Enc 3D, forward, peak memory", _PATCH, (ENC,), 2.6, 1.5, " GB", "memory", _FORWARD),
    Bar("sliding windows / MONAI's, volume of 72 × 240 × 336", "inference/windows", (OURS, MONAI), 0.9, 0.9),
    Bar("sliding windows / MONAI's, peak memory", "inference/windows", (OURS, MONAI), 0.7, 0.7, "", "peaks"),
    Bar("sliding windows / nnU-Net's, volume of 72 × 240 × 336", "inference/windows", (OURS, NNUNET), 0.9, 0.9),
    Bar("sliding windows / nnU-Net's, peak memory", "inference/windows", (OURS, NNUNET), 0.7, 0.7, "", "peaks"),
    Bar(
        "cross_selective_scan, numba / one read and one write", "kernels/cross_selective_scan", ("numba",), 6.0, 3.0,
        "", "limit", f"1 × {' × '.join(map(str, _SCAN))}, {FORWARD}", operations=of_cross_scan(math.prod(_SCAN), 6),
    ),
    Bar(
        "MSVM-UNet, bfloat16 / float32, forward", "networks/bfloat16", PRECISIONS, 0.6, 0.4,
        case=f"{MSVM}, {_FORWARD}", needs=_AMX,
    ),
    Bar(
        "xLSTM-UNet Bot 3D, bfloat16 / float32, forward", "networks/bfloat16", PRECISIONS, 0.6, 0.4,
        case=f"{BOT}, {_FORWARD}", needs=_AMX,
    ),
)  # fmt: skip
