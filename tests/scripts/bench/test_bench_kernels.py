"""Cases of the operators."""

import pytest
import torch

from components.kernels import operators
from scripts import kernel_cases
from scripts.bench import kernels
from scripts.bench.session import Session, Settings

QUICK = Settings(repeats=1, quick=True)


@pytest.mark.parametrize("op", operators())
def test_result_has_the_shape_of_the_first_tensor(op):
    # on which the count of bytes relies
    for case in kernel_cases.CASES[op](QUICK):
        y = kernel_cases.call(op, case, "naive", kernel_cases.FORWARD)()
        assert y.shape == next(iter(case.tensors.values())).shape


def test_bytes_by_hand():
    case = kernel_cases.KernelCase("", {"x": torch.zeros(10), "w": torch.zeros(3, dtype=torch.float64)})
    assert kernels.least_bytes("op", case, kernel_cases.FORWARD) == (40 + 24) + 40
    assert kernels.least_bytes("op", case, kernel_cases.BACKWARD) == 104 + 104 + 64


def test_gradients_of_all_tensors_are_asked_for(monkeypatch):
    asked = []
    case = kernel_cases.CASES["mlstm"](QUICK)[0]
    monkeypatch.setattr(torch.autograd, "grad", lambda y, inputs, dy: asked.append(len(inputs)))
    kernel_cases.call("mlstm", case, "auto", kernel_cases.BACKWARD)()
    assert asked == [5]


def test_back_end_that_cannot_do_a_size_is_told(tmp_path, monkeypatch):
    small = kernel_cases.mlstm_case(64, QUICK)
    case = kernel_cases.KernelCase(small.title, small.tensors, {}, {"naive": "too large for it"})
    monkeypatch.setitem(kernel_cases.CASES, "mlstm", lambda settings: [case])
    rows = [row for row in kernels.measure("mlstm", Session(QUICK, tmp_path)) if row["name"] == "naive"]
    assert [row["failed"] for row in rows] == ["too large for it"] * 2
    assert all("seconds" not in row for row in rows)


def test_definition_is_left_out_where_it_takes_gigabytes():
    assert "naive" in kernel_cases.mlstm_case(13440, QUICK).left_out
    assert kernel_cases.mlstm_case(6720, QUICK).left_out == {}
