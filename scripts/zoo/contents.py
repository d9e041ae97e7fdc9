"""What goes into the zip of a bundle, and nothing else."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.files import read_json
from components.validation import check_choice

from ..bundle.find import ROOT, bundles_in
from ..errors import UserError
from ..files import hexdigest
from .archive import NAME, SUMS, sums

KINDS = re.compile(
    r"LICENSE|configs/[\w-]+\.json|configs/logging\.conf|docs/[\w/-]+\.(md|txt|png|jpg|svg)|models/(model\.pt|weights\.json)"
)
"""Files of a bundle's folder that are packed."""
CODE = re.compile(r"components/[\w/]+\.py")
MODEL, ORIGIN = "models/model.pt", "models/weights.json"
"""The weights, and where they come from, in a bundle."""
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


@dataclass(frozen=True)
class Weights:
    """Weights for a bundle, and where they come from.

    Args:
        kind: "none", "sample-trained" (on the sample data, for trying the commands), "published" (by the authors of the
            network, or trained on the data of the recipe) or "trained" (those that the repository has).
        source: how and on what they were made.
        licence: SPDX identifier, or the terms as text.
        path: the file; None for no weights.
        record: further entries of weights.json: data, division, command and scores of trained weights.
    """

    kind: str = "none"
    source: str = ""
    licence: str = ""
    path: Path | None = None
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """A bundle to be checked.

    Args:
        name: name of the bundle.
        root: its folder.
        own: whether it has no components of its own, as the bundles of the checkout, and uses those of this scanseg.
        packed: whether it is a zip or was one, with the hashes of its files; a bundle that was copied to be changed, or
            that ``new`` made, has components without them.
        trusted: whether the user vouches for components that are not those of this scanseg.
    """

    name: str
    root: Path
    own: bool
    packed: bool
    trusted: bool = False

    @property
    def components(self) -> Path:
        """Folder of the components that the bundle uses."""
        return ROOT / "components" if self.own else self.root / "components"

    @property
    def configs(self) -> list[Path]:
        """The JSON configs but the metadata."""
        return [path for path in sorted((self.root / "configs").glob("*.json")) if path.name != "metadata.json"]


@dataclass(frozen=True)
class Content:
    """All that a zip holds.

    Args:
        name: name of the bundle.
        metadata: content of configs/metadata.json.
        components: version of the components inside.
        weights: the weights.
        files: content, or the file that has it, by the path in the bundle's folder.
    """

    name: str
    metadata: dict[str, Any]
    components: str
    weights: Weights
    files: dict[str, bytes | Path]

    @property
    def version(self) -> str:
        """Version of the bundle."""
        return self.metadata["version"]


def bundle_names(root: Path = ROOT) -> list[str]:
    """Names of the bundles of a checkout."""
    names = [folder.name for folder in bundles_in(root / "bundles", "metadata.json")]
    if not names:
        raise UserError(f"{root} has no bundles: zips are made in a checkout of scanseg")
    return names


def collect(name: str, weights: Weights | None = None, root: Path = ROOT) -> Content:
    """Read what belongs into the zip of a bundle.

    That are tracked files of the bundle's folder and of ``components/``, the licence, the weights, where these come
    from, and the hashes of all. Text has the line ends of Unix whatever the system of the checkout.

    Args:
        name: name of the bundle.
        weights: its weights; by default those that the repository has, or none.
        root: the checkout.

    Raises:
        UserError: if a tracked file is of no kind that a bundle has, a file is missing, or versions contradict.
    """
    check_choice("bundle", name, bundle_names(root))
    if not NAME.fullmatch(name):
        raise UserError(f"bundles/{name} cannot be packed: the name may have letters, digits and _, but no _v1 or such")
    folder = f"bundles/{name}/"
    files: dict[str, bytes | Path] = {
        path.removeprefix(folder): _content(root / path) for path in tracked(root, folder, KINDS)
    }
    files |= {path: _content(root / path) for path in tracked(root, "components/", CODE)}
    files["LICENSE"] = _content(root / "LICENSE")
    weights = weights or own_weights(root / folder)
    kept = {"kind": weights.kind, "source": weights.source, "licence": weights.licence}
    files.pop(MODEL, None)
    files[ORIGIN] = _json({**kept, **weights.record})
    if weights.path is not None:
        files[MODEL] = weights.path
    files[SUMS] = sums(files)
    if "configs/metadata.json" not in files:
        raise UserError(f"{folder}configs/metadata.json is not tracked by git: add it")
    metadata = json.loads(files["configs/metadata.json"])
    components = module_version(files["components/__init__.py"].decode())
    check_versions(metadata, f"{folder}configs/metadata.json")
    _check_required(folder, files, components)
    return Content(name, metadata, components, weights, files)


