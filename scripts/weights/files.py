"""Reading a weight file of any usual format, without running anything in it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from components.networks import read_checkpoint

from ..errors import UserError
from .pickles import MAGIC, ZIP_ERRORS, analyse_file, is_zip, printable

BEGINNINGS: dict[bytes, str] = {
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself: fetch it with git lfs pull",
    b"<!doctype html": "a web page: the download went wrong, for example at a page that asks for a login",
    b"<html": "a web page: the download went wrong, for example at a page that asks for a login",
    b"\x89hdf\r\n": "an HDF5 file, not a PyTorch file",
    b"\x1f\x8b": "compressed by gzip: unpack it first",
    b"\xfd7zxz": "compressed by xz: unpack it first",
    b"bzh": "compressed by bzip2: unpack it first",
    b"7z\xbc\xaf": "a 7-Zip archive: unpack it first",
    b"rar!": "a RAR archive: unpack it first",
}
"""What files are that people take for weights, by how they begin, in lower case."""
DEEPEST = 64
"""Containers within containers that are looked into."""
LARGEST_RATIO = 20
"""How many times larger than the file the content of a zip may be; torch.save does not compress."""


class Refused(UserError):
    """A file whose content is not read, with the reason."""


@dataclass(frozen=True)
class Contents:
    """What is in a weight file.

    Args:
        tensors: by their path in the file, such as ``state_dict._model.head.bias``.
        metadata: every other value by its path, as text.
        format: "torch zip", "legacy torch", "pickle" or "safetensors".
        whole: the checkpoint as it was read, for :func:`components.networks.load_published`.
    """

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    format: str
    whole: Any = field(repr=False)


def read(path: str | Path) -> Contents:
    """Read a weight file.

    Args:
        path: a file of ``torch.save``, of ``pickle.dump`` with plain values only, or a ``.safetensors`` file.

    Raises:
        Refused: if it is no such file, is damaged, or would run code.
        FileNotFoundError: if there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"{path} {what}: give the path of a .pth, .ckpt, .pt or .safetensors file")
    kind = sniff(path)
    whole = _safetensors(path) if kind == "safetensors" else _torch(path)
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    _collect(whole, tensors, metadata)
    return Contents(tensors, metadata, kind, whole)


def sniff(path: Path) -> str:
    """Format of a file by its first bytes.

    Returns:
        A format of :class:`Contents`.

    Raises:
        Refused: if it is none of them.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise Refused(f"{path} is empty: the download went wrong")
    for beginning, what in BEGINNINGS.items():
        if head.lstrip().lower().startswith(beginning) or head.lower().startswith(beginning):
            raise Refused(f"{path} is {what}")
    if is_zip(path):
        return _zip(path)
    if head.startswith(b"PK"):
        raise Refused(f"{path} is a truncated zip ({path.stat().st_size} bytes): download it again")
    if head.startswith(MAGIC):
        return "legacy torch"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size - 8:
        return "safetensors"
    if head[0] != 0x80 and not analyse_file(path).globals:
        what = "a text file" if _is_text(head) else "neither a PyTorch nor a safetensors file"
        raise Refused(f"{path} is {what}")
    return "pickle"


def _zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except ZIP_ERRORS as error:
        raise Refused(f"{path} is a damaged zip ({error}): download it again") from error
    names = [member.filename for member in members]
    if sum(member.file_size for member in members) > LARGEST_RATIO * path.stat().st_size:
        raise Refused(f"{path} unpacks to more than {LARGEST_RATIO} times its size: torch.save writes no such zip")
    if any("/code/" in name and name.endswith(".py") for name in names):
        raise Refused(f"{path} is a TorchScript program: it holds code that runs; give the weights it was made from")
    if not any(name.endswith("data.pkl") for name in names):
        raise Refused(
            f"{path} is a zip, but not one of torch.save: it holds {printable(', '.join(names[:3])) or 'nothing'}"
        )
    return "torch zip"


def _is_text(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3  # a letter that the end of the excerpt cuts
    return True


def _torch(path: Path) -> Any:
    try:
        return read_checkpoint(path)
    except ValueError as error:
        words = analyse_file(path).words()
        if words.startswith("it would call"):
            raise Refused(f"{path} is dangerous: {words}; nothing in it was run, delete it") from error
        if words.startswith("it holds"):
            raise Refused(
                f"{path}: {words}; nothing in it was run. If you trust the file, save its state dict alone with "
                "torch.save where it was made"
            ) from error
        raise Refused(" ".join(str(error).split())) from error


def _safetensors(path: Path) -> dict[str, Any]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise UserError(f"{path} is a safetensors file: install the package safetensors to read it") from error
    try:
        with safe_open(path, framework="pt") as file:
            notes = {"__metadata__": dict(file.metadata())} if file.metadata() else {}
            return {"state_dict": {name: file.get_tensor(name) for name in file.keys()}, **notes}  # noqa: SIM118
    except (SafetensorError, ValueError, KeyError) as error:
        raise Refused(f"{path} is a damaged safetensors file ({error}): download it again") from error


def _collect(whole: Any, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Sort what was read by kind.

    Containers are visited once each and without recursion: a file can nest them deeply, or in a circle.
    """
    waiting: list[tuple[str, Any, int]] = [("", whole, 0)]
    seen: set[int] = set()
    while waiting:
        name, value, depth = waiting.pop()
        name = printable(name, longest=1000)
        if isinstance(value, Tensor):
            tensors[name] = value
        elif isinstance(value, Mapping | list | tuple) and _worth_a_look(value) and depth < DEEPEST:
            if id(value) not in seen:
                seen.add(id(value))
                pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
                inside = [(f"{name}.{key}" if name else str(key), inner, depth + 1) for key, inner in pairs]
                waiting += reversed(inside)
        else:
            metadata[name] = _text(value)


def _worth_a_look(value: Mapping | list | tuple) -> bool:
    """Whether a container holds more than a list of numbers or a text would say."""
    inner = value.values() if isinstance(value, Mapping) else value
    return isinstance(value, Mapping) or any(isinstance(each, Tensor | Mapping | list | tuple) for each in inner)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple) and not _worth_a_look(value):
        shown = ", ".join(_text(each) for each in value[:8])
        return f"[{shown}, … {len(value)} values]" if len(value) > 8 else f"[{shown}]"
    if isinstance(value, str | int | float | bool | torch.dtype | torch.device | torch.Size) or value is None:
        return printable(str(value))
    return str(value) if type(value).__module__ == "numpy" else type(value).__name__
