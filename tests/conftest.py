"""Settings that must hold before PyTorch and the kernels are imported."""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread a worker: the threads of several processes would wait for each other on the same cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

if not torch.cuda.is_available():
    # Read when a kernel is decorated: without a GPU the Triton kernels then run on CPU tensors, slowly, where forced.
    os.environ.setdefault("TRITON_INTERPRET", "1")


SLOW = (
    "benchmarks/test_benchmarks_works.py", "bundles/test_geometry.py", "bundles/test_monai_algo.py",
    "bundles/test_processes.py", "bundles/test_tracked_runs.py", "bundles/test_versions.py", "bundles/test_workflow.py",
    "docs", "faults", "kernels/test_numba_cache.py", "kernels/test_scan_triton.py", "networks/test_contract.py",
    "networks/test_golden.py", "resuming", "runs", "scripts/bench", "scripts/label", "scripts/new", "scripts/predict",
    "scripts/report", "scripts/test_demonstrate.py", "scripts/test_federated.py", "scripts/test_sample.py",
    "scripts/weights", "scripts/zoo/test_use.py", "scripts/zoo/test_verify.py", "test_installed.py", "tracking",
)  # fmt: skip
"""Folders and modules that run bundles, start many processes or compile for long: left out by test.sh --fast."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(config, items):
    tests = config.rootpath / "tests"
    slow = [tests / name for name in SLOW]
    for item in items:
        if any(item.path.is_relative_to(path) for path in slow):
            item.add_marker(pytest.mark.slow)
            if item.get_closest_marker("xdist_group") is None:
                # In one worker, so that what the tests of a module share is made once.
                item.add_marker(pytest.mark.xdist_group(item.path.relative_to(tests).as_posix()))
    # The short ones come last, and fill the time in which one worker still has a long one.
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_addoption(parser):
    group = parser.getgroup("faults", "tests of faults (tests/faults)")
    group.addoption("--faults-full", action="store_true", help="try as often as for the page, which takes an hour")
    group.addoption("--reliability", metavar="FILE", help="write what was tried, and what happened, as a page")


def pytest_configure(config):
    if config.getoption("--reliability") and config.getoption("numprocesses", None):
        raise pytest.UsageError("--reliability counts in one process: leave out -n")


def pytest_sessionfinish():
    from tests import processes

    processes.stop()


@pytest.fixture
def two_threads():
    """Two threads where the machine has them, and the caller's setting afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def filled_memory():
    """torch.empty gives NaN."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(before)
