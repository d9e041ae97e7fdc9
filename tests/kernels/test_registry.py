"""Which back ends there are, how one is chosen or forced, and that optional packages stay out until they are used."""

import importlib.util
import logging
import subprocess
import sys
import types

import pytest
import torch

from components.kernels import BackendUnavailableError, backends, default_backend, mlstm, operators, use_backend
from components.kernels.registry import TABLE, Backend, _resolve, dispatch

OPTIONAL = ("numba", "triton", "mamba_ssm", "xlstm", "mlstm_kernels")


def inputs():
    return [torch.ones(1, 1, 3, 2)] * 3 + [torch.ones(1, 1, 3)] * 2


@pytest.mark.parametrize("op", operators())
def test_records(op):
    records = {record.name: record for record in backends(op)}
    assert records["naive"].available
    assert "cpu" in records["naive"].devices
    for record in records.values():
        assert record.available == (record.reason == "")


@pytest.mark.parametrize("op", ["selective_scan", "cross_selective_scan"])
def test_unavailable_names_the_remedy(op):
    record = next(record for record in backends(op) if record.name == "mamba_ssm")
    if record.available:
        pytest.skip("mamba_ssm is installed")
    assert "mamba" in record.reason
    assert "pip install" in record.reason or "CUDA" in record.reason
    with pytest.raises(BackendUnavailableError, match="mamba_ssm"), use_backend(op, "mamba_ssm"):
        pass


@pytest.fixture
def metal(monkeypatch):
    """A back end of mlstm for MPS as the documentation adds one, the preferred of all."""
    module = types.ModuleType("components.kernels.ops.mlstm.metal")
    module.mlstm = lambda q, k, v, i, f: q
    monkeypatch.setitem(sys.modules, module.__name__, module)
    backend = Backend("metal", ("mps",), float64=False)
    monkeypatch.setitem(TABLE, "mlstm", (backend, *TABLE["mlstm"]))
    _resolve.cache_clear()
    yield backend
    _resolve.cache_clear()


def test_back_end_for_mps_where_there_is_none(metal, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert metal.reason().startswith("PyTorch sees no MPS device: ")
    assert default_backend("mlstm", "mps") == "chunkwise"
    with pytest.raises(BackendUnavailableError, match="no MPS device"), use_backend("mlstm", "metal"):
        pass


def test_back_end_for_mps_is_taken_there(metal, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert dispatch("mlstm", "auto", "mps").__module__ == __name__
    assert default_backend("mlstm", "cpu") == "chunkwise"
    with pytest.raises(BackendUnavailableError, match=r"metal.*runs on mps, but the input is on cpu"):
        mlstm(*inputs(), backend="metal")


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        (("cuda",), ["no CUDA device"]),
        (("xpu",), ["no XPU device"]),
        (("cuda", "xpu"), ["no CUDA device", "no XPU device"]),
        (("hpu",), ["no device type 'hpu'"]),
    ],
)
def test_reason_is_that_of_the_device(devices, words, monkeypatch):
    for module in (torch.cuda, torch.xpu):
        monkeypatch.setattr(module, "is_available", lambda: False)
    reason = Backend("quick", devices).reason()
    assert all(word in reason for word in words)
    assert len(reason.split("; ")) == len(words)
    assert Backend("quick", (*devices, "cpu")).reason() == ""
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    assert (Backend("quick", devices).reason() == "") == ("xpu" in devices)


def test_wrong_names():
    with pytest.raises(ValueError, match=r"unknown operator 'mlstn', did you mean 'mlstm'\? Valid: selective_scan"):
        backends("mlstn")
    with pytest.raises(ValueError, match=r"unknown back end of mlstm 'chunk_wise', did you mean 'chunkwise'\?"):
        mlstm(*inputs(), backend="chunk_wise")
    with pytest.raises(ValueError, match="naive, auto"), use_backend("mlstm", "quick"):
        pass


def test_automatic_choice_is_the_preferred_available_one():
    assert dispatch("mlstm", "auto", "cpu").__module__ == "components.kernels.ops.mlstm.chunkwise"
    with pytest.raises(BackendUnavailableError, match="no back end of mlstm runs on hpu: move the input to the CPU"):
        dispatch("mlstm", "auto", "hpu")


def test_use_backend_forces_nests_and_ends():
    def chosen(backend="auto"):
        return dispatch("mlstm", backend, "cpu").__module__.rsplit(".", 1)[-1]

    with use_backend("mlstm", "naive"):
        assert chosen() == "naive"
        assert chosen("chunkwise") == "chunkwise"
        with use_backend("mlstm", "chunkwise"):
            assert chosen() == "chunkwise"
        assert chosen() == "naive"
        with use_backend("mlstm", "auto"):
            assert chosen() == "chunkwise"
    assert chosen() == "chunkwise"
    with pytest.raises(RuntimeError, match="inside"), use_backend("mlstm", "naive"):
        raise RuntimeError("inside")
    assert chosen() == "chunkwise"


def test_other_operators_are_left_alone():
    with use_backend("selective_scan", "naive"):
        assert dispatch("mlstm", "auto", "cpu").__module__.endswith("chunkwise")


def test_wrong_device():
    if importlib.util.find_spec("mlstm_kernels") is None:
        pytest.skip("mlstm_kernels is not installed")
    with pytest.raises(BackendUnavailableError, match=r"mlstm_kernels.*runs on cpu, cuda, but the input is on meta"):
        mlstm(*(x.to("meta") for x in inputs()), backend="mlstm_kernels")


def test_missing_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    record = next(record for record in backends("mlstm") if record.name == "mlstm_kernels")
    assert not record.available
    assert "pip install 'scanseg[xlstm]'" in record.reason
    with pytest.raises(BackendUnavailableError, match=r"scanseg\[xlstm\]"), use_backend("mlstm", "mlstm_kernels"):
        pass


def test_choice_is_logged_once(caplog):
    _resolve.cache_clear()
    with caplog.at_level(logging.INFO, logger="components.kernels.registry"):
        for _ in range(3):
            dispatch("mlstm", "auto", "cpu")
    assert [record.getMessage() for record in caplog.records] == ["mlstm on cpu: back end chunkwise"]


def test_optional_packages_are_not_imported():
    code = (
        "import sys, torch, components, components.kernels, components.networks\n"
        "from components.kernels import backends, mlstm\n"
        "x = torch.ones(1, 1, 3, 2)\n"
        "[backends(op) for op in ('selective_scan', 'cross_selective_scan', 'mlstm')]\n"
        "mlstm(x, x, x, x[..., 0], x[..., 0], backend='naive')\n"
        f"print([name for name in {OPTIONAL!r} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]", run.stdout
