"""A short training fits its budget."""

import math

import pytest
import torch
from monai.bundle import ConfigParser
from test_plan import gpu, measurement

from scripts.errors import UserError
from scripts.new.plan import plan
from scripts.new.short import ONE_CYCLE, STEPS, WANTED, Budget, seconds

VOLUMES = measurement((60, 200, 280), (3.0, 1.19, 1.19))


def rate(found, batch, each=4e-8):
    """Seconds that grow with what the finest stage computes."""
    return batch * each * math.prod(found.patch_size) * found.width**2 / 32


@pytest.mark.parametrize(("text", "expected"), [("1h", 3600), ("45m", 2700), ("1h30min", 5400), ("90 s", 90)])
def test_times(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "1", "h", "10s", "1.2.3h", "-1h", "soon"])
def test_what_is_no_time_is_told(text):
    with pytest.raises(UserError, match="--budget needs a time"):
        seconds(text)


@pytest.mark.parametrize("budget", ["10m", "1h", "100h"])
def test_the_network_shrinks_until_the_iterations_fit(budget):
    planned = plan(VOLUMES, gpu(11))
    total = seconds(budget)
    fitted = Budget(total, VOLUMES, "xlstm", "bot", step=rate)
    found = plan(VOLUMES, gpu(11), fit=fitted.fit)
    config = fitted.training(found, items=40, validation=10).config
    iterations = config["max_epochs"] * config["epoch_length"]
    step = rate(found.topology, config["batch_size"])
    assert iterations * step <= STEPS * total
    assert iterations >= 0.95 * WANTED
    assert (found.patch_size == planned.patch_size) == (budget != "10m")
    assert (found.topology.features == planned.topology.features) == (budget == "100h")
    assert all(n % d == 0 for n, d in zip(found.patch_size, found.topology.divisor, strict=True))


def test_the_schedule_ends_with_the_training():
    fitted = Budget(600, VOLUMES, "xlstm", "bot", step_seconds=1.0)
    found = plan(VOLUMES, gpu(11), fit=fitted.fit)
    assert found.topology.features[0] == 32  # nothing was measured
    config = fitted.training(found, items=40, validation=20).config
    assert config["val_interval"] > config["max_epochs"]  # one validation would take longer than a minute
    parser = ConfigParser({**config, "network": torch.nn.Linear(1, 1)})
    schedule, optimizer = parser.get_parsed_content("lr_scheduler"), parser.get_parsed_content("optimizer")
    rates = []
    for _ in range(config["max_epochs"]):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert max(rates) == pytest.approx(config["learning_rate"], rel=0.05)
    assert rates[-1] < 0.1 * max(rates)


@pytest.mark.parametrize("epochs", range(1, 12))
def test_any_number_of_epochs_has_a_cycle(epochs):
    config = {"max_epochs": epochs, "learning_rate": 0.002, "weight_decay": 0.01, "network": torch.nn.Linear(1, 1)}
    schedule = ConfigParser({**config, **ONE_CYCLE}).get_parsed_content("lr_scheduler")
    for _ in range(epochs):
        schedule.optimizer.step()
        schedule.step()
        assert 0 < schedule.get_last_lr()[0] <= 0.002


def test_an_epoch_of_slices_is_all_of_them():
    fitted = Budget(3600, VOLUMES, "msvm", "", step_seconds=2.0)
    found = plan(VOLUMES, gpu(11), "msvm", fit=fitted.fit)
    config = fitted.training(found, items=100, validation=2).config
    assert "epoch_length" not in config
    assert config["max_epochs"] == int(STEPS * 3600 / 2.0) // math.ceil(100 / config["batch_size"])


def test_a_wrong_rate_is_told():
    with pytest.raises(UserError, match="--step_seconds needs a number above 0"):
        Budget(3600, VOLUMES, "xlstm", "bot", step_seconds=0)
