"""Filling the network of a bundle from a published file, and saying why one does not fit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from components.networks import load_published

from ..errors import UserError
from .files import Contents
from .guess import Guess, guess

ADVICE: dict[str, str] = {
    "num_classes": "it has {theirs} classes with the background, the bundle {mine}: take the bundle that it was "
    "trained for, or name the others with --override '{{\"class_names\": [...]}}'",
    "variant": "its variant is {theirs}, the bundle's {mine}: add --variant {theirs}",
    "encoder": "its encoder is {theirs}, the bundle's {mine}: add --encoder {theirs}",
    "spatial_dims": "it is {theirs}D, the bundle {mine}D: take another bundle",
    "in_channels": "it takes {theirs} channels, the bundle {mine}: take another bundle",
    "features": "its stages have {theirs} features before the last, the bundle's {mine}: give its plan with --override "
    '\'{{"network_def#features": [...], "network_def#kernel_sizes": [...], "network_def#strides": [...]}}\'',
}
"""What to say where a setting of the file differs from the bundle's, by its name in a guess."""
LONGEST = 200
"""Characters of each list of tensors in a message."""


@dataclass(frozen=True)
class Filled:
    """The state of a network that took a published file.

    Args:
        state: our names and tensors: of the whole network, or of the part.
        origin: our name for each published name that was used.
        unused: the tensors of the file that are not needed: duplicates under another name, a classifier's head,
            states of an optimizer.
    """

    state: Mapping[str, Tensor]
    origin: Mapping[str, str]
    unused: tuple[str, ...]

    @property
    def values(self) -> int:
        """Number of numbers in all tensors."""
        return sum(tensor.numel() for tensor in self.state.values())

    def groups(self) -> dict[tuple[str, str], int]:
        """Number of tensors by the group of their published name and of ours."""
        return Counter((_group(theirs), _group(ours)) for theirs, ours in self.origin.items())


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def fill(network: nn.Module, contents: Contents, part: str | None) -> Filled:
    """Fill a network, or a part of it, in place.

    Args:
        network: as its bundle describes it.
        contents: the published file.
        part: "encoder" for a file of the encoder alone.

    Raises:
        ValueError: if anything does not fit; the message names all of it.
        UserError: if values are not finite.
    """
    origin = load_published(network, contents.whole, part=part)
    state = {
        name: tensor.detach().contiguous()
        for name, tensor in network.state_dict().items()
        if part is None or name.startswith(f"{part}.")
    }
    if wrong := [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]:
        raise UserError(
            f"{len(wrong)} tensors hold values that are not finite, the first is {wrong[0]}: "
            "this training went wrong, take another checkpoint"
        )
    unused = [name for name in contents.tensors if name not in origin and name.partition(".")[2] not in origin]
    return Filled(state, origin, tuple(unused))


def explain(contents: Contents, network: nn.Module, part: str | None, error: ValueError, whole: bool = False) -> str:
    """Why a file does not fit, in one line, with what to type instead where that is known.

    Args:
        contents: the file.
        network: what it was to fill.
        part: the part that was asked for.
        error: what :func:`fill` raised.
        whole: whether to name every tensor.
    """
    found = guess(shapes_of(contents.tensors))
    message = str(error).removeprefix("the checkpoint does not fit this network: ")
    tensors = message if whole else "; ".join(map(_shortened, message.split("; ")))
    if found is None:
        return f"it belongs to another network; {tensors}"
    reasons = _reasons(found, network, part) or _patch_size(contents, network)
    return "; ".join([*reasons, tensors] if whole or not reasons else reasons)


def _reasons(found: Guess, network: nn.Module, part: str | None) -> list[str]:
    if found.network != type(network).__name__:
        return [f"it belongs to {found.words()}"]
    if found.part == "encoder" and part is None:
        return ["it holds only the encoder: add --part encoder"]
    if part == "encoder" and found.part is None:
        return ["it holds the whole network: leave out --part"]
    mine = guess(shapes_of(network.state_dict()))
    differing = {
        key: ADVICE[key].format(theirs=value, mine=mine.settings[key])
        for key, value in found.settings.items()
        if mine is not None and mine.settings.get(key, value) != value
    }
    final = [differing[key] for key in ("spatial_dims", "in_channels") if key in differing]
    return final[:1] or list(differing.values())


def _patch_size(contents: Contents, network: nn.Module) -> list[str]:
    """What nnU-Net's plan in the file says of the patch size, on which the shapes of the variant Enc depend."""
    plans = {key: text for key, text in contents.metadata.items() if key.endswith(".patch_size")}
    chosen = contents.metadata.get("init_args.configuration")
    plans = {key: text for key, text in plans.items() if f".{chosen}." in key} or plans
    mine = list(getattr(network, "patch_size", ()))
    text = next(iter(plans.values()), str(mine))
    if len(plans) != 1 or not mine or text == str(mine):
        return []
    return [
        f"it was trained on patches of {text}, the bundle's are {mine}: add --override '{{\"patch_size\": {text}}}'"
    ]


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rpartition(', ')[0]}, …"


def _group(name: str) -> str:
    """The first words of a tensor's path that are not numbers, two at most."""
    words = [word for word in re.split(r"\.\d+\.|\.", name)[:-1] if not word.isdigit()]
    return ".".join(words[:2]) or name
