"""What processes exchange, and measurements that are joined."""

import json

import pytest
import torch

from scripts.bench.command import _command
from scripts.bench.models import BOT, MSVM, make
from scripts.bench.processes import efficiency, sent
from scripts.bench.session import Settings
from scripts.bench.tables import tables
from scripts.cli import main
from tests.scripts.bench.bench_records import record, row

QUICK = Settings(quick=True)


@pytest.mark.parametrize(("name", "plan"), [(MSVM, "slices"), (BOT, "mri")])
def test_a_step_exchanges_one_number_for_each_parameter(name, plan):
    network, _ = make(name, plan, 1, None, QUICK)
    parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    found = sent(name, plan, 1, QUICK)
    assert found["gradient_bytes"] == 4 * parameters
    assert found["buffer_bytes"] == sum(buffer.nbytes for buffer in network.buffers())
    assert not torch.distributed.is_initialized()


def test_efficiency():
    assert efficiency(1.0, 1e9, 1, 1e9) == 1
    values = [efficiency(2.0, 1e9, count, 1e9) for count in (2, 8, 64, 512)]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(2 / 3)
    assert values[-1] > 0.5  # a ring never sends more than twice the gradients


def exchanged(name="MSVM-UNet", seconds=1.0):
    more = {"ours": True, "gradient_bytes": 999_000_000, "buffer_bytes": 1_000_000}
    return row("processes/exchange", "training step", name, [seconds], **more)


def written(folder, name, content):
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content))
    return str(path)


def test_table():
    (table,) = tables(record(exchanged()))["processes"]
    cells = table.rows[0]
    assert cells[:4] == ("MSVM-UNet, training step", "1.00 s", "1000 MB", "10 Gbit/s")
    assert cells[4] == f"{100 / (1 + 2 * 7 / 8 / 1.25):.1f} %"


def test_joined_measurements(tmp_path, capsys):
    first = written(tmp_path, "a", record(row("bars/mlstm", "c", "n", [1.0, 1.0])) | {"command": "scanseg bench a"})
    second = written(tmp_path, "b", record(exchanged()) | {"command": "scanseg bench b", "date": "2026-02-01"})
    out = tmp_path / "out"
    assert main(["bench", "--from-json", f"{first},{second}", "--out", str(out)]) == 0, capsys.readouterr().err
    joined = json.loads((out / "bench.json").read_text())
    assert joined["works"] == ["bars/mlstm", "processes/exchange"]
    assert len(joined["rows"]) == 2
    assert joined["date"] == "2026-02-01"
    assert "scanseg bench a\nscanseg bench b\n" in (out / "bench.md").read_text()


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (record(row("a", "c", "n", [1.0])), "a is in more than one"),
        (record(row("b", "c", "n", [1.0]), cores=4), "another machine"),
        (record(row("b", "c", "n", [1.0]), quick=True), "other settings"),
    ],
)
def test_measurements_that_do_not_belong_together(other, why, tmp_path, capsys):
    names = [written(tmp_path, "a", record(row("a", "c", "n", [1.0]))), written(tmp_path, "b", other)]
    assert main(["bench", "--from-json", ",".join(names)]) == 2
    told = capsys.readouterr().err
    assert why in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["bench", "--work", "bars", "--out", "my results", "--repeats", "5"], "scanseg bench --work bars --repeats 5"),
        (["bench", "--docs=docs/benchmarks.md", "--quick"], "scanseg bench --quick"),
        (["other"], "scanseg bench"),
    ],
)
def test_command_in_the_record_has_no_places(words, command):
    assert _command(words) == command
