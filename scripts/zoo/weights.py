"""Weights of a bundle, checked without running anything in them."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from ..weights.formats import sniff
from ..weights.pickles import analyse_file, printable


def check_weights(path: Path) -> None:
    """Raise UserError unless ``torch.load`` with ``weights_only`` would look up nothing but parts of tensors.

    The globals in the pickle of the file are listed from its opcodes and compared with PyTorch's own list; it is not
    loaded.

    Args:
        path: a file of torch.save.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: give a model.pt that a training left")
    kind = sniff(path)
    if kind != "torch zip":
        raise UserError(f"{path} is a {kind} file: save the state dict with torch.save of PyTorch 1.6 or newer")
    import torch

    words = analyse_file(path).words()
    try:
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    except Exception as error:  # of any kind: the pickle may be anything
        raise UserError(f"{path} cannot be read ({words or printable(str(error))}): nothing in it was run") from error
    if words or unsafe:
        raise UserError(f"{path}: {words or f'it holds {unsafe[0]}'}; nothing in it was run")
