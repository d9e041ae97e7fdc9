"""Python and the packages that scanseg asks for, as its own metadata names them."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable, Iterator

from packaging.requirements import Requirement

from components import __version__

from .finding import NOTE, PROBLEM, Finding

TOPIC = "Python and packages"
ELSEWHERE = ("test", "docs", "label")
"""Extras for work on scanseg itself, and one whose packages have an environment of their own."""


def findings() -> Iterator[Finding]:
    """Versions of what is needed, and which extras are complete."""
    yield Finding(TOPIC, "Python", platform.python_version())
    try:
        distribution = importlib.metadata.distribution("scanseg")
    except importlib.metadata.PackageNotFoundError:
        yield Finding(TOPIC, "scanseg", f"{__version__}, not installed", PROBLEM, "pip install .")
        return
    yield from _itself(distribution.version)
    requirements = [Requirement(text) for text in distribution.requires or ()]
    for requirement in requirements:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _needed(requirement)
    for extra in distribution.metadata.get_all("Provides-Extra") or ():
        if extra not in ELSEWHERE:
            yield _extra(extra, requirements)


def _itself(installed: str) -> Iterator[Finding]:
    if installed == __version__:
        yield Finding(TOPIC, "scanseg", __version__)
    else:
        text = f"installed as {installed}, but Python loads the code of {__version__}"
        yield Finding(TOPIC, "scanseg", text, PROBLEM, "pip install . again, or leave the folder with the other code")


def _needed(requirement: Requirement) -> Finding:
    found = _version(requirement.name)
    remedy = f"pip install '{requirement.name}{requirement.specifier}'"
    if found is None:
        return Finding(TOPIC, requirement.name, "missing", PROBLEM, remedy)
    if not requirement.specifier.contains(found, prereleases=True):
        return Finding(TOPIC, requirement.name, f"{found}, but {requirement.specifier} is needed", PROBLEM, remedy)
    return Finding(TOPIC, requirement.name, found)


def _extra(extra: str, requirements: Iterable[Requirement]) -> Finding:
    """Whether all of an extra is there."""
    wanted = [r for r in requirements if r.marker is not None and not r.marker.evaluate({"extra": ""})]
    wanted = [r for r in wanted if r.marker.evaluate({"extra": extra})]
    missing = [r.name for r in wanted if _version(r.name) is None]
    if not wanted:
        return Finding(TOPIC, f"extra {extra}", "nothing in it applies to this system", NOTE)
    if not missing:
        return Finding(TOPIC, f"extra {extra}", ", ".join(f"{r.name} {_version(r.name)}" for r in wanted))
    return Finding(TOPIC, f"extra {extra}", f"without {', '.join(missing)}", NOTE, f"pip install 'scanseg[{extra}]'")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
