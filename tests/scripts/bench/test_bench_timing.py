"""The order of the runs and which of them count; never how long anything takes."""

import pytest

from scripts.bench import timing
from scripts.bench.timing import in_turns, median_ratio


@pytest.fixture
def clock(monkeypatch):
    """Runs that say how long they take."""
    monkeypatch.setattr(timing, "once", lambda run, device="cpu", count=1: max(run() for _ in range(count)))


def recorded(log, **spans):
    def make(name, seconds):
        def run():
            log.append(name)
            return seconds

        return run

    return {name: make(name, seconds) for name, seconds in spans.items()}


def test_rounds_go_forwards_and_backwards_after_a_warm_up(clock):
    log = []
    seconds, failed = in_turns(recorded(log, a=1.0, b=2.0, c=3.0), rounds=3)
    assert "".join(log[-9:]) == "abc" + "cba" + "abc"
    assert set(log[:-9]) == {"a", "b", "c"}
    assert seconds == {"a": [1.0] * 3, "b": [2.0] * 3, "c": [3.0] * 3}
    assert failed == {}


def test_very_slow_ones_take_part_in_few_rounds(clock):
    log = []
    seconds, _ = in_turns(recorded(log, fast=1.0, medium=20.0, slow=20.1), rounds=5)
    assert {name: len(times) for name, times in seconds.items()} == {"fast": 5, "medium": 5, "slow": timing.FEW}
    assert log.count("slow") == 1 + timing.FEW
    assert log.count("fast") == 2 + 5


def test_short_ones_fill_a_block_in_each_round(clock):
    log = []
    in_turns(recorded(log, short=timing.BLOCK / 4, long=timing.BLOCK, none=0.0), rounds=2)
    assert {name: log.count(name) - 2 for name in set(log)} == {"short": 2 * 4, "long": 2, "none": 2 * timing.MOST}


@pytest.mark.parametrize("at", [0, 3])
def test_one_that_fails_is_told_and_the_others_go_on(clock, at):
    calls = []

    def fails():
        calls.append(1)
        if len(calls) > at:
            raise RuntimeError("no\nsuch kernel")
        return 1.0

    seconds, failed = in_turns({"good": lambda: 1.0, "bad": fails}, rounds=3)
    assert seconds == {"good": [1.0] * 3}
    assert failed == {"bad": "RuntimeError: no such kernel"}
    assert len(calls) == at + 1


def test_interrupt_is_not_swallowed(clock):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_turns({"a": interrupted}, rounds=1)


def test_once_runs_once():
    log = []
    assert timing.once(lambda: log.append(1)) >= 0
    assert timing.once(lambda: log.append(2), count=3) >= 0
    assert log == [1, 2, 2, 2]


def test_ratio_is_the_median_of_the_ratios_not_the_ratio_of_the_medians():
    ours, other = [1.0, 4.0, 3.0], [2.0, 2.0, 4.0]
    assert median_ratio(ours, other) == 0.75  # of 0.5, 2 and 0.75; the medians are 3 and 2
    assert median_ratio([1.0, 2.0, 30.0], [2.0, 8.0]) == 0.375  # only rounds that both ran
