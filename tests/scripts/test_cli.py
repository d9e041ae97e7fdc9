"""Help and errors of the command line."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.arguments import Command
from scripts.cli import COMMANDS, main
from scripts.errors import UserError
from scripts.hints import Port, check_kind
from tests.timeouts import HANG

ROOT = Path(__file__).parents[2]


def commands(table, path=()):
    for name, entry in table.items():
        yield from [((*path, name), entry)] if isinstance(entry, Command) else commands(entry, (*path, name))


@pytest.mark.parametrize(
    ("path", "command"), commands(COMMANDS), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_has_help_with_an_example(path, command, capsys):
    assert main([*path, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0].startswith(f"Usage: scanseg {' '.join(path)}")
    assert f"    scanseg {' '.join(path)}" in text.partition("Example:")[2]
    assert len(re.match(r"Usage: [a-z ]+([A-Z_]+ ?)*", text)[0].split()) == 2 + len(path) + command.bare
    assert command.summary
    assert "\n" not in command.summary


WRONG = {
    "bench": ["--bundle", "nowhere"],
    "bundle copy": ["nowhere"],
    "data prepare": ["msvm_acdc", "--source", "nowhere", "--out", "{out}"],
    "data check": ["nowhere"],
    "label": ["--studies", "nowhere", "--bundles", "msvm_acdc"],
    "run": ["training", "nowhere"],
    "predict": ["--bundle", "msvm_acdc", "--input", "nowhere", "--output", "{out}"],
    "new": ["name", "--from", "msvm_acdc", "--data", "nowhere"],
    "demonstrate": ["nowhere"],
    "federated simulate": ["msvm_acdc", "--sites", "nowhere,nowhere", "--out", "{out}"],
    "federated export": ["nowhere", "--out", "{out}"],
    "report": ["--output_dir", "nowhere"],
    "ensemble": ["nowhere", "nowhere", "--output", "{out}"],
    "postprocess": ["nowhere"],
    "compare": ["nowhere", "nowhere"],
    "weights convert": ["--bundle", "msvm_acdc", "--checkpoint", "nowhere", "--out", "{out}/model.pt"],
    "weights inspect": ["nowhere"],
    "zoo verify": ["nowhere"],
    "zoo fetch": ["msvm_acdc", "--index", "nowhere"],
    "zoo index": ["--index", "nowhere"],
}
"""For each command words that name something that is not there."""
WATCH = """
import contextlib, io, json, sys
from scripts.cli import main

found = []
for line in json.load(sys.stdin):
    told, before = io.StringIO(), set(sys.modules)
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        status = main(line)
    heavy = [name for name in ("torch", "monai", "matplotlib") if name in sys.modules.keys() - before]
    found.append([line, status, heavy, told.getvalue()])
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """What each command answers to ``--help`` and to wrong words in one fresh process, and what that imports."""
    folder = tmp_path_factory.mktemp("answered")
    lines = [[*path, "--help"] for path, _ in commands(COMMANDS)]
    lines += [[*path.split(), *(word.format(out=folder / "out") for word in words)] for path, words in WRONG.items()]
    done = subprocess.run(
        [sys.executable, "-c", WATCH],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=HANG,
        check=True,
    )
    return {tuple(line): (status, heavy, told) for line, status, heavy, told in json.loads(done.stdout)}


