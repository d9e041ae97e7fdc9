"""``zoo fetch``: a bundle from a model zoo."""

from __future__ import annotations

import contextlib
import json
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from components.files import read_json

from ..bundle.find import bundle_folder, bundle_names
from ..errors import UserError
from ..files import hexdigest, old_name
from .archive import SUMS, changed, unpack
from .download import download, is_url, read_text
from .entries import INDEX, Entry, Index, check_index, choose, empty_index, read_index


def fetch(name: str, index: str | None = None, out: str = "bundles", force: bool = False) -> None:
    """Download a bundle, check it, and unpack it.

    An interrupted download continues when the command is run again. Nothing is unpacked unless hash and size are those
    of the index. Nothing in the zip can leave the folder of the bundle, and nothing in it is run.

    Args:
        name: name of the bundle, for example msvm_acdc, or name and version, msvm_acdc==0.1.0; without a version it is
            the newest release.
        index: address, file or folder of a model_zoo.json, such as zoo package makes; by default that of the checkout,
            which lists the released versions.
        out: folder in which the bundle's folder is made.
        force: if there is another copy, rename it.

    Example:
        scanseg zoo fetch msvm_acdc --index https://host/folder/model_zoo.json --out bundles
    """
    wanted, _, version = name.partition("==")
    place = index_place(index)
    content = _read(place)
    wanted = wanted.strip()
    if wanted not in content["bundles"]:
        _tell_what_is_here(wanted, content, index)
    entry = choose(content, wanted, version.strip() or None, place)
    if not entry["released"]:
        print(f"note: {entry['name']} {entry['version']} is not released: its content may still change")
    folder = Path(out)
    target = folder / entry["name"]
    if _is_there(target, entry, force):
        print(f"{target} is already {entry['name']} {entry['version']}; nothing to do")
        return
    with _clean(folder):
        zip_path = folder / f".{entry['file']}"
        download(_source(entry, place), zip_path, entry["size"], entry["sha256"])
        try:
            kept = _install(zip_path, target, entry)
        finally:
            zip_path.unlink(missing_ok=True)
    if kept is not None:
        print(f"the old copy was renamed to {kept}")
    weights = entry["weights"]
    told = "without weights" if weights["kind"] == "none" else f"with weights ({weights['kind']}: {weights['source']})"
    print(f"{target} is ready: {entry['name']} {entry['version']}, {told}, sha256 {entry['sha256']}")


def index_place(index: str | None) -> str:
    """Address or path of an index file itself.

    Args:
        index: its address, path or folder; None for that of the checkout.
    """
    if index is None:
        return str(INDEX)
    if is_url(index):
        return index if index.endswith(".json") else f"{index.rstrip('/')}/{INDEX.name}"
    return str(Path(index) / INDEX.name) if Path(index).is_dir() else index


def _tell_what_is_here(name: str, content: Index, index: str | None) -> None:
    """Raise UserError for a bundle that an index does not have, if the index is empty or the bundle is here."""
    where = f"{name} is not published" if index is None else f"{index} does not list {name}"
    if not content["bundles"]:
        where = "no bundle is published yet" if index is None else f"{index} lists no bundles"
    if (folder := bundle_folder(name)) is not None:
        raise UserError(f"{where}, but {name} is already here, in {folder}: use it with --bundle {name}")
    if not content["bundles"]:
        here = ", ".join(bundle_names())
        raise UserError(f"{where}, and the bundles here are {here}: give the index that lists {name} with --index")


def _read(place: str) -> Index:
    if place == str(INDEX) and not INDEX.is_file():
        return empty_index()
    if not is_url(place):
        return read_index(Path(place))
    try:
        return check_index(json.loads(read_text(place)), place)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{place} is not an index of a model zoo ({error}): give the address of a model_zoo.json"
        ) from error


def _source(entry: Entry, place: str) -> str:
    """Address or path of a zip: beside the index, unless it is elsewhere and the index has its address."""
    url = entry["url"]
    if is_url(place):
        return urllib.parse.urljoin(place, url)
    beside = Path(place).with_name(entry["file"])
    if is_url(url) and not beside.is_file():
        return url
    if not is_url(url) and url != entry["file"]:
        raise UserError(f"{place}: the url {url!r} of {entry['name']} is neither an address nor {entry['file']}")
    return str(beside)


def _is_there(target: Path, entry: Entry, force: bool) -> bool:
    """Whether this very version is there; UserError if something else is and may not be replaced."""
    if not target.exists() and not target.is_symlink():
        return False
    remedy = "give --force to rename it, or another folder with --out"
    try:
        version = read_json(target / "configs" / "metadata.json").get("version")
    except (OSError, ValueError, AttributeError):
        version = None
    found = f"version {version}" if version else "something else"
    if version == entry["version"]:
        listed = target / SUMS
        same = listed.is_file() and hexdigest(listed) == entry["sums_sha256"]
        different = changed(target) if same else [SUMS]
        if not different:
            return True
        found = f"version {version} with other content ({', '.join(different[:3])})"
    if not force:
        raise UserError(f"{target} holds {found}, not {entry['name']} {entry['version']} of the index: {remedy}")
    return False


def _install(zip_path: Path, target: Path, entry: Entry) -> Path | None:
    """Unpack beside the target, then take its place in one step; returns where the copy before it is now."""
    with tempfile.TemporaryDirectory(prefix=f".{entry['name']}.", dir=target.parent) as work:
        root = unpack(zip_path, Path(work))
        if root.name != entry["name"]:
            raise UserError(f"{entry['file']} holds {root.name}, not {entry['name']}: the index is wrong")
        if different := changed(root):
            raise UserError(f"{entry['file']} differs from its own {SUMS}, in {different[0]}: it is not installed")
        kept = None
        if target.exists() or target.is_symlink():
            kept = old_name(target)
            target.rename(kept)
        try:
            root.rename(target)
        except OSError:
            if kept is not None:
                kept.rename(target)
            raise
    return kept


@contextlib.contextmanager
def _clean(folder: Path) -> Iterator[None]:
    """Make a folder for the time of an attempt; an empty one does not stay after an error."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for path in missing:
            if any(path.iterdir()):
                break
            path.rmdir()
        raise
