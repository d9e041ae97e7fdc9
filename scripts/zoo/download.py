"""Downloads that continue where they stopped and are checked before anyone sees them."""

from __future__ import annotations

import http.client
import os
import shutil
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tqdm import tqdm

from components.files import replacing

from ..addresses import is_loopback
from ..errors import UserError
from ..files import BLOCK, hexdigest

TIMEOUT = 30
"""Seconds without an answer after which a connection counts as broken."""
ATTEMPTS = 4
"""Connections made for one file; each continues where the previous one broke."""
LARGEST_TEXT = 1 << 24
BROKEN = (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirections, but not from an encrypted connection to one that is not, or to another scheme."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if not newurl.startswith("https:") and not (newurl.startswith("http:") and req.type == "http"):
            raise UserError(f"{req.full_url} redirects to {newurl}, which is not encrypted: it is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def is_url(place: str) -> bool:
    """Whether this is an address, not a path of this machine."""
    return "://" in place


def check_url(url: str) -> None:
    """Raise UserError unless the address is https or http; warn of http that leaves this machine."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{url} is not an address that can be read: it must begin with https://")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        print(
            f"warning: {url} is not encrypted; what is downloaded is compared with the index, but the index could be "
            "changed on its way",
            file=sys.stderr,
        )


def read_text(url: str) -> str:
    """Read a small text file.

    Raises:
        UserError: if it cannot be read.
    """
    check_url(url)
    try:
        with _open(url) as response:
            data = response.read(LARGEST_TEXT + 1)
    except (*BROKEN, urllib.error.URLError) as error:
        raise UserError(_told(url, error)) from error
    if len(data) > LARGEST_TEXT:
        raise UserError(f"{url} is larger than {LARGEST_TEXT} bytes: this is not an index")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{url} is not text: this is not an index") from error


def download(place: str, path: Path, size: int, sha256: str) -> None:
    """Get a file and check it; ``path`` is there only if everything is right.

    What was read before a connection broke is kept beside ``path`` and continues from there, now or at the next call.

    Args:
        place: http(s) address, or a path of this machine.
        path: where the file is to be.
        size: bytes that it must have.
        sha256: hash that it must have.

    Raises:
        UserError: if it cannot be read, or is another file than the one described.
    """
    if not is_url(place):
        _take(Path(place), path, size, sha256)
        return
    check_url(place)
    partial = path.with_name(f".partial.{path.name}")
    begun = partial.stat().st_size if partial.is_file() else 0
    _fill(place, partial, size)
    wrong = _difference(partial, size, sha256)
    if wrong and begun:  # what was there before may be of another file
        partial.unlink()
        _fill(place, partial, size)
        wrong = _difference(partial, size, sha256)
    if wrong:
        partial.unlink(missing_ok=True)
        raise UserError(f"{place} is not the file that the index describes ({wrong}): nothing was unpacked; try again")
    os.replace(partial, path)


def _take(source: Path, path: Path, size: int, sha256: str) -> None:
    if not source.is_file():
        raise UserError(f"{source} does not exist: make it with zoo package, or give --index with another place")
    if wrong := _difference(source, size, sha256):
        raise UserError(f"{source} is not the file that the index describes ({wrong}): nothing was unpacked")
    with replacing(path) as partial:
        shutil.copyfile(source, partial)


def _difference(path: Path, size: int, sha256: str) -> str:
    found = path.stat().st_size
    if found != size:
        return f"{found} bytes instead of {size}"
    digest = hexdigest(path)
    return "" if digest == sha256 else f"sha256 {digest[:16]}… instead of {sha256[:16]}…"


def _fill(url: str, partial: Path, size: int) -> None:
    """Read on until the file has its size; what is there is kept when that fails."""
    partial.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(ATTEMPTS):
        try:
            _read(url, partial, size)
            if partial.stat().st_size >= size:
                return
            error: Exception = ConnectionError("the connection ended early")
        except urllib.error.HTTPError as found:
            raise UserError(_told(url, found)) from found
        except (*BROKEN, urllib.error.URLError) as found:
            error = found
        if attempt == ATTEMPTS - 1:
            done = partial.stat().st_size if partial.is_file() else 0
            hint = f"{done} of {size} bytes are kept: the same command continues from there" if done else "try again"
            raise UserError(f"{_told(url, error)}; {hint}") from error


def _read(url: str, partial: Path, size: int) -> None:
    begun = partial.stat().st_size if partial.is_file() else 0
    if begun >= size:
        return
    with _open(url, begun) as response:
        continues = response.status == 206 and _start(response) == begun
        name = urllib.parse.urlsplit(url).path.rpartition("/")[2]
        bar = tqdm(total=size, initial=begun if continues else 0, unit="B", unit_scale=True, desc=name, disable=None)
        with bar, partial.open("ab" if continues else "wb") as file:
            while block := response.read(BLOCK):
                file.write(block)
                bar.update(len(block))
                if file.tell() > size:
                    raise UserError(f"{url} is larger than the {size} bytes of the index: the download was stopped")


def _start(response: http.client.HTTPResponse) -> int | None:
    """First byte that an answer to a Range request brings."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdigit() else None


def _open(url: str, begun: int = 0) -> http.client.HTTPResponse:
    headers = {
        "User-Agent": "scanseg",
        "Accept-Encoding": "identity",
        **({"Range": f"bytes={begun}-"} if begun else {}),
    }
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - checked before
    return urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT)


def _told(url: str, error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        hint = ": check the address" if error.code in (403, 404, 410) else ": try again later"
        return f"{url} answers {error.code} {error.reason}{hint}"
    reason = getattr(error, "reason", error)
    return f"{url} cannot be read ({reason or type(error).__name__})"
