"""The bars that the project holds itself to: ratios to MONAI's networks, growth, shares and memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from components.blocks.vil import ViLLayer
from scripts import kernel_cases
from scripts.bench import kernels
from scripts.bench.child import in_child
from scripts.bench.models import BOT, ENC, MSVM, Subject, run
from scripts.bench.networks import compare, peak_of
from scripts.bench.session import Row, Session
from scripts.bench.timing import median_ratio, once, synchronise
from scripts.errors import reason

from . import operations
from .peers import build
from .windows import MONAI, NNUNET, OURS

BACKEND = "numba"
"""Back end of the four-path scan that has a bar."""


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
        kind: "ratio" of times, "peaks": ratio of the memory, "share" of parts of the time in %, "memory" in GB,
            "limit": ratio to the time that reading and writing the tensors takes.
        case: case of the work, where it has several.
        needs: entry of the machine's CPU without which the bar does not count, and what is said then.
    """

    title: str
    work: str
    names: tuple[str, ...]
    bar: float
    aim: float
    unit: str = ""
    kind: str = "ratio"
    case: str | None = None
    needs: tuple[str, str] | None = None

    def value(self, rows: Sequence[Row], machine: Mapping[str, Any]) -> float | None:
        """The number, or None if it could not be measured.

        Args:
            rows: of the measurement.
            machine: description and rates.
        """
        mine = [row for row in rows if row["work"] == f"bars/{self.work}" and self.case in (None, row["case"])]
        found = {row["name"]: row for row in mine if "failed" not in row}
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
        row = next((row for row in rows if row["work"] == f"bars/{self.work}" and "operations" in row), None)
        matrix, copy = machine["rates"]["matrix_float32"], machine["rates"]["copy"]
        if row is None or matrix is None or copy is None:
            return None
        return (row["operations"] / matrix) / (row["bytes"] / copy)

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
_HALF = ("bfloat16", "float32")
BARS = (
    Bar("MSVM-UNet / SwinUNETR, forward, 1 × 224²", "msvm_forward", (MSVM, "SwinUNETR"), 0.65, 0.5),
    Bar("MSVM-UNet / SwinUNETR, training step, 2 × 224²", "msvm_step", (MSVM, "SwinUNETR"), 0.65, 0.5),
    Bar("xLSTM-UNet Bot 3D / DynUNet, forward", "mri", (BOT, "DynUNet"), 0.85, 0.7),
    Bar("xLSTM-UNet Enc 3D / DynUNet, forward", "mri", (ENC, "DynUNet"), 1.1, 0.9),
    Bar("xLSTM-UNet Bot 3D / DynUNet, training step", "mri_step", (BOT, "DynUNet"), 1.25, 1.0),
    Bar("xLSTM-UNet Enc 3D / DynUNet, training step", "mri_step", (ENC, "DynUNet"), 1.6, 1.25),
    Bar(
        "xLSTM-UNet Bot 3D / DynUNet, training step, peak memory", "mri_step", (BOT, "DynUNet"), 1.1, 0.9, kind="peaks"
    ),
    Bar(
        "xLSTM-UNet Enc 3D / DynUNet, training step, peak memory", "mri_step", (ENC, "DynUNet"), 1.3, 1.0, kind="peaks"
    ),
    Bar("xLSTM-UNet Bot 3D, bfloat16 / float32, training step", "mri_step_bfloat16", _HALF, 0.65, 0.5, needs=_HALVES),
    Bar("xLSTM-UNet Enc 2D / DynUNet, training step, 192 × 320", "endoscopy_step", (ENC, "DynUNet"), 1.5, 1.2),
    Bar("mLSTM, 13,440 / 6,720 tokens", "mlstm", ("13,440 tokens", "6,720 tokens"), 2.6, 2.0),
    Bar("ViL layers' share of Enc 3D's forward pass", "vil_share", (ENC,), 5.0, 2.0, " %", "share"),
    Bar("Enc 3D, forward, peak memory", "enc_memory", (ENC,), 2.6, 1.5, " GB", "memory"),
    Bar("sliding windows / MONAI's, volume of 72 × 240 × 336", "windows", (OURS, MONAI), 0.9, 0.9),
    Bar("sliding windows / MONAI's, peak memory", "windows", (OURS, MONAI), 0.7, 0.7, kind="peaks"),
    Bar("sliding windows / nnU-Net's, volume of 72 × 240 × 336", "windows", (OURS, NNUNET), 0.9, 0.9),
    Bar("sliding windows / nnU-Net's, peak memory", "windows", (OURS, NNUNET), 0.7, 0.7, kind="peaks"),
    Bar("cross_selective_scan, numba / one read and one write", "cross_scan", (BACKEND,), 6.0, 3.0, "", "limit"),
    Bar("MSVM-UNet, bfloat16 / float32, forward", "bfloat16", _HALF, 0.6, 0.4, case=MSVM, needs=_AMX),
    Bar("xLSTM-UNet Bot 3D, bfloat16 / float32, forward", "bfloat16", _HALF, 0.6, 0.4, case=BOT, needs=_AMX),
)


