"""The command as a user types it, and what goes wrong."""

import json

import pytest
from bench_records import record, row

from scripts.bench import command
from scripts.bench.works import WORKS, Work
from scripts.cli import main


@pytest.fixture
def works(monkeypatch):
    """Works that measure nothing."""

    def good(session):
        yield {"case": "c", "name": "a", "ours": True, "seconds": [1.0]}

    def half(session):
        yield {"case": "c", "name": "a", "ours": True, "seconds": [1.0]}
        raise RuntimeError("the data are gone")

    def interrupted(session):
        raise KeyboardInterrupt

    def bad(session):
        raise MemoryError

    for name, measure in {"msvm": good, "mri": half, "endoscopy": interrupted, "bfloat16": bad}.items():
        monkeypatch.setitem(WORKS, f"networks/{name}", Work(name, measure))
    monkeypatch.setattr(command.limits, "measure", lambda settings, tell: record()["machine"])


def rows(folder):
    return json.loads((folder / "bench.json").read_text(encoding="utf-8"))["rows"]


def test_work_that_breaks_is_told_and_the_others_go_on(works, tmp_path, capsys):
    assert main(["bench", "--work", "networks/mri,networks/msvm", "--out", str(tmp_path)]) == 0
    found = rows(tmp_path)
    assert [(r["work"], r["name"]) for r in found] == [
        ("networks/msvm", "a"),
        ("networks/mri", "a"),
        ("networks/mri", "the whole work"),
    ]
    told = capsys.readouterr().out
    assert "! the whole work (mri): RuntimeError: the data are gone" in told
    assert "1 of 3 measurements were not possible" in told


def test_status_where_nothing_could_be_measured(works, capsys):
    assert main(["bench", "--work", "networks/bfloat16"]) == 1
    assert "it needs more memory than is free" in capsys.readouterr().out


def test_interrupted_measurement_is_kept(works, tmp_path, capsys):
    assert main(["bench", "--work", "networks", "--out", str(tmp_path)]) == 130
    assert {r["work"] for r in rows(tmp_path)} == {"networks/msvm", "networks/mri"}
    assert main(["bench", "--from-json", str(tmp_path / "bench.json"), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "bench.md").is_file()


def test_other_measurement_is_not_written_over(works, tmp_path, capsys):
    words = ["bench", "--work", "networks/msvm", "--out", str(tmp_path)]
    assert main(words) == 0
    before = (tmp_path / "bench.json").read_bytes()
    assert main(words) == 2
    assert "holds a measurement already: choose another folder" in capsys.readouterr().err
    other = tmp_path / "other.json"
    other.write_text(json.dumps(record()), encoding="utf-8")
    assert main(["bench", "--from-json", str(other), "--out", str(tmp_path)]) == 2
    assert (tmp_path / "bench.json").read_bytes() == before


def test_threads_are_those_of_before_afterwards(works):
    import torch

    before = torch.get_num_threads()
    assert main(["bench", "--work", "networks/msvm", "--threads", str(before + 1)]) == 0
    assert torch.get_num_threads() == before


def test_list(capsys):
    assert main(["bench", "--list"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in WORKS)


def test_plan(capsys, tmp_path):
    assert main(["bench", "--plan", "--memory", "24"]) == 0
    told = capsys.readouterr().out
    assert "24.0 GiB" in told
    assert "xlstm_abdomen_mri_3d" in told
    measured = row("pipeline/msvm_acdc", "msvm_acdc", "", step_seconds=[4.0], overrides={"batch_size": 3, "amp": False})
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(record(measured)), encoding="utf-8")
    assert main(["bench", "--plan", "--from-json", str(path)]) == 0
    assert "4.00 s, batch of 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--work", "netwrks"], "unknown work 'netwrks', did you mean 'networks'?"),
        (["--wrok", "networks"], "unknown flag --wrok, did you mean --work?"),
        (["--repeats", "0"], "--repeats needs a whole number from 1 on, not 0"),
        (["--threads", "two"], "--threads needs a whole number, not 'two'"),
        (["--seed", "-1"], "--seed needs a whole number from 0 on, not -1"),
        (["--device", "gpu"], "--device 'gpu' is not known"),
        (["--memory", "3"], "--memory goes with --plan"),
        (["--plan", "--memory", "none"], "--memory needs a number, not 'none'"),
        (["--weights", "model.pt"], "--weights is for networks/bfloat16"),
        (["--work", "networks", "--weights", "nowhere.pt"], "--weights nowhere.pt: there is no such file"),
        (["--from-json", "nowhere.json"], "No such file or directory: nowhere.json"),
        (["--out", __file__], "is a file: give a folder"),
    ],
)
def test_wrong_words(words, told, capsys):
    assert main(["bench", *words]) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[]", "is no measurement of `scanseg bench`"),
        ("{", "is not valid JSON"),
        (json.dumps({"format": 1}), "it has no date"),
        (json.dumps({**record(), "format": 99}), "has the format 99, not 1: measure again"),
    ],
)
def test_wrong_json(content, told, tmp_path, capsys):
    path = tmp_path / "bench.json"
    path.write_text(content, encoding="utf-8")
    assert main(["bench", "--from-json", str(path)]) == 2
    assert told in capsys.readouterr().err


def test_quick_run_is_nothing_to_plan_by(tmp_path, capsys):
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(record(quick=True)), encoding="utf-8")
    assert main(["bench", "--plan", "--from-json", str(path)]) == 2
    assert "is of a quick run" in capsys.readouterr().err
