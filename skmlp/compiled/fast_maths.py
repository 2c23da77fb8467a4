r"""Elementary functions without branches or calls, so that a loop over an array computes many elements at once.

Most rest on :math:`e^x = 2^k e^r` with a whole number k and :math:`|r| \le \log(2) / 2`, where a short series gives
:math:`e^r - 1` with all digits. Cosine and sine rest on :math:`x = 2 \pi k + 2 h` with :math:`|h| \le \pi / 2`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from skmlp.compiled.intrinsics import stretch

__all__ = ["cos_and_sin", "exp", "expm1", "flat", "log_1_plus_exp", "logistic", "tanh"]

# In the order they are written: `(x * c + magic) - magic` rounds only then.
_IN_ORDER: Any = {"fastmath": {"contract"}, "error_model": "numpy", "forceinline": True}


def _build_power_of_two(typingctx: Any, shifted: Any) -> Any:
    """Return ``2^(k - 1)`` for ``shifted = magic + k``: the sum's lowest bits are moved to the exponent's place."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        single = signature.args[0] == types.float32
        whole, mantissa, bias = (ir.IntType(32), 23, 127) if single else (ir.IntType(64), 52, 1023)
        bits = builder.add(builder.bitcast(arguments[0], whole), ir.Constant(whole, bias - 1))
        bits = builder.shl(bits, ir.Constant(whole, mantissa))
        return builder.bitcast(bits, ir.FloatType() if single else ir.DoubleType())

    return shifted(shifted), build


_power_of_two: Any = intrinsic(_build_power_of_two)


def _constants(*values: float) -> tuple[Any, ...]:
    return tuple(np.float32(value) for value in values)


# 1.5 times the number from which on all numbers are whole: adding it rounds to a whole number.
_MAGIC_32, _LOG_2_E_32, _HIGH_32, _LOW_32 = _constants(1.5 * 2.0**23, 1.4426950408889634, 0.693359375, -2.12194440e-4)
# Arguments beyond are taken for these: e^x is next to nothing, or infinite.
_LOWEST_32, _HIGHEST_32 = _constants(-87.0, 89.0)
_MAGIC_64, _LOG_2_E_64 = 1.5 * 2.0**52, 1.4426950408889634
_HIGH_64, _LOW_64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # log(2): k times the first part is exact
_LOWEST_64, _HIGHEST_64 = -708.0, 710.0
_2, _3, _4, _5, _6, _7, _8 = _constants(1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040, 1 / 40320)
_TWO, _T3, _T5, _T7, _T9, _T11, _T13 = _constants(2.0, 1 / 3, 1 / 5, 1 / 7, 1 / 9, 1 / 11, 1 / 13)


def _parts(x: Any) -> Any:
    """Return ``e^r - 1``, ``2^k / 2`` and ``1 / 2``, in the format of `x`: compiled functions only."""


@overload(_parts, jit_options=_IN_ORDER)
def _choose_parts(x: Any) -> Callable[[Any], Any]:
    def single(x: Any) -> Any:
        x = _LOWEST_32 if x < _LOWEST_32 else x
        x = _HIGHEST_32 if x > _HIGHEST_32 else x
        shifted = x * _LOG_2_E_32 + _MAGIC_32
        k = shifted - _MAGIC_32
        r = (x - k * _HIGH_32) - k * _LOW_32
        series = ((((((_8 * r + _7) * r + _6) * r + _5) * r + _4) * r + _3) * r + _2) * r
        return series * r + r, _power_of_two(shifted), _2

    def double(x: Any) -> Any:
        x = _LOWEST_64 if x < _LOWEST_64 else x
        x = _HIGHEST_64 if x > _HIGHEST_64 else x
        shifted = x * _LOG_2_E_64 + _MAGIC_64
        k = shifted - _MAGIC_64
        r = (x - k * _HIGH_64) - k * _LOW_64
        series = (((1 / 87178291200 * r + 1 / 6227020800) * r + 1 / 479001600) * r + 1 / 39916800) * r + 1 / 3628800
        series = ((((series * r + 1 / 362880) * r + 1 / 40320) * r + 1 / 5040) * r + 1 / 720) * r + 1 / 120
        series = (((series * r + 1 / 24) * r + 1 / 6) * r + 1 / 2) * r
        return series * r + r, _power_of_two(shifted), 0.5

    return single if x == types.float32 else double


def exp(x: Any) -> Any:
    """Return ``e^x``, and where that is below the smallest number about the smallest number."""
    series, half_power, _ = _parts(x)
    half = series * half_power + half_power
    return half + half


def expm1(x: Any) -> Any:
    """Return ``e^x - 1``."""
    series, half_power, one_half = _parts(x)
    half = series * half_power + (half_power - one_half)
    return half + half


def tanh(x: Any) -> Any:
    """Return ``tanh(x) = h / (h + 1)`` with ``h = (e^2x - 1) / 2``."""
    series, half_power, one_half = _parts(x + x)
    half = series * half_power + (half_power - one_half)
    return half / (half + (one_half + one_half))


def logistic(x: Any) -> Any:
    """Return ``1 / (1 + e^-x)``."""
    _, _, one_half = _parts(x)
    one = one_half + one_half
    return one / (one + exp(-x))


