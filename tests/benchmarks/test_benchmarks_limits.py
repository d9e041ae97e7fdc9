"""Speed of the machine and what it is."""

import pytest

from benchmarks import limits
from components.kernels import default_backend, operators
from scripts.bench.session import Settings


@pytest.fixture(scope="module")
def machine():
    return limits.measure(Settings(quick=True))


def test_rates_are_above_zero(machine):
    assert set(machine["rates"]) == {"matrix_float32", "matrix_bfloat16", "conv3d_float32", "copy"}
    assert all(rate > 0 for rate in machine["rates"].values())


def test_machine_is_described(machine):
    cpu = machine["cpu"]
    assert cpu["model"]
    assert cpu["cores"] >= 1
    assert cpu["amx"] == ("amx_bf16" in cpu["flags"])
    assert {"python", "scanseg", "torch", "monai", "numba"} <= set(machine["versions"])


def test_default_back_ends_are_named(machine):
    assert machine["backends"] == {op: default_backend(op, "cpu") for op in operators()}


def test_rate_that_cannot_be_measured_is_none(monkeypatch):
    def broken():
        raise RuntimeError("no such unit")

    monkeypatch.setattr(limits, "_rates", lambda settings: {"matrix_float32": (broken, 1.0)})
    assert limits.measure(Settings(quick=True))["rates"] == {"matrix_float32": None}
