"""Checks of a bundle that run nothing of it."""

from __future__ import annotations

import ast
import configparser
import logging
import logging.handlers
from collections.abc import Callable
from pathlib import Path

from components.files import read_json

from ..errors import UserError
from ..files import hexdigest
from ..weights.pickles import printable
from .archive import SUMS, changed
from .contents import CODE, KINDS, MODEL, ORIGIN, ROOT, Target, check_trained, check_versions, module_version, required
from .lint import lint_config, lint_metadata
from .weights import check_weights

FILES = (
    "LICENSE", "configs/evaluate.json", "configs/inference.json", "configs/logging.conf", "configs/metadata.json",
    "configs/train.json", "docs/README.md", "docs/data_license.txt",
)  # fmt: skip
"""What a bundle must have."""
STREAMS = ("sys.stdout", "sys.stderr")
GENERATED = ("data/", "models/", "output/", "components/")
"""Folders that hold other things than sources, or have their own check."""


def check_files(target: Target) -> None:
    """All files that a bundle must have, and in a download no others than a bundle has."""
    needed = (*FILES, ORIGIN, SUMS, "components/__init__.py") if target.packed else FILES
    if missing := [name for name in needed if not (target.root / name).is_file()]:
        raise UserError(f"{', '.join(missing)} missing")
    for path in sorted(target.root.rglob("*")):
        name = path.relative_to(target.root).as_posix()
        if path.is_symlink() and (target.packed or not name.startswith("data/")):
            raise UserError(f"{name} is a link")
        known = KINDS.fullmatch(name) or name == SUMS or name.startswith(GENERATED) or "__pycache__/" in name
        if path.is_file() and not known:
            raise UserError(f"{printable(name)} is not a file that bundles have")


def check_version(target: Target) -> None:
    """A version that has its entry in the changelog, and components of the version that the configs require."""
    check_versions(_metadata(target), "configs/metadata.json")
    loaded = module_version((target.components / "__init__.py").read_text(encoding="utf-8"))
    for path in target.configs:
        if wrong := required(read_json(path)) - {loaded}:
            raise UserError(f"configs/{path.name} requires components {', '.join(wrong)}, but they are {loaded}")


def check_sums(target: Target) -> None:
    """The files of a download are those that were packed."""
    if different := changed(target.root):
        raise UserError(f"differs from {SUMS}: {', '.join(map(printable, different[:3]))}")
    listed = {line[66:] for line in (target.root / SUMS).read_text(encoding="utf-8").splitlines()}
    for path in sorted(target.root.rglob("*")):
        name = path.relative_to(target.root).as_posix()
        packed = name.startswith(("components/", "configs/")) and "__pycache__/" not in name
        if packed and path.is_file() and name not in listed:
            raise UserError(f"{printable(name)} is not in {SUMS}")


def check_logging(target: Target) -> None:
    """``logging.conf``, which is evaluated, names only classes of logging, with literal arguments."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string((target.root / "configs" / "logging.conf").read_text(encoding="utf-8"))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise UserError(f"configs/logging.conf cannot be read: {printable(' '.join(str(error).split()))}") from error
    for section in parser.sections():
        for option, value in parser.items(section):
            allowed = {"class": _is_logging_class, "args": _is_literal, "kwargs": _is_literal}.get(option)
            if allowed is not None and value.strip() and not allowed(value.strip()):
                raise UserError(f"configs/logging.conf: [{section}] {option}={printable(value)} could run code")


def check_configs(target: Target) -> None:
    """Configs and metadata that stay within what the lint lets through."""
    lint_metadata(target.root / "configs" / "metadata.json")
    for path in target.configs:
        lint_config(path, target.components)


def check_model(target: Target) -> None:
    """Weights whose pickle looks up parts of tensors only, and that are what the record of their origin says."""
    model, origin = target.root / MODEL, target.root / ORIGIN
    record = read_json(origin) if origin.is_file() else None
    if record is not None:
        kind = record.get("kind") if isinstance(record, dict) else None
        if kind not in ("none", "sample-trained", "published", "trained"):
            raise UserError(f"{ORIGIN} names no kind of weights: none, sample-trained, published or trained")
        listed = (
            f"  {MODEL}\n" in (target.root / SUMS).read_text(encoding="utf-8") if target.packed else model.is_file()
        )
        if (kind == "none") == listed or (kind != "none" and not (record.get("source") and record.get("licence"))):
            raise UserError(f"{ORIGIN} says {kind}, which does not fit {MODEL}, its source or its licence")
        if kind == "trained":
            check_trained(model, record)
    for path in sorted((target.root / "models").glob("**/*")):
        if path.is_file() and path != origin and (path == model or target.packed):
            check_weights(path)


def check_code(target: Target) -> None:
    """Components that are those of this scanseg, byte for byte, unless the user vouches for others."""
    if target.own or target.trusted:
        return
    own = ROOT / "components"
    for path in sorted(target.components.rglob("*")):
        name = path.relative_to(target.root).as_posix()
        if path.is_dir() or "__pycache__/" in name:
            continue
        same = own / path.relative_to(target.components)
        if not CODE.fullmatch(name) or not same.is_file() or not _same(path, same):
            raise UserError(
                f"{printable(name)} differs from this scanseg, so nothing is run; give --trust_code if you know "
                "where the bundle comes from"
            )


CHECKS: dict[str, Callable[[Target], None]] = {
    "files": check_files,
    "version": check_version,
    "sums": check_sums,
    "logging": check_logging,
    "configs": check_configs,
    "weights": check_model,
    "code": check_code,
}
"""All checks by name; ``sums`` is of packed bundles, ``code`` of those with components of their own."""


def _metadata(target: Target) -> dict:
    metadata = read_json(target.root / "configs" / "metadata.json")
    if not isinstance(metadata, dict):
        raise UserError("configs/metadata.json is not an object of JSON")
    return metadata


def _same(path: Path, other: Path) -> bool:
    return hexdigest(path) == hexdigest(other) or path.read_bytes() == other.read_bytes().replace(b"\r\n", b"\n")


def _is_logging_class(text: str) -> bool:
    *modules, name = text.split(".")
    home = {"": logging, "logging": logging, "handlers": logging.handlers, "logging.handlers": logging.handlers}.get(
        ".".join(modules)
    )
    found = getattr(home, name, None) if home is not None and name.isidentifier() else None
    return isinstance(found, type) and issubclass(found, logging.Handler | logging.Formatter)


def _is_literal(text: str) -> bool:
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError:
        return False
    return _plain(tree)


def _plain(node: ast.AST) -> bool:
    if ast.unparse(node) in STREAMS:
        return True
    if isinstance(node, ast.Tuple | ast.List):
        return all(map(_plain, node.elts))
    if isinstance(node, ast.Dict):
        return all(key is not None and _plain(key) for key in node.keys) and all(map(_plain, node.values))
    return isinstance(node, ast.Constant)
