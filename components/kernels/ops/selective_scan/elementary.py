"""Powers and logarithms of two for numba kernels: float32 in a form that LLVM vectorises, float64 by the C library.

numba's own ``math.exp`` is a call for each number, unless Intel's SVML is installed; a scan spends its time in these
functions. To base two they need no constants to scale with: a scan keeps log₂(e) in its weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numba
import numpy as np
from numba import types
from numba.extending import overload

LOG2_E = 1 / math.log(2)
_FAST = {"contract", "nsz"}
_SMALLEST = np.float32(-126)  # 2 to the power of x leaves the normal numbers of float32 below
_LARGEST = np.float32(127.49)  # its nearest integer is the last power of two in float32
_ROUNDING = np.float32(1.5 * 2**23)  # a number plus this has its nearest integer in the lowest bits
_ZERO, _ONE = np.float32(0), np.float32(1)
# Polynomials of least relative error: 1 + r E(r) for 2 to the power of r, |r| ≤ 1/2, within 1e-7, and e L(e) for
# log₂(1 + e), 0 ≤ e ≤ 1, within 3e-8.
_E0, _E1, _E2, _E3, _E4 = (
    np.float32(c) for c in (0.6931470037, 0.240222469, 0.05550710857, 0.009671293199, 0.001326960861)
)
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = (
    np.float32(c)
    for c in (
        1.442694997, -0.7213402035, 0.4806928948, -0.3584080799, 0.2756401047, -0.1971164987, 0.1128535323,
        -0.04256554122, 0.007548824204,
    )
)  # fmt: skip


def exp2(x: float) -> float:
    """2 to the power of x; float32 within 3 units in the last place, saturating outside −126 … 127.49."""
    return np.exp2(x)


def softplus2(x: float) -> float:
    """log₂(1 + 2ˣ), finite for every finite x: softplus(x · log 2) / log 2."""
    return max(x, 0.0) + math.log1p(np.exp2(-abs(x))) * LOG2_E


def sigmoid2(x: float) -> float:
    """1 / (1 + 2⁻ˣ), the derivative of softplus2."""
    e = np.exp2(-abs(x))
    return (1.0 if x >= 0 else e) / (1.0 + e)


@numba.njit(fastmath=_FAST, forceinline=True)
def _power(x):  # noqa: ANN001, ANN202
    """2 to the power of x from _SMALLEST to _LARGEST."""
    shifted = x + _ROUNDING
    r = x - (shifted - _ROUNDING)
    p = _ONE + r * (_E0 + r * (_E1 + r * (_E2 + r * (_E3 + r * _E4))))
    # the integer is added to the exponent of p; whatever else is in the bits of the shifted number falls out
    exponent = np.float32(shifted).view(np.int32) << np.int32(23)
    return np.int32(np.float32(p).view(np.int32) + exponent).view(np.float32)


def _exp2_32(x: float) -> float:
    return _power(min(max(x, _SMALLEST), _LARGEST))


def _softplus2_32(x: float) -> float:
    e = _power(max(-abs(x), _SMALLEST))
    higher = _L4 + e * (_L5 + e * (_L6 + e * (_L7 + e * _L8)))
    return max(x, _ZERO) + e * (_L0 + e * (_L1 + e * (_L2 + e * (_L3 + e * higher))))


def _sigmoid2_32(x: float) -> float:
    e = _power(max(-abs(x), _SMALLEST))
    return (_ONE if x >= _ZERO else e) / (_ONE + e)


def _register(function: Callable[[float], float], single: Callable[[float], float]) -> None:
    @overload(function, jit_options={"fastmath": _FAST, "forceinline": True})
    def choose(x: float) -> float:
        return single if x == types.float32 else function


_register(exp2, _exp2_32)
_register(softplus2, _softplus2_32)
_register(sigmoid2, _sigmoid2_32)
