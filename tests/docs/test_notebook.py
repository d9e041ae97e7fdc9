"""The notebook runs from its first cell to its last, and is stored without its results."""

import base64
import io
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from tests.timeouts import HANG

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def results(notebook, kind):
    """All results of a kind, such as "image/png", in their order."""
    outputs = (output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs)
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_stored_without_results(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "notebooks" / "segment_your_image.ipynb", as_version=4)
    client = NotebookClient(notebook, timeout=HANG, resources={"metadata": {"path": str(ROOT / "notebooks")}})
    client.execute()
    (picture,) = results(notebook, "image/png")
    colours = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")).astype(int)
    assert (np.ptp(colours, axis=2) > 30).any(), "no label over the images"
    assert any("'liver'" in text for text in results(notebook, "text/plain"))
