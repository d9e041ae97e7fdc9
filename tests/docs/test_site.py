"""The site of the documentation is built without a warning, and needs nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.folders import folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with folder(tmp_path_factory, "site") as path:
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(path)]
        environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        yield path


def test_pages_of_the_repository_are_in_it(site):
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    bundles = {f"bundles/{path.name}.html" for path in (ROOT / "bundles").iterdir() if (path / "docs").is_dir()}
    assert pages >= bundles | {"index.html", "changelog.html", "contributing.html"}
    assert pages >= {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")}


def test_nothing_is_loaded_from_elsewhere(site):
    loaded = re.compile(r"""(?:\bsrc=|<link[^>]*\bhref=|url\()["']?((?:https?:)?//[^"' )]+)""")
    for page in [*site.rglob("*.html"), *site.rglob("*.css")]:
        assert not loaded.findall(page.read_text(encoding="utf-8")), page


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("networks", ["MSVMUNet", "XLSTMUNet", "load_published"]),
        (
            "kernels",
            [
                "selective_scan",
                "cross_selective_scan",
                "mlstm",
                "instance_norm",
                "depthwise_conv",
                "backends",
                "use_backend",
            ],
        ),
        ("transforms", ["ResizeSlicesd", "RandPatchd", "interior_boundary"]),
        ("metrics", ["Convention", "dice", "hd95", "nsd"]),
        ("handlers", ["Checkpoints", "HistoryWriter"]),
    ],
)
def test_reference_has_the_public_names(site, page, names):
    text = (site / "api" / f"{page}.html").read_text(encoding="utf-8")
    assert [name for name in names if f'id="components.{page}.{name}"' not in text] == []


def test_docstrings_are_rendered(site):
    for page in (site / "api").glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r":(?:class|func|meth|mod|data|attr):", text), page
        assert "<blockquote>" not in text, f"{page}: a doctest that is not code"
