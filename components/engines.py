"""MONAI's trainer and evaluator with mixed precision on every device, and with an eye on what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.inferers import Inferer
from monai.utils import CommonKeys, ImageMetaKey
from torch import Tensor

from .finite import all_finite
from .validation import check_choice

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def mixed_dtype(device: str | torch.device, amp: bool, amp_dtype: str | None = None) -> torch.dtype | None:
    """Type of the numbers of mixed precision.

    Args:
        device: where the network runs.
        amp: whether to use mixed precision.
        amp_dtype: "float16" or "bfloat16"; None for float16 on CUDA and bfloat16 elsewhere.

    Returns:
        The type, or None without mixed precision.

    Raises:
        ValueError: if there is no such type, or float16 is asked for without CUDA.

    Example:
        >>> mixed_dtype("cpu", amp=True)
        torch.bfloat16
    """
    if amp_dtype is not None:
        check_choice("amp_dtype", amp_dtype, DTYPES)
    if not amp:
        return None
    cuda = torch.device(device).type == "cuda"
    if amp_dtype == "float16" and not cuda:
        raise ValueError(f"amp_dtype float16 needs CUDA, but the device is {device}: give --amp_dtype bfloat16")
    return DTYPES[amp_dtype or ("float16" if cuda else "bfloat16")]


class MixedInferer(Inferer):
    """Runs a network in mixed precision within whatever another inferer gives to it; its answers are float32.

    MONAI's engines do this on CUDA only, and keep what the inferer adds up in half precision, too.

    Args:
        inferer: any inferer of MONAI.
        device: where the network runs.
        dtype: type of the numbers, such as ``torch.bfloat16``.
    """

    def __init__(self, inferer: Inferer, device: str | torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self.inferer, self.device_type, self.dtype = inferer, torch.device(device).type, dtype

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run the wrapped inferer; arguments as of MONAI's inferers."""

        def mixed(*args: Any, **kwargs: Any) -> Any:
            with torch.autocast(self.device_type, self.dtype):
                answer = network(*args, **kwargs)
            return [each.float() for each in answer] if isinstance(answer, Sequence) else answer.float()

        return self.inferer(inputs, mixed, *args, **kwargs)


class Trainer(SupervisedTrainer):
    """MONAI's ``SupervisedTrainer`` with mixed precision on a CPU, too.

    With float16 on CUDA it does what MONAI does, the scaling of gradients included. bfloat16 has the range of float32:
    nothing is scaled, and the loss is computed in float32. Without ``amp`` nothing differs from MONAI's.

    Args:
        amp: whether to use mixed precision.
        amp_dtype: "float16" or "bfloat16", see :func:`mixed_dtype`.
        kwargs: as of ``SupervisedTrainer``.

    Raises:
        ValueError: if the type is unknown or does not go with the device.
    """

    def __init__(self, *, amp: bool = False, amp_dtype: str | None = None, **kwargs: Any) -> None:
        dtype = mixed_dtype(kwargs["device"], amp, amp_dtype)
        super().__init__(amp=dtype is torch.float16, **kwargs)
        if dtype is torch.bfloat16:
            self.inferer = MixedInferer(self.inferer, kwargs["device"], dtype)


class Evaluator(SupervisedEvaluator):
    """MONAI's ``SupervisedEvaluator`` with mixed precision on a CPU, too; an output that is not finite is an error.

    Args:
        amp: whether to use mixed precision.
        amp_dtype: "float16" or "bfloat16", see :func:`mixed_dtype`.
        kwargs: as of ``SupervisedEvaluator``.

    Raises:
        ValueError: if the type is unknown or does not go with the device; while it runs, if the network's output has
            NaN or infinity, of which some label would be made.
    """

    def __init__(self, *, amp: bool = False, amp_dtype: str | None = None, **kwargs: Any) -> None:
        dtype = mixed_dtype(kwargs["device"], amp, amp_dtype)
        super().__init__(amp=dtype is torch.float16, **kwargs)
        if dtype is torch.bfloat16:
            self.inferer = MixedInferer(self.inferer, kwargs["device"], dtype)
        self.add_event_handler(IterationEvents.FORWARD_COMPLETED, _refuse_bad_output, mixed=dtype is not None)


def _refuse_bad_output(engine: Engine, mixed: bool) -> None:
    output = engine.state.output[CommonKeys.PRED]
    if isinstance(output, Tensor) and not all_finite(output):
        image = engine.state.batch[CommonKeys.IMAGE] if isinstance(engine.state.batch, dict) else None
        names = image.meta.get(ImageMetaKey.FILENAME_OR_OBJ, "") if isinstance(image, MetaTensor) else ""
        name = ", ".join(names) if isinstance(names, list | tuple) else str(names)
        hint = "; try --amp false" if mixed else ": the weights cannot be used"
        raise ValueError(f"{name or 'an image'}: the network's output is not finite{hint}")
