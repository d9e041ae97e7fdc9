"""exp and softplus for numba kernels: float32 in a form that LLVM vectorises, float64 by the C library.

numba's own ``math.exp`` is a call for each number, unless Intel's SVML is installed; a scan spends its time in exp.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import types
from numba.extending import overload

_LOG2_E = np.float32(1.44269504)
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
_SMALLEST = np.float32(-87.3)  # exp(x) leaves the normal numbers of float32 below
_LARGEST = np.float32(88.37)  # 2 to the power of its n is the last power of two in float32
_ROUNDING = np.float32(1.5 * 2**23)  # a number plus this has its nearest integer in the lowest bits
_ONE = np.float32(1)
# Polynomials of least relative error: 1 + r + r² E(r) for exp(r), |r| ≤ log(2) / 2, within 1e-7, and e L(e) for
# log(1 + e), 0 ≤ e ≤ 1, within 3e-8.
_E2, _E3, _E4, _E5 = (np.float32(c) for c in (0.49999231, 0.16667114, 0.041890156, 0.0083125206))
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = (
    np.float32(c)
    for c in (
        0.99999994, -0.49999493, 0.33319098, -0.24842982, 0.19106007, -0.13663244, 0.078225940, -0.029505232,
        0.0052326927,
    )
)  # fmt: skip


def exp(x: float) -> float:
    """E to the power of x; float32 within 3 units in the last place, saturating outside −87.3 … 88.37."""
    return math.exp(x)


def softplus(x: float) -> float:
    """log(1 + exp(x)), finite for every finite x."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def sigmoid(x: float) -> float:
    """1 / (1 + exp(−x)), the derivative of softplus."""
    e = math.exp(-abs(x))
    return (1.0 if x >= 0 else e) / (1.0 + e)


def _exp32(x: float) -> float:
    x = min(max(x, _SMALLEST), _LARGEST)
    shifted = x * _LOG2_E + _ROUNDING
    n = shifted - _ROUNDING
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    p = _ONE + r * (_ONE + r * (_E2 + r * (_E3 + r * (_E4 + r * _E5))))
    # n is added to the exponent of p; whatever else is in the bits of the shifted number falls out
    exponent = np.float32(shifted).view(np.int32) << np.int32(23)
    return np.int32(np.float32(p).view(np.int32) + exponent).view(np.float32)


def _softplus32(x: float) -> float:
    e = exp(-abs(x))
    higher = _L4 + e * (_L5 + e * (_L6 + e * (_L7 + e * _L8)))
    return max(x, np.float32(0)) + e * (_L0 + e * (_L1 + e * (_L2 + e * (_L3 + e * higher))))


def _sigmoid32(x: float) -> float:
    e = exp(-abs(x))
    return (_ONE if x >= np.float32(0) else e) / (_ONE + e)


def _register(function: Callable[[float], float], single: Callable[[float], float]) -> None:
    @overload(function, jit_options={"fastmath": {"contract", "nsz", "arcp"}})
    def choose(x: float) -> float:
        return single if x == types.float32 else function


_register(exp, _exp32)
_register(softplus, _softplus32)
_register(sigmoid, _sigmoid32)
