"""The operators: every back end beside the default one, beside the definition, and beside the speed of the memory."""

from __future__ import annotations

from collections.abc import Iterator

from components.kernels import backends, default_backend

from ..kernel_cases import BACKWARD, CASES, FORWARD, KernelCase, call
from .session import Row, Session


def measure(op: str, session: Session) -> Iterator[Row]:
    """Time the back ends of an operator that run on the device, in turns.

    Args:
        op: a name of :data:`scripts.kernel_cases.CASES`.
        session: how to measure.
    """
    settings = session.settings
    names = [b.name for b in backends(op) if b.available and settings.device in b.devices]
    for case in CASES[op](settings):
        for mode in (FORWARD, BACKWARD):
            title = f"{case.title}, {mode}"
            runs = {name: call(op, case, name, mode) for name in names if name not in case.left_out}
            rows: dict[str, Row] = {
                name: {
                    "case": title,
                    "name": name,
                    "ours": name == default_backend(op, settings.device),
                    "bytes": least_bytes(op, case, mode),
                    **({"failed": case.left_out[name]} if name in case.left_out else {}),
                }
                for name in names
            }
            yield from session.timed(rows, runs, op)


def least_bytes(op: str, case: KernelCase, mode: str) -> int:
    """Bytes that cannot be saved: each tensor read once, the result written once.

    The backward pass reads the tensors again and the gradient of the result, and writes a gradient for each tensor. The
    result has the shape of the first tensor.
    """
    sizes = [tensor.numel() * tensor.element_size() for tensor in case.tensors.values()]
    forward = sum(sizes) + sizes[0]
    return forward if mode == FORWARD else 2 * forward + sum(sizes)
