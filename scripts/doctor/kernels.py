"""The back ends of the operators: which are there, which one is taken, and whether they compute what they must."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from components.kernels import BackendRecord, backends, default_backend, operators
from components.machine import accelerator

from ..errors import reason
from ..kernel_cases import CASES, FORWARD, Inputs, KernelCase, call
from .finding import NOTE, PROBLEM, Finding

TOPIC = "Kernels"
TOLERANCE = 1e-3
"""Largest difference to the definition, of a result's largest number: shows a broken back end, not the last digits."""


def findings() -> Iterator[Finding]:
    """Each back end of each operator, tried on a tiny input of the device that it would be used on."""
    device = accelerator()
    for op in operators():
        case = CASES[op](Inputs(quick=True, device=device))[0]
        definition = call(op, case, "naive", FORWARD)()
        for record in backends(op):
            yield _backend(op, record, case, definition, device)


def _backend(op: str, record: BackendRecord, case: KernelCase, definition: torch.Tensor, device: str) -> Finding:
    name = f"{op}: {record.name}"
    if not record.available:
        missing, _, remedy = record.reason.partition(": ")
        return Finding(TOPIC, name, missing, NOTE, remedy)
    if device not in record.devices:
        return Finding(TOPIC, name, f"for {', '.join(record.devices)}", NOTE)
    try:
        difference = (call(op, case, record.name, FORWARD)() - definition).abs().max() / definition.abs().max()
    except Exception as error:  # a package that is there and does not work
        return Finding(TOPIC, name, reason(error), PROBLEM, f"install its package again; until then {_without(op)}")
    if not difference <= TOLERANCE:
        text = f"differs from the definition by {float(difference):.1e} of the largest number"
        return Finding(
            TOPIC, name, text, PROBLEM, f"report it with the output of this command; until then {_without(op)}"
        )
    return Finding(TOPIC, name, "works, is taken" if record.name == default_backend(op, device) else "works")


def _without(op: str) -> str:
    return f"choose another with components.kernels.use_backend({op!r}, NAME)"
