"""Which format a weight file has, and what files are that are none."""

from __future__ import annotations

import zipfile
from pathlib import Path

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
LARGEST_RATIO = 20
"""How many times larger than the file the content of a zip may be; torch.save does not compress."""


class Refused(UserError):
    """A file whose content is not read, with the reason."""


def sniff(path: Path) -> str:
    """Format of a file by its first bytes.

    Returns:
        "torch zip", "legacy torch", "pickle" or "safetensors".

    Raises:
        Refused: if it is none of them.
        FileNotFoundError: if there is no such file.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"{path} {what}: give the path of a .pth, .ckpt, .pt or .safetensors file")
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