@pytest.mark.parametrize("path", [path for path, _ in commands(COMMANDS)], ids=" ".join)
def test_help_and_wrong_words_are_answered_without_pytorch(answered, path):
    """PyTorch and MONAI take seconds to import."""
    mine = {line: answer for line, answer in answered.items() if line[: len(path)] == path}
    assert len(mine) == 1 + (" ".join(path) in WRONG)
    for line, (status, heavy, told) in mine.items():
        assert status == (0 if "--help" in line else 2), told
        assert heavy == [], line


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_program_lists_its_commands(run, words):
    done = run(*words)
    assert done.returncode == 0
    assert done.stderr == ""
    for path, command in commands(COMMANDS):
        assert " ".join(path) in done.stdout
        assert command.summary in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["dta"], "unknown command 'dta', did you mean data?"),
        (["data", "sampel"], "unknown command 'data sampel', did you mean sample?"),
        (["data", "zzz"], "unknown command 'data zzz': there is prepare, check, sample"),
        (["--verbose"], "give a command before --verbose"),
        (["data", "sample", "--bundel=x"], "unknown flag --bundel, did you mean --bundle?"),
        (["data", "sample"], "missing --bundle; see scanseg data sample --help"),
        (["data", "sample", "--bundle", "--out", "x"], "--bundle needs a value"),
        (["data", "sample", "--bundle", "msvm_synapse", "--out"], "--out needs a value"),
        (["data", "sample", "a", "b", "c"], "unexpected argument c"),
        (["data", "sample", "--bundle", "msvm_synaps", "--out", "x"], "did you mean 'msvm_synapse'?"),
        (["data", "sample", "--bundle", "42", "--out", "x"], "unknown bundle '42'. Valid: msvm_synapse"),
        (["report", "--output_dir", "nowhere"], "--output_dir nowhere is not a folder"),
        (["report", "--output_dir", "x", "--slices", "many"], "--slices needs a whole number from 1 on, not 'many'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_words_are_told_in_one_line(run, tmp_path, monkeypatch, capsys, words, told):
    if len(words) == 1:  # as a user types them
        done = run(*words, cwd=tmp_path)
        status, output, errors = done.returncode, done.stdout, done.stderr
    else:
        monkeypatch.chdir(tmp_path)
        status, (output, errors) = main(words), capsys.readouterr()
    assert status == 2
    assert output == ""
    assert errors.startswith("scanseg: ")
    assert told in errors
    assert errors.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--tta", "yes"], "--tta takes no value, not 'yes'"),
        (["--amp=1"], "--amp takes no value, not 1"),
        (["--override", "x"], "--override needs values by id, as '{\"max_epochs\": 2}', not 'x'"),
        *(
            (["--volume", wrong], "--volume needs a whole number from 1 on")
            for wrong in ("0", "-1", "first", "True", "1.5")
        ),
    ],
    ids=str,
)
def test_values_of_another_kind_are_told_before_the_command_is_called(words, told, capsys):
    assert main(["predict", "--bundle", "none", "--input", "none", "--output", "none", *words]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(("port", "fits"), [(1, True), (65535, True), (0, False), (65536, False), (True, False)])
def test_ends_of_a_range(port, fits):
    with contextlib.nullcontext() if fits else pytest.raises(UserError, match=r"--port needs .* from 1 to 65535, not"):
        check_kind("--port", port, Port | None)


@pytest.mark.parametrize(
    ("words", "encoding"),
    [
        (["--help"], "latin-1"),
        (["--help"], "cp932"),
        (["predict", "--help"], "ascii"),
        (["new", "größe…", "--from", "x"], "cp1252"),
    ],
    ids=str,
)
def test_characters_that_the_output_cannot_have(words, encoding):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUTF8"}
    done = subprocess.run(
        [sys.executable, "-m", "scripts", *words],
        cwd=ROOT,
        env={**environment, "PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=HANG,
    )
    assert b"codec" not in done.stderr
    assert done.returncode == (0 if "--help" in words else 2)
    told = (done.stdout + done.stderr).decode(encoding)
    assert ("Usage: scanseg" if "--help" in words else "missing --data") in told


def test_debug_shows_the_traceback():
    """An error that leaves ``main`` is Python's to show."""
    with pytest.raises(UserError, match="nowhere is not a folder"):
        main(["report", "--debug", "--output_dir", "nowhere"])


def test_unexpected_error_is_told_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(Command, "load", lambda self: 1 / 0)
    assert main(["report"]) == 1
    assert capsys.readouterr().err == "scanseg: unexpected ZeroDivisionError: division by zero; --debug shows where\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_signs_that_a_terminal_lacks_are_replaced(encoding, monkeypatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding=encoding, write_through=True))
    monkeypatch.setattr(Command, "load", lambda self: lambda: print("4 × 4 → done"))  # noqa: T201
    assert main(["doctor"]) == 0
    assert shown.getvalue().decode(encoding).strip() in ("4 ? 4 ? done", "4 × 4 ? done", "4 × 4 → done")


def test_missing_file_is_named(monkeypatch, capsys):
    monkeypatch.setattr(Command, "load", lambda self: Path("no/such/file").read_text(encoding="utf-8"))
    assert main(["report"]) == 2
    assert capsys.readouterr().err == "scanseg: No such file or directory: no/such/file\n"