def log_1_plus_exp(x: Any) -> Any:
    r"""Return :math:`\log(1 + e^x) = \max(x, 0) + \log(1 + q)` with :math:`q = e^{-|x|}` in (0, 1]."""
    _, _, one_half = _parts(x)
    zero = one_half - one_half
    return (zero if x < zero else x) + _log_1_plus(exp(-abs(x)))


def _log_1_plus(q: Any) -> Any:
    r"""Return the logarithm of 1 + q for q in [0, 1], by :math:`2 (s + s^3 / 3 + s^5 / 5 + \dots)`, s = q / (2 + q)."""


@overload(_log_1_plus, jit_options=_IN_ORDER)
def _choose_log_1_plus(q: Any) -> Callable[[Any], Any]:
    def single(q: Any) -> Any:
        s = q / (_TWO + q)
        t = s * s
        series = (((((_T13 * t + _T11) * t + _T9) * t + _T7) * t + _T5) * t + _T3) * t
        return _TWO * (series * s + s)

    def double(q: Any) -> Any:
        s = q / (2.0 + q)
        t = s * s
        series = ((((1 / 33 * t + 1 / 31) * t + 1 / 29) * t + 1 / 27) * t + 1 / 25) * t + 1 / 23
        series = ((((series * t + 1 / 21) * t + 1 / 19) * t + 1 / 17) * t + 1 / 15) * t + 1 / 13
        series = (((((series * t + 1 / 11) * t + 1 / 9) * t + 1 / 7) * t + 1 / 5) * t + 1 / 3) * t
        return 2.0 * (series * s + s)

    return single if q == types.float32 else double


# One turn in three parts, the first two with few bits: whole numbers times them are exact.
_TURN_32 = _constants(6.28125, 1.9350051879882812e-3, 3.019915981956753e-7)
_TURN_64 = 6.283185303211212, 3.9683743166540886e-9, 2.068073192717642e-18
# The remainder may be a little more than half a turn, since the number of turns is rounded.
_TURNS_32, _HALF_TURN_32 = _constants(0.15915494309189535, 3.2)
_TURNS_64, _HALF_TURN_64 = 0.15915494309189535, 3.2
_S3, _S5, _S7, _S9, _S11 = _constants(-1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800)
_S13, _ONE = _constants(1 / 6227020800, 1.0)
_C2, _C4, _C6, _C8, _C10 = _constants(-1 / 2, 1 / 24, -1 / 720, 1 / 40320, -1 / 3628800)
_C12, _C14 = _constants(1 / 479001600, -1 / 87178291200)


def cos_and_sin(x: Any) -> tuple[Any, Any]:
    r"""Return :math:`\cos 2h = 1 - 2 \sin^2 h` and :math:`\sin 2h = 2 \sin h \cos h`.

    They are accurate to a few units of the last digit of 1 for angles up to some thousand turns, and between -1 and 1
    for all.
    """
    sine, cosine, one = _half_angle(x)
    doubled = sine + sine
    return one - doubled * sine, doubled * cosine


def _half_angle(x: Any) -> Any:
    """Return the sine and cosine of half the angle up to whole turns, and 1."""


@overload(_half_angle, jit_options=_IN_ORDER)
def _choose_half_angle(x: Any) -> Callable[[Any], Any]:
    def single(x: Any) -> Any:
        k = (x * _TURNS_32 + _MAGIC_32) - _MAGIC_32
        r = ((x - k * _TURN_32[0]) - k * _TURN_32[1]) - k * _TURN_32[2]
        r = -_HALF_TURN_32 if r < -_HALF_TURN_32 else r
        r = _HALF_TURN_32 if r > _HALF_TURN_32 else r
        h = r * _2
        t = h * h
        sine = (((((_S13 * t + _S11) * t + _S9) * t + _S7) * t + _S5) * t + _S3) * t
        cosine = ((((((_C14 * t + _C12) * t + _C10) * t + _C8) * t + _C6) * t + _C4) * t + _C2) * t
        return sine * h + h, cosine + _ONE, _ONE

    def double(x: Any) -> Any:
        k = (x * _TURNS_64 + _MAGIC_64) - _MAGIC_64
        r = ((x - k * _TURN_64[0]) - k * _TURN_64[1]) - k * _TURN_64[2]
        r = -_HALF_TURN_64 if r < -_HALF_TURN_64 else r
        r = _HALF_TURN_64 if r > _HALF_TURN_64 else r
        h = r * 0.5
        t = h * h
        sine = ((1 / 51090942171709440000 * t - 1 / 121645100408832000) * t + 1 / 355687428096000) * t
        sine = (((sine - 1 / 1307674368000) * t + 1 / 6227020800) * t - 1 / 39916800) * t
        sine = ((((sine + 1 / 362880) * t - 1 / 5040) * t + 1 / 120) * t - 1 / 6) * t
        cosine = ((1 / 2432902008176640000 * t - 1 / 6402373705728000) * t + 1 / 20922789888000) * t
        cosine = (((cosine - 1 / 87178291200) * t + 1 / 479001600) * t - 1 / 3628800) * t
        cosine = ((((cosine + 1 / 40320) * t - 1 / 720) * t + 1 / 24) * t - 1 / 2) * t
        return sine * h + h, cosine + 1.0, 1.0

    return single if x == types.float32 else double


def flat(array: Any) -> Any:
    """Return a view with one axis."""
    return stretch(array, 0, array.size)


# Functions that numba chooses by the type of their argument.
OVERLOADED = frozenset({_parts, _log_1_plus, _half_angle})
