"""Back ends of the kernels: what there is, what can run here, and which one a call takes.

A back end is declared by a row in the table of its operator; its module is imported when the back end is first used,
so that importing :mod:`components` imports none of the optional packages.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import importlib
import importlib.util
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from ..validation import check_choice

logger = logging.getLogger(__name__)

_forced: contextvars.ContextVar[tuple[tuple[str, str], ...]] = contextvars.ContextVar("forced_backends", default=())


class BackendUnavailableError(RuntimeError):
    """A back end was asked for by name but cannot run; the message says why and what to do."""


_NO_DEVICE = {
    "cuda": "PyTorch sees no CUDA device: install a CUDA build of PyTorch on a machine with an NVIDIA GPU",
    "mps": "PyTorch sees no MPS device: install PyTorch for macOS on a Mac with an Apple or AMD GPU",
    "xpu": "PyTorch sees no XPU device: install an XPU build of PyTorch on a machine with an Intel GPU",
}
"""Why there is no device of a type, with the remedy."""


def _is_there(device_type: str) -> bool:
    if device_type in ("cpu", "meta"):
        return True
    module = torch.backends.mps if device_type == "mps" else getattr(torch, device_type, None)
    return module is not None and module.is_available()


@dataclass(frozen=True)
class Backend:
    """One way to compute an operator, as declared in the operator's table.

    Args:
        name: its public name; the module of this name in the operator's folder, ``components/kernels/ops/OPERATOR``,
            holds a function called like the operator.
        devices: device types it runs on, for example ``("cpu", "cuda")``, ``("mps",)`` or ``("xpu",)``.
        package: the optional package that it needs, or None.
        remedy: what a user types where ``package`` is missing.
        traceable: made of PyTorch operations only, so that TorchScript and ONNX can record it.
        automatic: whether "auto" may choose it.
        float64: whether it computes in float64 as well as in float32.
        interpreter: environment variable that lets the back end run on a CPU for tests, or None.
        composed: for ``cross_selective_scan``: four scanned copies of the image, given to ``selective_scan``.
    """

    name: str
    devices: tuple[str, ...]
    package: str | None = None
    remedy: str = ""
    traceable: bool = False
    automatic: bool = True
    float64: bool = True
    interpreter: str | None = None
    composed: bool = False

    def reason(self) -> str:
        """Why the back end cannot run on this machine, with the remedy; an empty string where it can."""
        if self.package is not None and importlib.util.find_spec(self.package) is None:
            return f"the package {self.package} is not installed: {self.remedy}"
        if self.interpreted() or any(_is_there(device) for device in self.devices):
            return ""
        return "; ".join(
            _NO_DEVICE.get(device, f"this PyTorch has no device type '{device}': install what adds it to PyTorch")
            for device in self.devices
        )

    def interpreted(self) -> bool:
        """Whether the environment asks for the interpreter, which runs the back end on CPU tensors, slowly."""
        return self.interpreter is not None and os.environ.get(self.interpreter, "0") not in ("", "0")

    def runs_on(self, device_type: str) -> bool:
        """Whether tensors on ``device_type`` ("cpu", "cuda", …) are accepted."""
        return device_type in self.devices or (device_type == "cpu" and self.interpreted())


@dataclass(frozen=True)
class BackendRecord:
    """What :func:`backends` returns for one back end.

    Attributes:
        name: the name that ``backend=`` and :func:`use_backend` take.
        available: whether it can run on this machine.
        reason: why not, with the remedy; empty if it is available.
        devices: the device types it runs on.
    """

    name: str
    available: bool
    reason: str
    devices: tuple[str, ...]


_ANY_DEVICE = ("cpu", "cuda", "mps", "xpu", "meta")
_TRITON = Backend("triton", ("cuda",), "triton", "pip install 'scanseg[cuda]'", interpreter="TRITON_INTERPRET")
_NUMBA = Backend("numba", ("cpu",), "numba", "pip install numba")
_MAMBA = Backend("mamba_ssm", ("cuda",), "mamba_ssm", "pip install 'scanseg[mamba]' (needs nvcc)", float64=False)
_NAIVE = Backend("naive", _ANY_DEVICE, traceable=True, automatic=False)
_TORCH = Backend("torch", _ANY_DEVICE, traceable=True)

# In order of preference: "auto" takes the first that runs on the device of the input.
TABLE: dict[str, tuple[Backend, ...]] = {
    "selective_scan": (_MAMBA, _TRITON, _NUMBA, _TORCH, _NAIVE),
    "cross_selective_scan": (
        *(replace(backend, composed=True) for backend in (_MAMBA, _TRITON)),
        _NUMBA,
        *(replace(backend, composed=True) for backend in (_TORCH, _NAIVE)),
    ),
    "mlstm": (
        Backend("chunkwise", _ANY_DEVICE, traceable=True),
        Backend(
            "mlstm_kernels", ("cpu", "cuda"), "mlstm_kernels", "pip install 'scanseg[xlstm]' (NXAI Community licence)",
            automatic=False,
        ),
        _NAIVE,
    ),
    "instance_norm": (_NUMBA, _TORCH, _NAIVE),
    "depthwise_conv": (_NUMBA, _TORCH, _NAIVE),
}  # fmt: skip


def operators() -> tuple[str, ...]:
    """Names of the operators, as :func:`backends` and :func:`use_backend` take them.

    Example:
        >>> "mlstm" in operators()
        True
    """
    return tuple(TABLE)


def backends(op: str) -> list[BackendRecord]:
    """List the back ends of an operator, the preferred one first.

    Args:
        op: one of :func:`operators`.

    Returns:
        One :class:`BackendRecord` for each back end.

    Raises:
        ValueError: if ``op`` is no operator.

    Example:
        >>> [record.name for record in backends("mlstm")]
        ['chunkwise', 'mlstm_kernels', 'naive']
    """
    return [BackendRecord(b.name, not b.reason(), b.reason(), b.devices) for b in _table(op)]


def default_backend(op: str, device_type: str) -> str:
    """The back end that "auto" takes for float32 tensors on a device where nothing is forced and nothing recorded.

    Args:
        op: one of :func:`operators`.
        device_type: "cpu", "cuda", "mps", "xpu", …

    Raises:
        ValueError: if ``op`` is no operator.
        BackendUnavailableError: if no back end runs there.

    Example:
        >>> default_backend("mlstm", "cpu")
        'chunkwise'
    """
    return _best(op, device_type, False, False).name


@contextlib.contextmanager
def use_backend(op: str, name: str) -> Iterator[None]:
    """Force one back end for all calls of an operator inside a ``with`` block that leave ``backend`` at "auto".

    Args:
        op: the operator, as in :func:`backends`.
        name: the back end, or "auto".

    Raises:
        ValueError: if the operator or the back end does not exist.
        BackendUnavailableError: if the back end cannot run on this machine.

    Example:
        >>> with use_backend("selective_scan", "naive"):
        ...     pass
    """
    if name != "auto":
        _available(op, name)
    token = _forced.set((*_forced.get(), (op, name)))
    try:
        yield
    finally:
        _forced.reset(token)


def dispatch(op: str, backend: str, device_type: str, float64: bool = False) -> Callable:
    """Return the function that computes ``op`` for tensors on ``device_type``.

    Args:
        op: the operator, as in :func:`backends`.
        backend: a back end's name, or "auto" for the one that :func:`use_backend` forces, else the best available.
        device_type: "cpu", "cuda", …
        float64: whether the tensors are float64.

    Raises:
        ValueError: if the operator or the back end does not exist.
        BackendUnavailableError: if the back end asked for cannot run here.
    """
    name = _choose(op, backend, device_type, float64, recording())
    return _functions[op][name]


def recording() -> bool:
    """Whether TorchScript or an exporter records what is computed, which then must be PyTorch operations only."""
    return torch.jit.is_tracing() or torch.compiler.is_exporting()


# A dictionary for each operator: a compiler that follows the calls reads it after the choice was made, and does not see
# what is added to it later.
_functions: dict[str, dict[str, Callable]] = {op: {} for op in TABLE}


def used_backends() -> dict[str, list[str]]:
    """Back ends that calls in this process have taken so far, by operator; an operator without calls is left out."""
    return {op: sorted(functions) for op, functions in sorted(_functions.items()) if functions}


def _choose(op: str, backend: str, device_type: str, float64: bool, traceable: bool) -> str:
    name = backend if backend != "auto" else dict(_forced.get()).get(op, "auto")
    return _resolve(op, name, device_type, float64, traceable)


# A constant under torch.compile: the choice is made while the graph is compiled, and leaves no break in it. It is a
# name because guards cannot be made for a function. torch.compiler.assume_constant_result does the same, but imports
# all of the compiler at once.
_choose._dynamo_marked_constant = True


@functools.cache
def _resolve(op: str, name: str, device_type: str, float64: bool, traceable: bool) -> str:
    if name == "auto":
        chosen = _best(op, device_type, float64, traceable)
        logger.info("%s on %s: back end %s%s", op, device_type, chosen.name, " (recording)" if traceable else "")
    else:
        chosen = _available(op, name)
        if not chosen.runs_on(device_type):
            raise BackendUnavailableError(
                f"back end '{name}' of {op} runs on {', '.join(chosen.devices)}, but the input is on {device_type}: "
                "move the input, or choose another back end"
            )
        if float64 and not chosen.float64:
            raise BackendUnavailableError(f"back end '{name}' of {op} has no float64: choose another, or float32 input")
    module = importlib.import_module(f"{__package__}.ops.{op}.{'composed' if chosen.composed else chosen.name}")
    function = getattr(module, op)
    _functions[op][chosen.name] = functools.partial(function, backend=chosen.name) if chosen.composed else function
    return chosen.name


def _best(op: str, device_type: str, float64: bool, traceable: bool) -> Backend:
    for backend in _table(op):
        fits = device_type in backend.devices and (backend.float64 or not float64)
        if backend.automatic and fits and (backend.traceable or not traceable) and not backend.reason():
            return backend
    raise BackendUnavailableError(f"no back end of {op} runs on {device_type}: move the input to the CPU")


def _available(op: str, name: str) -> Backend:
    rows = {backend.name: backend for backend in _table(op)}
    check_choice(f"back end of {op}", name, [*rows, "auto"])
    if reason := rows[name].reason():
        raise BackendUnavailableError(f"back end '{name}' of {op} cannot run here: {reason}")
    return rows[name]


def _table(op: str) -> tuple[Backend, ...]:
    check_choice("operator", op, TABLE)
    return TABLE[op]
