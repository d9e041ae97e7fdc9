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
_ONE, _TWO, _HALF = np.float32(1), np.float32(2), np.float32(0.5)
_E2, _E3, _E4, _E5, _E6 = (np.float32(1 / math.factorial(n)) for n in (2, 3, 4, 5, 6))
_L1, _L2, _L3, _L4, _L5, _L6, _L7 = (np.float32(1 / n) for n in (3, 5, 7, 9, 11, 13, 15))


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
    n = np.floor(x * _LOG2_E + _HALF)
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    p = _ONE + r * (_ONE + r * (_E2 + r * (_E3 + r * (_E4 + r * (_E5 + r * _E6)))))
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


def _softplus32(x: float) -> float:
    e = exp(-abs(x))
    s = e / (_TWO + e)  # log(1 + e) = 2 artanh(s), s ≤ 1/3
    q = s * s
    series = _ONE + q * (_L1 + q * (_L2 + q * (_L3 + q * (_L4 + q * (_L5 + q * (_L6 + q * _L7))))))
    return max(x, np.float32(0)) + _TWO * s * series


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
