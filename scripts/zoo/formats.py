"""The index in the forms that other tools read."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import hexdigest, new_folder
from .archive import check_zip, unpack
from .contents import MODEL
from .entries import Entry, Index, numbers

CARD = "README.md"


def current(index: Index) -> list[Entry]:
    """All entries, in order of name and version."""
    return [
        versions[version]
        for _, versions in sorted(index["bundles"].items())
        for version in sorted(versions, key=numbers)
    ]


def model_info(index: Index) -> str:
    """MONAI's models/model_info.json: checksum (SHA-1) and address of each zip."""
    records = {
        f"{entry['name']}_v{entry['version']}": {"checksum": entry["sha1"], "source": entry["url"]}
        for entry in current(index)
    }
    return json.dumps(records, indent=4) + "\n"


def large_files(index: Index) -> str:
    """A large_files.yml with the weights of the newest version of each bundle.

    ``python -m monai.bundle download_large_files --bundle_path bundles`` reads it from ``bundles`` and puts each
    model.pt into its bundle there, with its checksum checked. A string of JSON is one of YAML.
    """
    newest = [
        entry for entry in current(index) if entry["version"] == max(index["bundles"][entry["name"]], key=numbers)
    ]
    rows = [
        {
            "path": f"{entry['name']}/{MODEL}",
            "url": entry["weights"]["url"],
            "hash_val": entry["weights"]["sha256"],
            "hash_type": "sha256",
        }
        for entry in newest
        if entry["weights"]["kind"] != "none"
    ]
    if not rows:
        return "large_files: []\n"
    lines = (
        f"  {'- ' if key == 'path' else '  '}{key}: {json.dumps(value)}" for row in rows for key, value in row.items()
    )
    return "\n".join(["large_files:", *lines, ""])


def card(entry: Entry, documentation: str) -> str:
    """Model card of a bundle for Hugging Face: front matter, what was packed, and the bundle's documentation.

    Args:
        entry: of the index.
        documentation: docs/README.md of the bundle.
    """
    tags = ["monai", "medical", "segmentation", *([entry["modality"]] if entry["modality"] else [])]
    weights = entry["weights"]
    told = (
        "none: train it, see below"
        if weights["kind"] == "none"
        else f"{weights['kind']}: {weights['source']} ({weights['licence']})"
    )
    front = [
        "---",
        f"license: {entry['licence'].lower()}",
        "library_name: monai",
        "pipeline_tag: image-segmentation",
        "tags:",
        *(f"- {json.dumps(tag, ensure_ascii=False)}" for tag in tags),
        "---",
    ]
    metrics = [f"| {name} | {value} |" for name, value in _flat(entry["metrics"])]
    table = [
        "| | |",
        "| --- | --- |",
        f"| task | {entry['task']} |",
        f"| version | {entry['version']} (MONAI {entry['monai_version']}, PyTorch {entry['pytorch_version']}) |",
        f"| weights | {told} |",
        *metrics,
    ]
    body = re.sub(r"^# .*\n+", "", documentation, count=1)
    return "\n".join([*front, "", f"# {entry['title']}", "", *table, "", body])


def hugging_face(index: Index, zips: Path, folder: Path) -> list[Path]:
    """Make the folder of a Hugging Face repository of each bundle, from the zip of its newest version.

    Such a folder is the bundle itself, with the model card as README.md at its top.

    Args:
        index: the index.
        zips: folder with the zips.
        folder: where the folders are made, one for each bundle.

    Returns:
        The folders.

    Raises:
        UserError: if a zip is missing or not that of the index, or a folder to be made holds files.
    """
    made = []
    for name, versions in sorted(index["bundles"].items()):
        entry = versions[max(versions, key=numbers)]
        path = zips / entry["file"]
        if not path.is_file() or hexdigest(path) != entry["sha256"]:
            raise UserError(f"{path} is missing or not the zip of the index: make it with zoo package --out {zips}")
        check_zip(path)
        with new_folder(folder / name) as partial:
            root = unpack(path, partial)
            for found in root.iterdir():
                shutil.move(found, partial / found.name)
            root.rmdir()
            text = (partial / "docs" / "README.md").read_text(encoding="utf-8")
            (partial / CARD).write_text(card(entry, text), encoding="utf-8", newline="\n")
        made.append(folder / name)
    return made


def _flat(metrics: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not isinstance(metrics, dict):
        return [(prefix, metrics)]
    return [row for key, value in metrics.items() for row in _flat(value, f"{prefix} {key}".strip())]
