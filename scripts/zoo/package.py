"""``zoo package``: reproducible zips of the bundles, and the index of them."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from components.files import write_text

from ..arguments import PROGRAM
from ..errors import UserError
from ..hints import separated
from .archive import write_zip
from .contents import ROOT, Weights, bundle_names, collect, own_weights
from .entries import (
    INDEX,
    Entry,
    Index,
    add,
    empty_index,
    file_name,
    is_released,
    make_entry,
    read_index,
    write_index,
)
from .formats import current, large_files, model_info
from .release import check_committed, is_the_file, write_release
from .weights import check_weights

KINDS = ("sample-trained", "published")


def package(
    bundle: str | None = None,
    out: str = "dist",
    weights: str | None = None,
    weights_source: str | None = None,
    weights_licence: str | None = None,
    release: bool = False,
    base_url: str | None = None,
) -> None:
    """Make the zip of each bundle, and model_zoo.json, the index of the zips in the folder.

    A zip is reproducible: the same files give the same bytes on every machine. It holds tracked files of the bundle, a
    copy of components, the licence, the hashes of all (SHA256SUMS) and, in models, the weights and where they come
    from. The version is that of configs/metadata.json. A released version never changes: other content needs a new
    version. ``zoo fetch NAME --index FOLDER`` takes a bundle from the folder.

    Args:
        bundle: names of bundles, separated by commas; by default all.
        out: folder for the zips.
        weights: a model.pt for the one bundle that is named; by default the weights that the checkout has, if any.
        weights_source: where the weights come from: "sample-trained: …" or "published: …".
        weights_licence: terms of the weights; by default Apache-2.0 for sample-trained ones.
        release: whether to release the versions: they enter model_zoo.json of the checkout, and models/, the same in
            MONAI's forms. The files must be committed. The folder gets all that is uploaded: zips, weights, indexes,
            hashes and release notes.
        base_url: address of the folder where the files of this release can be downloaded, for example that of a
            GitHub release.

    Example:
        scanseg zoo package --out dist
    """
    names = bundle_names(ROOT) if bundle is None else separated(bundle)
    given = _weights(names, weights, weights_source, weights_licence)
    released = read_index(INDEX) if INDEX.is_file() else empty_index()
    base = check_base_url(base_url) if base_url is not None else ""
    if release:
        if not base:
            raise UserError("--release needs --base_url, the address of the folder where the files will be")
        check_committed(ROOT, names)
    folder = Path(out)
    made = _before(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".package.", dir=folder) as work:
        entries = build(names, Path(work), given, ROOT, base)
        for entry in entries:
            add(made, entry, is_released(released, entry) or release)
        for entry in entries:
            (Path(work) / entry["file"]).replace(folder / entry["file"])
            print(f"{folder / entry['file']}  {entry['size']} bytes  sha256 {entry['sha256']}")
    write_index(folder / INDEX.name, made)
    if release:
        for entry in entries:
            add(released, entry, release)
        write_index(INDEX, released)
        write_forms(released, ROOT / "models")
        models = {name: (given or own_weights(ROOT / "bundles" / name)).path for name in names}
        write_release(released, folder, models, ROOT / "CHANGELOG.md")
        print(f"{folder} is ready for the upload to {base}; commit {INDEX.name} and models")
    print(f"{folder / INDEX.name} is written; check the zips with {PROGRAM} zoo verify")


def build(
    names: list[str], out: Path, weights: Weights | None = None, root: Path = ROOT, base_url: str = ""
) -> list[Entry]:
    """Make zips, and say what the index has to say of each.

    Args:
        names: names of bundles.
        out: folder for the zips.
        weights: weights of the bundle, where it is one.
        root: the checkout.
        base_url: address of the folder where the zips will be.
    """
    entries = []
    for name in names:
        content = collect(name, weights, root)
        path = out / file_name(name, content.version)
        write_zip(path, {f"{name}/{inside}": data for inside, data in content.files.items()})
        entries.append(make_entry(content, path, base_url))
    return entries


def write_forms(index: Index, folder: Path) -> None:
    """Write an index as MONAI's model_info.json and large_files.yml."""
    write_text(folder / "model_info.json", model_info(index))
    write_text(folder / "large_files.yml", large_files(index))


def _before(folder: Path) -> Index:
    """Index of the zips that an earlier call left in a folder."""
    index = empty_index()
    path = folder / INDEX.name
    for entry in current(read_index(path)) if path.is_file() else []:
        if is_the_file(folder / entry["file"], entry["sha256"]):
            add(index, entry, entry["released"])
    return index


def check_base_url(url: str) -> str:
    """Base address without a slash at its end.

    Raises:
        UserError: if it is none.
    """
    if not re.fullmatch(r"https?://[^/\s]+(/\S*)?", url):
        raise UserError(f"--base_url needs an address such as https://host/folder, not {url!r}")
    return url.rstrip("/")


def _weights(names: list[str], path: str | None, source: str | None, licence: str | None) -> Weights | None:
    if path is None:
        if source or licence:
            raise UserError("--weights_source and --weights_licence describe --weights, which is missing")
        return None
    if len(names) != 1:
        raise UserError("--weights is for one bundle: name it with --bundle")
    kind, _, text = (source or "").partition(":")
    if kind.strip() not in KINDS or not text.strip():
        raise UserError(
            f"--weights_source must say where {path} comes from, as 'sample-trained: …' or 'published: …', not "
            f"{source!r}"
        )
    if not licence and kind.strip() == "published":
        raise UserError("published weights need --weights_licence, the terms of whoever published them")
    check_weights(Path(path))
    return Weights(kind.strip(), text.strip(), licence or "Apache-2.0", Path(path))
