"""The measurement itself, on networks that are small; never how fast anything is."""

import json

import pytest
from torch import nn

from scripts import bench
from scripts.errors import UserError


@pytest.fixture
def small(monkeypatch):
    def network():
        return nn.Conv2d(1, 2, 1)

    works = {
        name: bench.Work(network, network, ("ours", "peer"), (1, 1, 8, 8), train)
        for name, train in (("forward", False), ("step", True))
    }
    monkeypatch.setattr(bench, "WORKS", works)
    monkeypatch.setattr(bench.torch, "set_num_threads", lambda threads: None)


def test_both_are_timed(small, tmp_path, capsys):
    out = tmp_path / "bench.json"
    bench.bench("forward,step", repeats=2, out=str(out))
    results = json.loads(out.read_text())["work"]
    assert list(results) == ["forward", "step"]
    for result in results.values():
        assert set(result["seconds"]) == {"ours", "peer"}
        assert result["ratio"] > 0
    assert capsys.readouterr().out.count("ratio") == 2


def test_refusals(small):
    with pytest.raises(UserError, match="choose from forward, step"):
        bench.bench("backward")
    with pytest.raises(UserError, match="from 1 on"):
        bench.bench("forward", repeats=0)


def test_works_are_complete():
    assert set(bench.WORKS) == {"msvm_forward", "msvm_step", "bot_3d_forward", "enc_3d_forward"}
