"""Fresh processes: results, failures, and an end that nobody asked for."""

import os
import signal
import sys

import numpy as np
import pytest
import torch

from scripts.bench.child import in_child, peak_bytes
from scripts.bench.guard import ChildError, shared_bytes, status_bytes, within_memory
from scripts.bench.session import Settings
from scripts.errors import reason

QUICK = Settings(quick=True)

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells and limits the memory of a process")


def allocate(count):
    before = peak_bytes()
    kept = np.ones(count, dtype=np.uint8)
    return before, peak_bytes(), int(kept[-1])


def facts():
    return os.getpid(), torch.get_num_threads()


def fails():
    raise ValueError("a reason\nof two lines")


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def prints():
    sys.stdout.write("x" * 200_000)  # more than a pipe holds
    sys.stdout.flush()
    return "y" * 200_000


def test_it_is_another_process_with_its_threads():
    process, threads = in_child(facts, settings=QUICK)
    assert process != os.getpid()
    assert threads == 1


def test_what_it_prints_is_thrown_away(capfd):
    assert in_child(prints, settings=QUICK) == "y" * 200_000
    assert capfd.readouterr() == ("", "")


def test_failure_is_told_in_one_line():
    with pytest.raises(ChildError, match=r"^ValueError: a reason of two lines$"):
        in_child(fails, settings=QUICK)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_process_that_is_killed_is_told():
    with pytest.raises(ChildError, match=r"the system ended it \(signal 9\)"):
        in_child(killed, settings=QUICK)


@linux
def test_peak_holds_what_was_allocated():
    size = 300_000_000
    before, after, last = in_child(allocate, size, settings=QUICK)
    assert last == 1
    assert size <= after - before + 2**20
    assert after < before + 2 * size


@linux
def test_too_much_memory_is_an_error_and_not_the_end():
    with pytest.raises(ChildError, match=r"^it needs more memory than is free$"):
        in_child(allocate, 10**13, settings=QUICK)
    with within_memory(), pytest.raises(RuntimeError) as caught:
        torch.empty(10**13)
    assert reason(caught.value) == "it needs more memory than is free"


@linux
def test_limit_is_lifted_afterwards():
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    with within_memory():
        assert resource.getrlimit(resource.RLIMIT_DATA) != before
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@linux
def test_entries_of_a_process():
    assert status_bytes("VmHWM") >= status_bytes("VmRSS", os.getpid()) > shared_bytes() // 2 > 0
    assert status_bytes("VmNothing") is None
    assert status_bytes("VmRSS", 2**22 + 1) is None


def test_reason_is_that_of_the_innermost_cause():
    outer = RuntimeError("Failed to evaluate an expression")
    outer.__cause__ = ValueError("the size does not fit")
    assert reason(outer) == "ValueError: the size does not fit"
    assert reason(KeyError()) == "KeyError"
    assert len(reason(ValueError("x" * 1000))) < 300
