"""What the pages say agrees with what they speak of."""

import re
from pathlib import Path

import pytest
import yaml

from components.kernels import backends, operators
from scripts.cli import COMMANDS

ROOT = Path(__file__).parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def page(name):
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def test_readme_names_the_least_versions():
    (line,) = [line for line in README.splitlines() if line.startswith("Apache-2.0 · ")]
    least = {
        "Python": re.search(r'requires-python = ">=([\d.]+)"', PYPROJECT)[1],
        "PyTorch": re.search(r'"torch>=([\d.]+)"', PYPROJECT)[1],
        "MONAI": re.search(r'"monai>=([\d.]+)', PYPROJECT)[1],
    }
    for name, version in least.items():
        assert f"{name} {version} and newer" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme_or_the_pages(command):
    pages = [README, *(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))]
    assert any(re.search(rf"(?:python -m scripts|scanseg) {command}\b", text) for text in pages)


def test_every_extra_is_explained():
    _, _, table = PYPROJECT.partition("[project.optional-dependencies]\n")
    extras = set(re.findall(r"^(\w+) = \[", table.partition("\n[")[0], re.MULTILINE))
    assert set(re.findall(r"^\| `(\w+)` \|", page("install"), re.MULTILINE)) == extras


@pytest.mark.parametrize("operator", operators())
def test_kernels_page_lists_the_back_ends_in_order(operator):
    (row,) = re.findall(rf"^\| `{operator}` \|.*\|(.*)\|$", page("kernels"), re.MULTILINE)
    if "the same" not in row:
        assert re.findall(r"`(\w+)`", row) == [record.name for record in backends(operator)]


def test_citation():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == re.search(r'^version = "(.+)"', PYPROJECT, re.MULTILINE)[1]
    assert citation["license"] == re.search(r'^license = "(.+)"', PYPROJECT, re.MULTILINE)[1]
    papers = [paper["identifiers"][0]["value"].removeprefix("arXiv:") for paper in citation["references"]]
    assert papers == ["2408.13735", "2407.01530"]
    for number in papers:
        assert f"arXiv {number}, " in README
