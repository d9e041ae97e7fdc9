"""exp2, softplus2 and sigmoid2 inside numba kernels against NumPy in float64, over the whole range."""

import numba
import numpy as np
import pytest

from components.kernels.ops.selective_scan import elementary

# Largest error in units in the last place: float32 has its own series, float64 takes the C library's.
ULP = {"float32": 4, "float64": 4}


@numba.njit(error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})  # as the scan's kernels
def evaluate(x, results):
    exp2, softplus2, sigmoid2 = results
    for i in range(x.size):
        exp2[i] = elementary.exp2(x[i])
        softplus2[i] = elementary.softplus2(x[i])
        sigmoid2[i] = elementary.sigmoid2(x[i])


def computed(x):
    results = np.empty((3, x.size), x.dtype)
    evaluate(x, results)
    return dict(zip(("exp2", "softplus2", "sigmoid2"), results, strict=True))


def exact(x):
    """In extended precision where the machine has it, which matters for float64."""
    wide = x.astype(np.longdouble)
    small = np.exp2(-np.abs(wide))
    return {
        "exp2": np.exp2(wide),
        "softplus2": np.maximum(wide, 0) + np.log1p(small) / np.log(np.longdouble(2)),
        "sigmoid2": np.where(wide >= 0, 1, small) / (1 + small),
    }


def numbers(dtype):
    """The range in which exp2 is a normal number, densely, and both signs of every magnitude below."""
    low, high = (-126, 127.49) if dtype == "float32" else (-1022, 1023)
    magnitudes = np.logspace(-30, np.log10(-low), 100_001)
    grid = np.concatenate((np.linspace(low, high, 1_000_001), -magnitudes, magnitudes, [0.0, low, high]))
    grid = grid.astype(dtype)
    return grid[(grid >= np.dtype(dtype).type(low)) & (grid <= np.dtype(dtype).type(high))]


@pytest.mark.parametrize("name", ["exp2", "softplus2", "sigmoid2"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_error_in_units_in_the_last_place(dtype, name):
    x = numbers(dtype)
    expected = exact(x)[name]
    unit = np.spacing(expected.astype(dtype)).astype(np.longdouble)
    error = np.abs(computed(x)[name].astype(np.longdouble) - expected) / unit
    assert error.max() <= ULP[dtype], f"{error.max()} units at {x[error.argmax()]}"


def test_exp2_of_float32_is_within_its_stated_error():
    x = numbers("float32")
    expected = exact(x)["exp2"]
    error = np.abs(computed(x)["exp2"] - expected) / np.spacing(expected.astype(np.float32))
    assert error.max() <= 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outside_of_the_range(dtype):
    x = np.array([-np.inf, -1e30, -1000, 1000, 1e30, np.inf, np.nan], dtype)
    actual = computed(x)
    tiny = np.finfo(np.float32).tiny * 1.1 / np.log(2)  # what softplus2 makes of the smallest normal number
    for name in ("exp2", "softplus2", "sigmoid2"):
        assert (actual[name][:3] >= 0).all(), name
        assert (actual[name][:3] <= tiny).all(), name
        assert np.isnan(actual[name][6]), name
    assert (actual["exp2"][3:6] > 2e38).all()
    assert (actual["softplus2"][3:5] == x[3:5]).all()
    assert (actual["sigmoid2"][3:6] == 1).all()


def test_float32_saturates_where_the_next_power_of_two_would_overflow():
    x = np.linspace(127, 128.5, 10_001).astype(np.float32)
    actual = computed(x)["exp2"]
    assert np.isfinite(actual).all()
    assert (np.diff(actual) >= 0).all()


def test_interpreted_and_compiled_agree():
    for x in (-3.5, 0.0, 2.25):
        compiled = computed(np.array([x]))
        for name, values in compiled.items():
            assert values[0] == pytest.approx(getattr(elementary, name)(x), rel=1e-15)
