"""Start a training from the weights of another one, whose network need not be the same."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

from torch import Tensor, nn

from .weights_file import check_finite, first_of, read_weights

logger = logging.getLogger(__name__)

LEAST = 0.5
"""Share of a network's parameters that have to fit."""


def load_pretrained(network: nn.Module, path: str | PathLike[str]) -> float:
    """Fill a network with all tensors of a file that fit it by name and shape; the others stay as they were made.

    A network says by two class attributes where the same layer has another name or shape:

    - ``input_weights``: names of the kernels that see the input's channels. For another number of channels, n, each of
      the n kernels is the sum of the file's kernels divided by n, so that an image with the same values in all
      channels has the same response: from one channel to n the kernel is repeated and divided by n; from n to one, it
      is the sum.
    - ``coarsest_first``: names of lists of stages that begin with the coarsest. Networks with different numbers of
      stages are alike at the fine end, so these lists are aligned by their last entries.

    The log says how much was taken over and names every part that was not.

    Args:
        network: the network, wrapped for many processes or not.
        path: ``model.pt`` or ``last.pt`` of a training; tensors in half precision become the network's type.

    Returns:
        Share of the network's parameters that were taken over, up to 1.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, holds no weights or values that are not finite, or if less than half of the
            network's parameters fit. Then the network is as before.
    """
    if not isinstance(path, str | PathLike):
        raise ValueError(
            f"pretrained is {path!r}, but the path of a weights file is needed, such as the model.pt of a training"
        )
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there are no weights at {path} to start from: give another --pretrained")
    network = getattr(network, "module", network)
    own = network.state_dict()
    given = _aligned(read_weights(path), own, getattr(network, "coarsest_first", ()))
    fitting, adapted = {}, []
    for name, tensor in own.items():
        if name in given and given[name].shape == tensor.shape:
            fitting[name] = given[name]
        elif (
            name in given and name in getattr(network, "input_weights", ()) and _differ_in_channels(given[name], tensor)
        ):
            fitting[name] = _for_channels(given[name], tensor.shape[1])
            adapted.append(f"{name} from {given[name].shape[1]} to {tensor.shape[1]} channels")
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    share = sum(size for name, size in sizes.items() if name in fitting) / max(1, sum(sizes.values()))
    missing = [name for name in own if name not in fitting]
    if share < LEAST:
        reasons = [f"{name} ({_difference(given.get(name), own[name])})" for name in missing]
        raise ValueError(
            f"{path} fits {100 * share:.0f} % of the parameters of this {type(network).__name__}, and at least "
            f"{100 * LEAST:.0f} % are needed to start from it; {len(missing)} of {len(own)} tensors do not fit, first "
            f"{first_of(reasons)}: give the weights of a more similar network. Published checkpoints have to go "
            "through `scanseg weights convert` first"
        )
    check_finite(fitting, path)
    network.load_state_dict(fitting, strict=False)
    unused = sum(name not in fitting for name in given)
    notes = {
        "adapted": adapted,
        "left as initialised": _parts(missing, fitting),
        "not used": [f"{unused} tensors of the file"] * bool(unused),
    }
    rest = "".join(f"; {what}: {', '.join(names)}" for what, names in notes.items() if names)
    logger.info("starting from %s: %.1f %% of the parameters%s", path, 100 * share, rest)
    return share


def _aligned(given: Mapping[str, Tensor], own: Iterable[str], lists: Iterable[str]) -> dict[str, Tensor]:
    """The tensors under the names that they have in a network with another number of stages."""
    own = list(own)
    for each in lists:
        entry = re.compile(rf"^{re.escape(each)}\.(\d+)\.")
        later = _last(entry, own) - _last(entry, given)
        renamed = {}
        for name, tensor in given.items():
            number = entry.match(name)
            renamed[f"{each}.{int(number[1]) + later}.{name[number.end() :]}" if number else name] = tensor
        given = renamed
    return dict(given)


def _last(entry: re.Pattern[str], names: Iterable[str]) -> int:
    return max((int(found[1]) for name in names if (found := entry.match(name))), default=0)


def _differ_in_channels(given: Tensor, needed: Tensor) -> bool:
    return given.ndim == needed.ndim > 2 and (given.shape[0], *given.shape[2:]) == (needed.shape[0], *needed.shape[2:])


def _for_channels(kernel: Tensor, channels: int) -> Tensor:
    return (kernel.float().sum(1, keepdim=True) / channels).expand(-1, channels, *kernel.shape[2:])


def _difference(given: Tensor | None, needed: Tensor) -> str:
    return "not in the file" if given is None else f"{tuple(given.shape)} in the file, {tuple(needed.shape)} needed"


def _parts(missing: Iterable[str], fitting: Iterable[str]) -> list[str]:
    """The largest parts of a network that have none but missing tensors.

    Example:
        >>> _parts(["a.0.weight", "a.0.bias", "b.c.weight"], ["a.1.weight"])
        ['a.0', 'b']
    """
    taken = {prefix for name in fitting for prefix in _prefixes(name)}
    return list(dict.fromkeys(next((p for p in _prefixes(name) if p not in taken), name) for name in missing))


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
