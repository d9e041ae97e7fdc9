"""What processes exchange."""

import pytest
import torch
from made_records import record, row

from benchmarks.processes import efficiency, sent
from benchmarks.tables import tables
from scripts.bench.models import BOT, MSVM, Subject
from scripts.bench.session import Settings

QUICK = Settings(quick=True)


@pytest.mark.parametrize(("name", "plan"), [(MSVM, "slices"), (BOT, "mri")])
def test_a_step_exchanges_one_number_for_each_parameter(name, plan):
    network, _ = Subject(name, plan).make(QUICK)
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


def test_table():
    (table,) = tables(record(exchanged()))["processes"]
    cells = table.rows[0]
    assert cells[:4] == ("MSVM-UNet, training step", "1.00 s", "1000 MB", "10 Gbit/s")
    assert cells[4] == f"{100 / (1 + 2 * 7 / 8 / 1.25):.1f} %"
