"""Every work runs on tiny networks, and what it leaves behind is complete."""

import json
import math

import pytest
from PIL import Image

from benchmarks.__main__ import main
from benchmarks.works import WORKS
from scripts.bench.bundles import config
from scripts.bench.models import MODES

pytestmark = pytest.mark.xdist_group("works")  # measured in one worker

# One bundle for each of its works; test_bench_training.py looks at the overrides of the others.
BUNDLES = {"pipeline": "xlstm_abdomen_mri_3d", "epoch": "msvm_acdc", "inference": "xlstm_abdomen_mri_3d"}
MEASURED = [name for name in WORKS if BUNDLES.get(name.partition("/")[0], name.partition("/")[2]) in name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All of it, measured once."""
    folder = tmp_path_factory.mktemp("bench") / "out"
    main(["--work", ",".join(MEASURED), "--quick", "--repeats", "1", "--threads", "1", "--out", str(folder)])
    return folder


@pytest.fixture(scope="module")
def record(folder):
    return json.loads((folder / "bench.json").read_text(encoding="utf-8"))


def rows_of(record, work):
    return [row for row in record["rows"] if row["work"] == work]


# MONAI's SwinUNETR takes no depth of 16 or 48.
CANNOT = {("networks/mri", "SwinUNETR"), ("networks/amp", "SwinUNETR")}


def test_all_run(record):
    assert [work for work in MEASURED if not rows_of(record, work)] == []
    failed = {(row["work"], row["name"]): row["failed"] for row in record["rows"] if "failed" in row}
    assert set(failed) == CANNOT, failed
    for row in record["rows"]:
        assert row["case"]
        assert row["name"]
        for key in ("seconds", "part_seconds", "step_seconds", "wait_seconds"):
            assert all(math.isfinite(value) and value >= 0 for value in row.get(key, []))
        if "seconds" in row:
            assert len(row["seconds"]) == 1
            assert row["seconds"][0] > 0


def test_record_says_how_it_was_measured(record):
    assert record["format"] == 2
    assert record["works"] == MEASURED
    assert record["settings"] == {"repeats": 1, "threads": 1, "seed": 0, "quick": True, "device": "cpu"}
    assert len(record["date"]) == 10
    assert set(record["machine"]) == {"cpu", "device", "versions", "backends", "rates"}


def test_networks_have_peaks(record):
    for work in ("networks/msvm", "networks/mri", "networks/endoscopy"):
        timed = [row for row in rows_of(record, work) if "failed" not in row]
        assert all(row["peak_bytes"] > 50_000_000 for row in timed)
        assert {row["ours"] for row in timed} == {True, False}


def test_memory_is_measured_in_all_modes(record):
    rows = rows_of(record, "memory/msvm")
    assert [row["mode"] for row in rows] == list(MODES)
    assert all(row["peak_bytes"] > 50_000_000 for row in rows)


def test_pipelines_show_each_cache(record):
    rows = rows_of(record, "pipeline/xlstm_abdomen_mri_3d")
    names = [
        "cache_rate 0",
        "cache_rate 1",
        *(["persistent cache"] if "cache_dir" in config("xlstm_abdomen_mri_3d")[1] else []),
    ]
    assert [row["name"] for row in rows] == names
    for row in rows:
        assert len(row["wait_seconds"]) == len(row["step_seconds"]) == row["overrides"]["epoch_length"]
        assert row["samples"] > 0
        assert row["workers"] > 0
        assert row["memory_bytes"] > 50_000_000


def test_files_are_there(folder, record):
    cores = record["machine"]["cpu"]["cores"]
    page = (folder / "bench.md").read_text(encoding="utf-8")
    assert "A quick run on tiny networks" in page
    for title in ("The machine", "Bars", "Operators", "Networks", "Memory", "Growth"):
        assert f"## {title}" in page
    pictures = sorted(path.name for path in folder.glob("*.png"))
    several = [name for name in ("mlstm", "cross_scan", "size", "batch", "threads") if name != "threads" or cores > 1]
    assert pictures == sorted(f"scaling_{name}.png" for name in several)
    for name in pictures:
        assert f"]({name})" in page
        with Image.open(folder / name) as image:
            assert image.width > 500
    assert not list(folder.glob(".partial*"))


def test_page_of_the_documentation_is_made_without_measuring(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.command.measure", None)
    docs = tmp_path / "docs" / "benchmarks.md"
    main(["--from_json", str(folder / "bench.json"), "--docs", str(docs)])
    told = capsys.readouterr().out
    assert f"{docs} is written" in told
    page = docs.read_text(encoding="utf-8")
    assert "](images/benchmarks/scaling_mlstm.png)" in page
    assert (docs.parent / "images" / "benchmarks" / "scaling_mlstm.png").is_file()
    assert page.replace("](images/benchmarks/", "](") == (folder / "bench.md").read_text(encoding="utf-8")


def test_tables_are_made_anew_beside_the_json_or_elsewhere(folder, tmp_path):
    source, page = folder / "bench.json", folder / "bench.md"
    text, before = source.read_bytes(), page.read_bytes()
    page.unlink()
    main(["--from_json", str(source), "--out", str(folder)])
    main(["--from_json", str(source), "--out", str(tmp_path / "new")])
    assert source.read_bytes() == text == (tmp_path / "new" / "bench.json").read_bytes()
    assert page.read_bytes() == before == (tmp_path / "new" / "bench.md").read_bytes()