def own_weights(bundle: Path) -> Weights:
    """Weights that a bundle of the repository has.

    Args:
        bundle: its folder.

    Raises:
        UserError: if the file is not the one that its weights.json describes.
    """
    model, origin = bundle / MODEL, bundle / ORIGIN
    if not origin.is_file():
        return Weights()
    record = dict(read_json(origin))
    check_trained(model, record)
    return Weights(record.pop("kind"), record.pop("source"), record.pop("licence"), model, record)


def check_trained(model: Path, record: Mapping[str, Any]) -> None:
    """Raise UserError unless a file of weights is the one that its record describes, by its hash."""
    if missing := [key for key in ("kind", "source", "licence", "sha256") if not record.get(key)]:
        raise UserError(f"{model.with_name('weights.json')} has no {missing[0]}")
    if not model.is_file() or hexdigest(model) != record["sha256"]:
        found = (
            "is missing" if not model.is_file() else "is not the file that weights.json describes: its SHA-256 differs"
        )
        raise UserError(f"{model} {found}; get it again from the repository")


def check_versions(metadata: dict[str, Any], where: str) -> None:
    """Raise UserError unless a bundle's version is one and has its entry in the changelog."""
    version, changelog = metadata.get("version"), metadata.get("changelog")
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise UserError(f"{where}: version must be three numbers such as 0.1.0, not {version!r}")
    if not isinstance(changelog, dict) or version not in changelog:
        raise UserError(f"{where}: the changelog has no entry for version {version}: add one")


def module_version(source: str) -> str:
    """``__version__`` in the source of a module, which is not run.

    Raises:
        UserError: if there is none.
    """
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["__version__"]:
            return ast.literal_eval(node.value)
    raise UserError("components/__init__.py does not assign __version__")


def required(config: Any) -> set[str]:
    """Versions of components that a config asks for."""
    if isinstance(config, list):
        return set().union(*map(required, config))
    if not isinstance(config, dict):
        return set()
    own = {str(config.get("version"))} if config.get("_target_") == "components.require" else set()
    return own.union(*map(required, config.values()))


def tracked(root: Path, folder: str, kinds: re.Pattern[str]) -> list[str]:
    """Tracked files of a folder, as paths from the root with slashes.

    Without git, as in an unpacked archive of the sources, they are the files of the right kinds.

    Args:
        root: the checkout.
        folder: path from the root, with a slash at its end; that of ``components/`` is part of what ``kinds`` sees.
        kinds: what their paths must match.

    Raises:
        UserError: if a tracked file is a link, is missing, or is of another kind.
    """
    inside = "" if folder == "components/" else folder
    listed = git(root, "ls-files", "-z", "--", folder)
    if listed is None:
        found = (path.relative_to(root).as_posix() for path in (root / folder).rglob("*") if path.is_file())
        return sorted(path for path in found if kinds.fullmatch(path.removeprefix(inside)))
    paths = sorted(filter(None, listed.split("\0")))
    for path in paths:
        if not kinds.fullmatch(path.removeprefix(inside)):
            raise UserError(f"{path} is tracked by git, but bundles have no such files: move it elsewhere")
        if (root / path).is_symlink() or not (root / path).is_file():
            raise UserError(f"{path} is tracked by git, but is a link or missing: put the file there")
    return paths


def git(root: Path, *words: str) -> str | None:
    """Output of a git command in the checkout; None if that is no working tree of git, or there is no git."""
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout.decode() if done.returncode == 0 else None


def _check_required(folder: str, files: dict[str, bytes | Path], components: str) -> None:
    for path, content in files.items():
        if path.startswith("configs/") and path.endswith(".json") and isinstance(content, bytes):
            try:
                wrong = required(json.loads(content)) - {components}
            except json.JSONDecodeError as error:
                raise UserError(f"{folder}{path} is not valid JSON: {error}") from error
            if wrong:
                raise UserError(
                    f"{folder}{path} requires components {', '.join(sorted(wrong))}, but components.__version__ is "
                    f"{components}: write the same version in both"
                )


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    return content if path.suffix in (".png", ".jpg", ".pt") else content.replace(b"\r\n", b"\n")


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=4, ensure_ascii=False) + "\n").encode()
