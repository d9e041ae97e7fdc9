"""The command as a user types it, and what goes wrong."""

import json

import pytest
import torch

from components.kernels import backends, operators
from scripts.bench import memory, works
from scripts.bench.works import GROUPS, WORKS, Work, choose
from scripts.cli import main


@pytest.fixture
def two_works(monkeypatch):
    """Works that measure nothing; the second one breaks."""

    def good(session):
        yield {"case": "c", "name": "a", "ours": True, "seconds": [1.0]}

    def half(session):
        yield from good(session)
        raise RuntimeError("the data are gone")

    def bad(session):
        raise MemoryError

    for name, measure in {"msvm": good, "mri_bot": half, "mri_enc": bad}.items():
        monkeypatch.setitem(WORKS, f"networks/{name}", Work(name, measure))


def test_work_that_breaks_is_told_and_the_others_go_on(two_works, tmp_path, capsys):
    out = tmp_path / "bench.json"
    before = torch.get_num_threads()
    words = ["bench", "--work", "networks/mri_bot,networks/msvm", "--threads", str(before + 1), "--out", str(out)]
    assert main(words) == 0
    record = json.loads(out.read_text(encoding="utf-8"))
    assert [(r["work"], r["name"]) for r in record["rows"]] == [
        ("networks/msvm", "a"),
        ("networks/mri_bot", "a"),
        ("networks/mri_bot", "the whole work"),
    ]
    assert record["settings"]["threads"] == before + 1
    assert torch.get_num_threads() == before
    assert "! the whole work (mri_bot): RuntimeError: the data are gone" in capsys.readouterr().out
    assert main(words) == 2
    assert "exists already: give another file" in capsys.readouterr().err


def test_status_where_nothing_could_be_measured(two_works, capsys):
    assert main(["bench", "--work", "networks/mri_enc"]) == 1
    assert "it needs more memory than is free" in capsys.readouterr().out


def test_everything_runs_on_tiny_networks(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(memory, "MODES", memory.MODES[:1])
    out = tmp_path / "bench.json"
    words = ["bench", "--work", "kernels,networks,memory/msvm", "--quick", "--repeats", "1", "--threads", "1"]
    assert main([*words, "--out", str(out)]) == 0
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert [row for row in rows if "failed" in row] == []
    assert {row["work"] for row in rows} == set(choose("kernels,networks,memory/msvm"))
    for op in operators():
        same = [row for row in rows if row["work"] == f"kernels/{op}"]
        expected = {b.name for b in backends(op) if b.available and "cpu" in b.devices}
        for case in {row["case"] for row in same}:
            mine = [row for row in same if row["case"] == case]
            assert {row["name"] for row in mine} == expected
            assert sum(row["ours"] for row in mine) == 1
    assert all(row["peak_bytes"] > 50_000_000 for row in rows if not row["work"].startswith("kernels/"))
    told = capsys.readouterr().out
    assert "msvm" in told
    assert "A quick run" in told


def test_bundle_of_ones_own(tmp_path, capsys, monkeypatch):
    asked = []

    def record(*arguments):
        asked.append(arguments[1:3])
        return []

    for name in ("training.measure_data", "training.measure_epoch", "image.measure"):
        monkeypatch.setattr(f"scripts.bench.works.{name}", record)
    (tmp_path / "datalist.json").write_text("{}")
    assert main(["bench", "--bundle", "msvm_acdc", "--dataset_dir", str(tmp_path)]) == 1
    assert len(asked) == 3
    assert all(bundle.endswith("msvm_acdc") and data() == tmp_path for bundle, data in asked)


def test_list(capsys):
    assert main(["bench", "--list", "--bundle", "msvm_acdc"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in (*WORKS, *GROUPS, "epoch/msvm_acdc"))


def test_plan(capsys):
    assert main(["bench", "--plan", "--memory", "24"]) == 0
    told = capsys.readouterr().out
    assert "24.0 GiB" in told
    assert "xlstm_abdomen_mri_3d" in told
    assert main(["bench", "--plan", "--memory", "24", "--bundle", "msvm_acdc"]) == 0
    assert "xlstm" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--work", "netwrks"], "unknown work 'netwrks', did you mean 'networks'?"),
        (["--wrok", "networks"], "unknown flag --wrok, did you mean --work?"),
        (["--repeats", "0"], "--repeats needs a whole number from 1 on, not 0"),
        (["--threads", "two"], "--threads needs a whole number from 1 on, not 'two'"),
        (["--seed", "-1"], "--seed needs a whole number from 0 on, not -1"),
        (["--device", "gpu"], "--device 'gpu' is not known"),
        (["--memory", "3"], "--memory goes with --plan"),
        (["--dataset_dir", "D"], "--dataset_dir goes with --bundle"),
        (["--bundle", "msvm_acdc", "--dataset_dir", "nowhere"], "there is no datalist.json in it"),
        (["--plan", "--memory", "none"], "--memory needs a number"),
        (["--out", "."], "is a folder: give a file"),
    ],
)
def test_wrong_words(words, told, capsys):
    assert main(["bench", *words]) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.err.count("\n") == 1


def test_choice_of_works():
    assert choose("all") == list(WORKS)
    assert {name.partition("/")[0] for name in WORKS} == set(GROUPS)
    assert choose("kernels") == list(works.KERNELS)
    assert choose("memory/msvm, kernels/mlstm,memory/msvm") == ["kernels/mlstm", "memory/msvm"]


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("kernels/mlst", "did you mean 'kernels/mlstm'"),
        ("kernls/mlstm", "unknown work 'kernls/mlstm'"),
        ("msvm", "did you mean networks/msvm or memory/msvm"),
    ],
)
def test_unknown_works(word, told):
    with pytest.raises(ValueError, match=told):
        choose(word)
