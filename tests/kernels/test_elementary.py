"""exp, softplus and sigmoid inside numba kernels against NumPy in float64, over the whole range."""

import numba
import numpy as np
import pytest

from components.kernels.scan import elementary

# Largest error in units in the last place: float32 has its own series, float64 takes the C library's.
ULP = {"float32": 4, "float64": 4}


@numba.njit(error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})  # as the scan's kernels
def evaluate(x, results):
    exp, softplus, sigmoid = results
    for i in range(x.size):
        exp[i] = elementary.exp(x[i])
        softplus[i] = elementary.softplus(x[i])
        sigmoid[i] = elementary.sigmoid(x[i])


def computed(x):
    results = np.empty((3, x.size), x.dtype)
    evaluate(x, results)
    return dict(zip(("exp", "softplus", "sigmoid"), results, strict=True))


def exact(x):
    """In extended precision where the machine has it, which matters for float64."""
    wide = x.astype(np.longdouble)
    small = np.exp(-np.abs(wide))
    return {
        "exp": np.exp(wide),
        "softplus": np.maximum(wide, 0) + np.log1p(small),
        "sigmoid": np.where(wide >= 0, 1, small) / (1 + small),
    }


def numbers(dtype):
    """The range in which exp is a normal number, densely, and both signs of every magnitude below."""
    low, high = (-87.3, 88.37) if dtype == "float32" else (-708, 709)
    magnitudes = np.logspace(-30, np.log10(-low), 100_001)
    grid = np.concatenate((np.linspace(low, high, 1_000_001), -magnitudes, magnitudes, [0.0, low, high]))
    grid = grid.astype(dtype)
    return grid[(grid >= np.dtype(dtype).type(low)) & (grid <= np.dtype(dtype).type(high))]


@pytest.mark.parametrize("name", ["exp", "softplus", "sigmoid"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_error_in_units_in_the_last_place(dtype, name):
    x = numbers(dtype)
    expected = exact(x)[name]
    unit = np.spacing(expected.astype(dtype)).astype(np.longdouble)
    error = np.abs(computed(x)[name].astype(np.longdouble) - expected) / unit
    assert error.max() <= ULP[dtype], f"{error.max()} units at {x[error.argmax()]}"


def test_exp_of_float32_is_within_its_stated_error():
    x = numbers("float32")
    expected = exact(x)["exp"]
    error = np.abs(computed(x)["exp"] - expected) / np.spacing(expected.astype(np.float32))
    assert error.max() <= 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outside_of_the_range(dtype):
    x = np.array([-np.inf, -1e30, -1000, 1000, 1e30, np.inf, np.nan], dtype)
    actual = computed(x)
    tiny = np.finfo(np.float32).tiny * 1.1
    for name in ("exp", "softplus", "sigmoid"):
        assert (actual[name][:3] >= 0).all(), name
        assert (actual[name][:3] <= tiny).all(), name
        assert np.isnan(actual[name][6]), name
    assert (actual["exp"][3:6] > 2e38).all()
    assert (actual["softplus"][3:5] == x[3:5]).all()
    assert (actual["sigmoid"][3:6] == 1).all()


def test_float32_saturates_where_the_next_power_of_two_would_overflow():
    x = np.linspace(88, 89, 10_001).astype(np.float32)
    actual = computed(x)["exp"]
    assert np.isfinite(actual).all()
    assert (np.diff(actual) >= 0).all()


def test_interpreted_and_compiled_agree():
    for x in (-3.5, 0.0, 2.25):
        compiled = computed(np.array([x]))
        for name, values in compiled.items():
            assert values[0] == pytest.approx(getattr(elementary, name)(x), rel=1e-15)