def measure_mlstm(session: Session) -> Iterator[Row]:
    """The mLSTM at twice the tokens."""
    settings = session.settings
    runs = {}
    for name, tokens in (("13,440 tokens", 13440), ("6,720 tokens", 6720)):
        case = kernel_cases.mlstm_case(settings.size(tokens, tokens // 105), settings)
        runs[name] = kernel_cases.call("mlstm", case, "auto", kernel_cases.FORWARD)
    yield from session.timed({name: {"case": "mlstm", "name": name} for name in runs}, runs, "mlstm")


def measure_cross_scan(session: Session) -> Iterator[Row]:
    """The four-path scan of the first stage of MSVM-UNet at 224²."""
    case = kernel_cases.cross_case(*session.settings.size((96, 56), (16, 4)), session.settings)
    runs = {BACKEND: kernel_cases.call("cross_selective_scan", case, BACKEND, kernel_cases.FORWARD)}
    row: Row = {
        "case": case.title,
        "name": BACKEND,
        "bytes": kernels.least_bytes("cross_selective_scan", case, kernel_cases.FORWARD),
        "operations": operations.of_cross_scan(case.tensors["x"], case.tensors["dt_projs_weight"].shape[-1]),
    }
    yield from session.timed({BACKEND: row}, runs, "scan")


def measure_vil_share(session: Session) -> Iterator[Row]:
    """Time inside of the ViL layers of Enc 3D."""
    row: Row = {"case": "forward", "name": ENC, "ours": True}
    try:
        network, x = Subject(ENC, "mri").make(session.settings)
        yield {**row, **share_inside(network, ViLLayer, x, session)}
    except Exception as error:  # too little memory
        yield {**row, "failed": reason(error)}


def share_inside(network: nn.Module, kind: type[nn.Module], x: Tensor, session: Session) -> Row:
    """Times of forward passes, ``seconds``, and of the layers of a kind within each, ``part_seconds``.

    Args:
        network: on the device of ``x``.
        kind: class of the layers; none lies inside of another.
        x: the input.
        session: how to measure.
    """
    device, parts = session.settings.device, [0.0]

    def timed(forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*maps: Tensor) -> Any:
            synchronise(device)
            begin = time.perf_counter()
            output = forward(*maps)
            synchronise(device)
            parts[-1] += time.perf_counter() - begin
            return output

        return run

    for layer in network.modules():
        if isinstance(layer, kind):
            layer.forward = timed(layer.forward)  # with a hook the network would take the slow way
    forward = run(network, x, "inference")
    forward()
    seconds = []
    parts.clear()
    for turn in range(session.settings.repeats):
        session.tell(f"ViL layers, {turn + 1} of {session.settings.repeats}")
        parts.append(0.0)
        seconds.append(once(forward, device))
    return {"seconds": seconds, "part_seconds": parts}


def measure_enc_memory(session: Session) -> Iterator[Row]:
    """Peak memory of a fresh process with a forward pass of Enc 3D."""
    row: Row = {"case": "forward", "name": ENC, "ours": True}
    try:
        settings = session.settings
        peak = in_child(peak_of, Subject(ENC, "mri"), "inference", settings, settings=settings)
        yield {**row, "peak_bytes": peak}
    except Exception as error:  # too little memory
        yield {**row, "failed": reason(error)}


def measure_steps(session: Session) -> Iterator[Row]:
    """Training steps on patches of the MRI plan, and their peak memory."""
    rounds = session.settings.size(min(3, session.settings.repeats), 1)
    subjects = [Subject(name, "mri", build=build) for name in (BOT, ENC, "DynUNet")]
    yield from compare(session, subjects, "training", rounds=rounds)


def measure_step_precisions(session: Session) -> Iterator[Row]:
    """Training steps of Bot 3D in both precisions, in turns."""
    settings = session.settings
    modes = {"float32": "training", "bfloat16": "training, bfloat16"}
    subject = Subject(BOT, "mri", size=settings.size((32, 128, 128), None))
    runs = {kind: subject.run(settings, mode) for kind, mode in modes.items()}
    rows: dict[str, Row] = {kind: {"case": BOT, "name": kind, "ours": kind == "bfloat16"} for kind in modes}
    yield from session.timed(rows, runs, BOT, rounds=settings.size(min(3, settings.repeats), 1))


def measure_picture_steps(session: Session) -> Iterator[Row]:
    """Training steps on pictures: the endoscopy plan at half its size."""
    size = session.settings.size((192, 320), None)
    subjects = [Subject(name, "endoscopy", size=size, build=build) for name in (ENC, "DynUNet")]
    yield from compare(session, subjects, "training", only_times=True)


def measure_pairs(session: Session, plan_name: str, names: Sequence[str], mode: str, batch: int) -> Iterator[Row]:
    """Time networks in turns; neither their memory nor their operations are measured."""
    subjects = [Subject(name, plan_name, batch, build=build) for name in names]
    yield from compare(session, subjects, mode, only_times=True)
