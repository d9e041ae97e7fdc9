"""The index of a zoo, model_zoo.json: what it says of each version of each bundle."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from components.files import read_json, write_text
from components.validation import check_choice

from ..errors import UserError
from ..files import hexdigest
from .archive import NAME, SUMS, content_hash
from .contents import ROOT, VERSION, Content

INDEX = ROOT / "model_zoo.json"
"""Index of the released versions."""
SCHEMA = Path(__file__).with_name("model_zoo.schema.json")
FORMAT = 1
Entry = dict[str, Any]
Index = dict[str, Any]


def file_name(name: str, version: str) -> str:
    """Name of a zip, as MONAI expects it."""
    return f"{name}_v{version}.zip"


def asset_name(name: str, version: str) -> str:
    """Name under which the weights of a bundle are released beside its zip."""
    return f"{name}_v{version}_model.pt"


def make_entry(content: Content, path: Path, base_url: str = "") -> Entry:
    """What the index says of a zip.

    Args:
        content: what the zip holds.
        path: the zip.
        base_url: address of the folder where the files will be; without one they are beside the index.
    """
    base = f"{base_url}/" if base_url else ""
    metadata, weights = content.metadata, content.weights
    entry: Entry = {
        "name": content.name,
        "version": content.version,
        "released": False,
        "file": path.name,
        "url": base + path.name,
        "size": path.stat().st_size,
        "sha256": hexdigest(path),
        "sha1": hexdigest(path, "sha1"),
        "sums_sha256": content_hash(content.files[SUMS]),
        "components_version": content.components,
        "monai_version": metadata["monai_version"],
        "pytorch_version": metadata["pytorch_version"],
        "numpy_version": metadata["numpy_version"],
        "title": metadata.get("name", content.name),
        "task": metadata["task"],
        "description": metadata["description"],
        "modality": metadata["network_data_format"]["inputs"]["image"].get("modality", ""),
        "licence": _licence(content.files["LICENSE"]),
        "weights": {"kind": weights.kind, "source": weights.source, "licence": weights.licence},
        "metrics": metadata.get("eval_metrics", {}),
        "changelog": metadata["changelog"][content.version],
    }
    if weights.path is not None:
        file = asset_name(content.name, content.version)
        size, sha256 = weights.path.stat().st_size, hexdigest(weights.path)
        entry["weights"] |= {"file": file, "url": base + file, "size": size, "sha256": sha256}
    return entry


def empty_index() -> Index:
    """An index without bundles."""
    return {"format": FORMAT, "bundles": {}}


def read_index(path: Path) -> Index:
    """Read and check an index file.

    Raises:
        UserError: if it is not an index.
        FileNotFoundError: if there is no such file.
    """
    try:
        return check_index(read_json(path), str(path))
    except ValueError as error:
        raise UserError(str(error)) from error


def check_index(index: Any, where: str) -> Index:
    """Raise UserError unless this is an index whose names, sizes and hashes can be used."""
    bundles = index.get("bundles") if isinstance(index, dict) else None
    if not isinstance(bundles, dict):
        raise UserError(f"{where} is not an index of a model zoo: give the address of a model_zoo.json")
    if index.get("format") != FORMAT:
        raise UserError(f"{where} has format {index.get('format')!r}, this scanseg reads {FORMAT}: update scanseg")
    for name, versions in bundles.items():
        if not NAME.fullmatch(name) or not isinstance(versions, dict) or not versions:
            raise UserError(f"{where}: {name!r} is not a bundle with its versions")
        for version, entry in versions.items():
            if wrong := _wrong(name, version, entry):
                raise UserError(f"{where}: {name} {version} has a wrong {wrong}")
    return index


def write_index(path: Path, index: Index) -> None:
    """Write an index file, with bundles and versions in order."""
    ordered = {name: _by_version(versions) for name, versions in sorted(index["bundles"].items())}
    write_text(path, json.dumps({**index, "bundles": ordered}, indent=4, ensure_ascii=False) + "\n")


def add(index: Index, entry: Entry, release: bool = False) -> None:
    """Put an entry into an index, in place.

    A version that was released stays as it is forever. One that was not gives way to what is built now, and so do the
    other unreleased versions of the bundle, of which no zip went out.

    Args:
        index: the index.
        entry: of :func:`make_entry`.
        release: whether the version is a released one.

    Raises:
        UserError: if the version is released already, with other bytes.
    """
    if is_released(index, entry):
        return
    name, version = entry["name"], entry["version"]
    versions = index["bundles"].get(name, {})
    kept = {number: old for number, old in versions.items() if old["released"]}
    index["bundles"][name] = _by_version({**kept, version: {**entry, "released": release}})


def is_released(index: Index, entry: Entry) -> bool:
    """Whether this version of a bundle is released in an index.

    Raises:
        UserError: if it is, with other bytes.
    """
    name, version = entry["name"], entry["version"]
    before = index["bundles"].get(name, {}).get(version, {})
    if before.get("released") and before["sha256"] != entry["sha256"]:
        raise UserError(
            f"{name} {version} is released already, with other content (sha256 {before['sha256'][:12]}…, now "
            f"{entry['sha256'][:12]}…): raise version in bundles/{name}/configs/metadata.json and add it to the "
            "changelog there"
        )
    return bool(before.get("released"))


def choose(index: Index, name: str, version: str | None, where: str) -> Entry:
    """Entry of a bundle, by default of its newest release, or of what is newest where nothing was released.

    Raises:
        ValueError: if there is no such bundle, with the closest name.
        UserError: if there is no such version, with those that there are.
    """
    check_choice("bundle", name, index["bundles"])
    versions: dict[str, Entry] = _by_version(index["bundles"][name])
    if version is None:
        released = [entry for entry in versions.values() if entry["released"]]
        return (released or list(versions.values()))[-1]
    if version not in versions:
        raise UserError(f"{where} has no version {version} of {name}: there is {', '.join(versions)}")
    return versions[version]


def numbers(version: str) -> tuple[int, ...]:
    """Version as numbers, to be compared.

    Example:
        >>> numbers("0.10.0") > numbers("0.9.1")
        True
    """
    return tuple(map(int, version.split(".")))


def _by_version(versions: dict[str, Entry]) -> dict[str, Entry]:
    return dict(sorted(versions.items(), key=lambda item: numbers(item[0])))


def _wrong(name: str, version: str, entry: Any) -> str:
    """The key of an entry that cannot be used; empty if all can."""
    if not VERSION.fullmatch(version) or not isinstance(entry, dict):
        return "version"
    checks = {
        "name": entry.get("name") == name,
        "version": entry.get("version") == version,
        "released": isinstance(entry.get("released"), bool),
        "file": entry.get("file") == file_name(name, version),
        "url": isinstance(entry.get("url"), str) and bool(entry["url"]),
        "size": isinstance(entry.get("size"), int) and entry["size"] > 0,
        "sha256": _is_hash(entry.get("sha256"), 64),
        "sha1": _is_hash(entry.get("sha1"), 40),
        "sums_sha256": _is_hash(entry.get("sums_sha256"), 64),
        "weights": isinstance(entry.get("weights"), dict) and isinstance(entry["weights"].get("kind"), str),
    }
    return next((key for key, right in checks.items() if not right), "")


def _is_hash(value: Any, length: int) -> bool:
    return isinstance(value, str) and re.fullmatch(f"[0-9a-f]{{{length}}}", value) is not None


def _licence(content: bytes | Path) -> str:
    text = content.decode() if isinstance(content, bytes) else content.read_text(encoding="utf-8")
    if "Apache License" not in text or "Version 2.0" not in text:
        raise UserError("LICENSE is not the Apache License 2.0 that scanseg is under")
    return "Apache-2.0"
