"""What a training's clock counts."""

from ignite.engine import Engine

from scripts.bench import bundle
from scripts.bench.bundles import config
from scripts.bench.session import Session, Settings


def test_waiting_and_computing_are_told_apart(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(bundle.time, "perf_counter", lambda: now[0])

    def data():
        for _ in range(3):
            now[0] += 2.0  # a batch takes so long to come
            yield 1

    def step(engine, batch):
        now[0] += 5.0

    engine = Engine(step)
    clock = bundle.Clock(engine)
    engine.run(data(), epoch_length=3)
    assert clock.waits[:3] == [2.0, 2.0, 2.0]
    assert clock.steps == [5.0, 5.0, 5.0]
    assert len(clock.memory) == 3


def test_nested_overrides_leave_the_rest(tmp_path):
    _, before = config("xlstm_cells")
    _, after = config("xlstm_cells", {"network_def#features": [8], "batch_size": 1})
    assert after["network_def"] == {**before["network_def"], "features": [8]}
    assert config("xlstm_cells")[1] == before


def test_training_that_does_not_fit_is_not_started(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "bundle_gib", lambda *_: 10_000.0)
    monkeypatch.setattr(bundle, "in_child", None)
    (found,) = bundle.measure_epoch(Session(Settings(), tmp_path), "msvm_acdc", lambda: tmp_path, {"amp": False})
    assert found["failed"].startswith("about 10000.0 GiB are needed; ")
