"""The command as a developer types it, and what goes wrong."""

import json

import pytest
from made_records import record

from benchmarks import command
from benchmarks.__main__ import main
from benchmarks.bars import BARS
from benchmarks.works import GROUPS, PRESETS, WORKS
from scripts.bench.works import Work


def written(folder, name, content):
    path = folder / f"{name}.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def rows(folder):
    return json.loads((folder / "bench.json").read_text(encoding="utf-8"))["rows"]


@pytest.fixture
def works(monkeypatch):
    """Works that measure nothing."""

    def good(session):
        yield {"case": "c", "name": "a", "ours": True, "seconds": [1.0]}

    def interrupted(session):
        raise KeyboardInterrupt

    def bad(session):
        raise MemoryError

    for name, measure in {"msvm": good, "mri": interrupted, "bfloat16": bad}.items():
        monkeypatch.setitem(WORKS, f"networks/{name}", Work(name, measure))
    monkeypatch.setattr(command.limits, "measure", lambda settings, tell: record()["machine"])


def test_interrupted_measurement_is_kept(works, tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        main(["--work", "networks/msvm,networks/mri", "--out", str(tmp_path)])
    assert {r["work"] for r in rows(tmp_path)} == {"networks/msvm"}
    main(["--from_json", str(tmp_path / "bench.json"), "--out", str(tmp_path)])
    assert (tmp_path / "bench.md").is_file()


def test_status_where_nothing_could_be_measured(works, capsys):
    with pytest.raises(SystemExit, match="1"):
        main(["--work", "networks/bfloat16"])
    assert "it needs more memory than is free" in capsys.readouterr().out


def test_other_measurement_is_not_written_over(works, tmp_path):
    main(["--work", "networks/msvm", "--out", str(tmp_path)])
    before = (tmp_path / "bench.json").read_bytes()
    for words in (["--work", "networks/msvm"], ["--from_json", written(tmp_path, "other", record())]):
        with pytest.raises(SystemExit, match="holds a measurement already: choose another folder"):
            main([*words, "--out", str(tmp_path)])
    assert (tmp_path / "bench.json").read_bytes() == before


def test_every_group_and_bar_has_works():
    assert {name.partition("/")[0] for name in WORKS} == set(GROUPS)
    assert {bar.work for bar in BARS} == set(PRESETS["bars"]) <= set(PRESETS["page"]) <= set(WORKS)


def test_preset(works, tmp_path, monkeypatch):
    monkeypatch.setitem(command.PRESETS, "bars", ("networks/msvm",))
    for number, words in enumerate(("bars", "bars,networks/bfloat16")):
        main(["--work", words, "--out", str(tmp_path / str(number))])
    assert {r["work"] for r in rows(tmp_path / "0")} == {"networks/msvm"}
    assert {r["work"] for r in rows(tmp_path / "1")} == {"networks/msvm", "networks/bfloat16"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[]", "is not a measurement of `python -m benchmarks`"),
        ("{", "is not valid JSON"),
        ({"format": 1}, "it has no date"),
        ({**record(), "format": 99}, "has the format 99, not 2: measure again"),
    ],
)
def test_what_is_no_measurement(content, why, tmp_path):
    with pytest.raises(SystemExit, match=why):
        main(["--from_json", written(tmp_path, "a", content)])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--work", "netwrks"], "unknown work 'netwrks', did you mean 'networks'"),
        (["--repeats", "0"], "--repeats needs a whole number from 1 on, not 0"),
        (["--work", "kernels", "--weights", "model.pt"], "--weights is for networks/bfloat16"),
        (["--work", "networks", "--weights", "nowhere.pt"], "--weights nowhere.pt: there is no such file"),
        (["--from_json", "nowhere.json"], "nowhere.json"),
        (["--out", __file__], "is a file: give a folder"),
    ],
)
def test_wrong_words(words, why):
    with pytest.raises(SystemExit, match=why):
        main(words)
