"""What only the numba kernels can do wrong: memory they do not write, threads, and their registration with PyTorch."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scan_cases import arguments, assert_equal, outputs
from test_cross_scan import NAMES as CROSS_NAMES
from test_cross_scan import arguments as cross_arguments

import components.kernels.ops.cross_selective_scan.numba  # noqa: F401  # registers its operators
from components import kernels
from components.kernels.ops.selective_scan import numba as fused

CASES = {
    "scan": (kernels.selective_scan, arguments(2, 2, 50, 3, 33, torch.float32), (True, "numba"), {}),
    "cross scan": (
        kernels.cross_selective_scan,
        cross_arguments(2, 50, 6, 5, 3, 2, torch.float32),
        ("numba",),
        {"names": CROSS_NAMES},
    ),
}


def run(case):
    function, tensors, options, names = CASES[case]
    return outputs(function, tensors, *options, **names)


@pytest.mark.usefixtures("filled_memory")
@pytest.mark.parametrize("case", CASES)
def test_every_number_of_a_new_tensor_is_written(case):
    filled = run(case)
    torch.use_deterministic_algorithms(False)
    assert_equal(filled, run(case))


@pytest.mark.parametrize("case", CASES)
def test_freed_memory_is_not_read(case):
    """Arrays of the sizes that the kernels use, filled with NaN and freed, are what the next allocations get."""
    expected = run(case)
    lanes = fused.LANES
    sizes = {value.nbytes for value in expected.values()}
    sizes |= {4 * lanes * n for n in (1, 2, 3, 30, 33, 60, 90, 99)} | {4 * 33 * 6, 4 * 30 * 16}
    for _ in range(15):
        poison = [np.full(size // 4, np.nan, np.float32) for size in sizes for _ in range(8)]
        del poison
        assert_equal(run(case), expected)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("case", CASES)
def test_one_thread_and_two_agree(case):
    two = run(case)
    torch.set_num_threads(1)
    assert_equal(run(case), two)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_stays(threads):
    torch.set_num_threads(threads)
    run("scan")
    assert torch.get_num_threads() == threads


@pytest.mark.usefixtures("two_threads")
def test_called_from_several_threads_at_once():
    expected = {case: run(case) for case in CASES}
    order = list(CASES) * 20
    with ThreadPoolExecutor(4) as pool:
        for case, actual in zip(order, pool.map(run, order), strict=True):
            assert_equal(actual, expected[case])


NEW_PROCESS = """
from concurrent.futures import ThreadPoolExecutor
import torch
from components import kernels

torch.set_num_threads(1)
u, b = torch.ones(1, 2, 30), torch.ones(1, 1, 1, 30)

def scan(_):
    return kernels.selective_scan(u, u, -torch.ones(2, 1), b, b, backend="numba")

first = scan(None)
assert torch.get_num_threads() == 1, torch.get_num_threads()
torch.set_num_threads(2)
with ThreadPoolExecutor(4) as pool:
    assert all(torch.equal(first, y) for y in pool.map(scan, range(500)))
"""


@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_threads_in_a_new_process(layer):
    """The first call leaves the number of threads alone; numba's simplest thread pool aborts on concurrent calls."""
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer}
    result = subprocess.run([sys.executable, "-c", NEW_PROCESS], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("softplus", [True, False])
def test_registration_of_the_scan(softplus):
    groups, states = 2, 3
    x, dt = (torch.rand(2, 5, groups * fused.LANES, dtype=torch.float64) for _ in range(2))
    BC = torch.rand(2, 5, groups, 2 * states, dtype=torch.float64)
    bias, D = torch.rand(2, groups, fused.LANES, dtype=torch.float64)
    A = -torch.rand(groups, fused.LANES, states, dtype=torch.float64)
    tensors = [tensor.requires_grad_() for tensor in (x, dt, BC, bias.clone(), A, D.clone())]
    torch.library.opcheck(torch.ops.scanseg.selective_scan_numba.default, (*tensors, softplus, True))
    detached = [tensor.detach() for tensor in tensors]
    _, kept = torch.ops.scanseg.selective_scan_numba(*detached, softplus, True)
    backward = torch.ops.scanseg.selective_scan_numba_backward.default
    torch.library.opcheck(backward, (*detached, softplus, kept, torch.ones_like(x)))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"])
@pytest.mark.parametrize("size", [(2, fused.LANES, 5, 3), (1, fused.LANES, 1, 1), (1, fused.LANES, 1, 7)], ids=str)
def test_registration_of_the_cross_scan(size, layout):
    x, *weights, A_logs, Ds = (tensor.detach() for tensor in cross_arguments(*size, 3, 2, torch.float32))
    A, D = -A_logs.exp().unflatten(0, (4, -1)), Ds.unflatten(0, (4, -1))
    tensors = [tensor.requires_grad_() for tensor in (x.contiguous(memory_format=layout), *weights, A, D)]
    torch.library.opcheck(torch.ops.scanseg.cross_selective_scan_numba.default, (*tensors, True))
    detached = [tensor.detach() for tensor in tensors]
    _, kept = torch.ops.scanseg.cross_selective_scan_numba(*detached, True)
    backward = torch.ops.scanseg.cross_selective_scan_numba_backward.default
    torch.library.opcheck(backward, (*detached, kept, torch.ones_like(x)))


def test_states_are_kept_for_a_backward_pass_only():
    x, *weights, A_logs, Ds = (tensor.detach() for tensor in cross_arguments(1, fused.LANES, 5, 3, 3, 2, torch.float32))
    arguments = (x, *weights, -A_logs.exp().unflatten(0, (4, -1)), Ds.unflatten(0, (4, -1)))
    (y, kept), (same, none) = (torch.ops.scanseg.cross_selective_scan_numba(*arguments, k) for k in (True, False))
    assert torch.equal(y, same)
    assert kept.numel() > none.numel() == 0


@pytest.mark.parametrize("case", CASES)
def test_second_derivatives_are_refused(case):
    function, tensors, options, _ = CASES[case]
    y = function(*tensors, *options)
    (gradient,) = torch.autograd.grad(y.square().sum(), tensors[0], create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd formula"):
        gradient.sum().backward()
