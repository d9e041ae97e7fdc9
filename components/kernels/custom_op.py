"""Operators for PyTorch as torch.library.custom_op makes them, but without importing PyTorch's compiler.

The first call of an operator that custom_op made imports torch._dynamo, which takes over a second and 140 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

# By operator, shared by all copies of this module: a process may import one bundle after another, each with its own
# components, and the operators are those of the last.
_libraries: dict[str, torch.library.Library] = torch.ops.__dict__.setdefault("_scanseg_libraries", {})


class Operator:
    """The operator ``torch.ops.scanseg.<name>``, whose kernel is a function on tensors.

    Args:
        name: of the operator.
        kernel: with type hints, from which the operator's schema is made; its results are new tensors.
        mutates_args: names of the arguments that it writes to.
        device_type: "cpu" where the kernel is for that only, or None.
    """

    def __init__(
        self, name: str, kernel: Callable[..., Any], mutates_args: Sequence[str] = (), device_type: str | None = "cpu"
    ) -> None:
        self.name = f"scanseg::{name}"
        if name in _libraries:
            _libraries.pop(name)._destroy()
        self._library = _libraries[name] = torch.library.Library("scanseg", "FRAGMENT")
        self._library.define(name + torch.library.infer_schema(kernel, mutates_args=mutates_args))
        self._library.impl(name, kernel, "CPU" if device_type == "cpu" else "CompositeExplicitAutograd")
        self._call = getattr(torch.ops.scanseg, name)
        self._backward: Callable[..., Any] | None = None
        self._setup_context: Callable[..., None] | None = None
        if not mutates_args:
            torch.library.register_autograd(self.name, self._differentiate, setup_context=self._save, lib=self._library)

    def __call__(self, *args: Any) -> Any:
        """Call the operator."""
        return self._call(*args)

    def register_fake(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Use a function to make results of the right shapes, for torch.compile."""
        torch.library.register_fake(self.name, function, lib=self._library)
        return function

    def register_autograd(self, backward: Callable[..., Any], setup_context: Callable[..., None]) -> None:
        """Set the gradients, arguments as in ``torch.library.register_autograd``; without it there are none."""
        self._backward, self._setup_context = backward, setup_context

    def _save(self, ctx: Any, inputs: tuple, output: Any) -> None:
        if self._setup_context is not None:
            self._setup_context(ctx, inputs, output)

    def _differentiate(self, ctx: Any, *gradients: Any) -> Any:
        if self._backward is None:
            raise RuntimeError(f"{self.name} has no autograd formula: the operators have first derivatives only")
        return self._backward(ctx, *gradients)


def custom_op(
    name: str, mutates_args: Sequence[str] = (), device_type: str | None = "cpu"
) -> Callable[[Callable[..., Any]], Operator]:
    """Make a function the kernel of an :class:`Operator`."""
    return lambda kernel: Operator(name, kernel, mutates_args, device_type)
