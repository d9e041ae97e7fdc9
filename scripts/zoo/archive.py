"""Zips of bundles: written so that two builds give equal bytes, unpacked so that nothing leaves its folder."""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from components.files import replacing

from ..errors import UserError
from ..files import BLOCK, hexdigest
from ..weights.pickles import ZIP_ERRORS, printable

STAMP = (1980, 1, 1, 0, 0, 0)
"""Time of every file in a zip: the earliest that the format knows."""
SUMS = "SHA256SUMS"
"""The list of a bundle's files with their hashes, which ``sha256sum --check`` reads too."""
MOST_FILES = 10_000
LARGEST_TOTAL = 8 << 30
"""Bytes that a zip may unpack to; the largest bundle has some hundred MiB of weights."""
LARGEST_RATIO = 100
"""How many times larger than its compressed bytes a file may be; text reaches 20."""
NAME = re.compile(r"(?!.*_v\d)[A-Za-z][A-Za-z0-9_]*")
"""Names of bundles; MONAI cuts file names at ``_v`` and a digit."""


class Unsafe(UserError):
    """A zip that is not unpacked, with the reason."""


def content_hash(content: bytes | Path) -> str:
    """SHA-256 of bytes, or of the file that has them."""
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else hexdigest(content)


def write_zip(path: Path, files: Mapping[str, bytes | Path]) -> None:
    """Write a zip whose bytes depend on nothing but the names and contents of its files.

    Files are stored as they are: the bytes of a compressed file differ between versions of zlib, weights do not
    compress, and the rest is small.

    Args:
        path: the zip to write; an older one is replaced when all went well.
        files: content, or the file that has it, by the name in the zip.
    """
    with replacing(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name in sorted(files):
            content = files[name]
            info = zipfile.ZipInfo(name, STAMP)
            info.create_system = 3  # Unix, whatever system this is
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            info.file_size = len(content) if isinstance(content, bytes) else content.stat().st_size
            with archive.open(info, "w") as target:
                if isinstance(content, bytes):
                    target.write(content)
                else:
                    with content.open("rb") as source:
                        shutil.copyfileobj(source, target, BLOCK)


def sums(files: Mapping[str, bytes | Path]) -> bytes:
    """Content of SHA256SUMS for files by their names in the bundle."""
    return "".join(f"{content_hash(content)}  {name}\n" for name, content in sorted(files.items())).encode()


def changed(folder: Path) -> list[str]:
    """Names of files that are missing or differ from the list in the folder's SHA256SUMS.

    Raises:
        UserError: if there is no list, or it is none.
    """
    path = folder / SUMS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in lines]
    if not rows or None in rows:
        raise UserError(f"{path} is missing or is not a list of hashes")
    return [row[2] for row in rows if row and not ((file := folder / row[2]).is_file() and hexdigest(file) == row[1])]


def check_zip(path: Path) -> str:
    """Look at the directory of a zip before anything is unpacked.

    Returns:
        Name of the bundle: the one folder that holds everything.

    Raises:
        Unsafe: if it is damaged, or unpacking it could write elsewhere than in that folder, or fill the disk.
        FileNotFoundError: if there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} {'is a folder' if path.is_dir() else 'does not exist'}: give a zip of a bundle"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            return _check(path, archive.infolist())
    except ZIP_ERRORS as error:
        raise Unsafe(f"{path} is not a zip, or is damaged ({error}): download it again") from error


def unpack(path: Path, folder: Path) -> Path:
    """Unpack the zip of a bundle.

    Args:
        path: the zip.
        folder: an existing folder; the zip's own top folder is made in it.

    Returns:
        The folder of the bundle.

    Raises:
        Unsafe: as of :func:`check_zip`, or if the content is damaged; what was written by then is left.
    """
    name = check_zip(path)
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                target = folder / info.filename
                if info.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, target.open("xb") as file:
                    _copy(source, file, info.file_size)
    except ZIP_ERRORS as error:
        raise Unsafe(f"{path} is damaged ({error}): download it again") from error
    return folder / name


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    """Copy, but never more than the size that the zip's directory told."""
    while block := source.read(BLOCK):
        size -= len(block)
        if size < 0:
            raise zipfile.BadZipFile("a file is larger than the directory says")
        target.write(block)


def _check(path: Path, infos: Iterable[zipfile.ZipInfo]) -> str:
    infos = list(infos)
    top = infos[0].orig_filename.partition("/")[0] if infos else ""
    if not NAME.fullmatch(top):
        raise Unsafe(f"{path} does not hold one folder with the name of a bundle, but {printable(top)!r}")
    if len(infos) > MOST_FILES:
        raise Unsafe(f"{path} holds {len(infos)} files: a bundle has below {MOST_FILES}")
    seen: set[str] = set()
    for info in infos:
        reason = _reason(info, top)
        key = info.orig_filename.rstrip("/").casefold()
        if reason or key in seen:
            raise Unsafe(f"{path} holds {printable(info.orig_filename)!r}, {reason or 'twice'}: it is not unpacked")
        seen.add(key)
    total, packed = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
    if total > LARGEST_TOTAL:
        raise Unsafe(f"{path} unpacks to {total} bytes: a bundle has below {LARGEST_TOTAL}")
    if packed > path.stat().st_size:
        raise Unsafe(f"{path} holds files that overlap: it is not unpacked")
    return top


def _reason(info: zipfile.ZipInfo, top: str) -> str:
    """Why a file of a zip is refused; empty if it is not."""
    name = info.orig_filename
    parts = name.removesuffix("/").split("/")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if name.startswith("/") or "\\" in name or ":" in name:
        return "an absolute path or one with a drive"
    if any(part in ("", ".", "..") for part in parts):
        return "a path that can lead out of its folder"
    if not name.isprintable() or any(part.endswith((".", " ")) for part in parts):
        return "a name that is not valid on every system"
    if parts[0] != top:
        return f"which is not in {top}/"
    if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
        return "a link or another special file"
    if info.flag_bits & 1:
        return "which is encrypted"
    if info.file_size > BLOCK and info.file_size > LARGEST_RATIO * info.compress_size:
        return f"which unpacks to more than {LARGEST_RATIO} times its size"
    return ""
