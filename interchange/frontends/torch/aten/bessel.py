"""Bessel functions of order 0 and 1, and Airy's: fitted near 0, scaled and turned by asymptotic forms far from it.

The forms are those of the Digital Library of Mathematical Functions (dlmf.nist.gov), chapters 9 and 10.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from interchange import ops
from interchange.dtypes import Array
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.aten.approximate import by_torch, choose, fitted, lower_float, number

PI = math.pi
INF, NAN = math.inf, math.nan
_NEAR = 8.0  # up to here by power series, beyond by asymptotic forms
_special = torch.special
_i0e, _i1e, _k0e, _k1e = (
    _special.i0e,
    _special.i1e,
    _special.scaled_modified_bessel_k0,
    _special.scaled_modified_bessel_k1,
)
_i0, _i1, _k0, _k1 = torch.i0, _special.i1, _special.modified_bessel_k0, _special.modified_bessel_k1
_j0, _j1, _y0, _y1 = _special.bessel_j0, _special.bessel_j1, _special.bessel_y0, _special.bessel_y1


@cache
def _values(function: Callable[..., Any]) -> Callable[[Array], Array]:
    """PyTorch's function of an array, one object for each so that its polynomials are found again."""
    return partial(by_torch, function)


@cache
def _of_root(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """An even function as one of the square."""
    return lambda z: function(np.sqrt(z))


@cache
def _of_inverse(function: Callable[..., Any]) -> Callable[[Array], Array]:
    """sqrt(x) f(x) as a function of 1 / x."""
    return lambda u: by_torch(function, 1 / u) / np.sqrt(u)


# -- modified ---------------------------------------------------------------------------------------------------------
def _far_i(scaled: Callable[..., Any], size: Tensor) -> Tensor:
    """exp(-x) I(x) of x >= 8 (DLMF 10.40.1)."""
    far = ops.Max(size, number(_NEAR, size))
    return fitted(_of_inverse(scaled), 0.0, 1 / _NEAR, 1 / far) / ops.Sqrt(far)


def _i1e_over_x(x: Array) -> Array:
    return by_torch(_i1e, x) / x


@lower_float("aten.special_i0e")
def i0e(x: Tensor) -> Tensor:
    """exp(-|x|) I0(x)."""
    size = ops.Abs(x)
    return choose(size < _NEAR, fitted(_values(_i0e), 0.0, _NEAR, size), _far_i(_i0e, size))


@lower_float("aten.special_i1e")
def i1e(x: Tensor) -> Tensor:
    """exp(-|x|) I1(x)."""
    size = ops.Abs(x)
    return choose(size < _NEAR, x * fitted(_i1e_over_x, 0.0, _NEAR, size), ops.Sign(x) * _far_i(_i1e, size))


@lower_float("aten.i0", "aten.special_i0", "aten.special_modified_bessel_i0")
def i0(x: Tensor) -> Tensor:
    """I0(x)."""
    return ops.Exp(ops.Abs(x)) * i0e(x)


@lower_float("aten.special_i1", "aten.special_modified_bessel_i1")
def i1(x: Tensor) -> Tensor:
    """I1(x)."""
    return ops.Exp(ops.Abs(x)) * i1e(x)


def _k0_rest(z: Array) -> Array:
    x = np.sqrt(z)
    return by_torch(_k0, x) + np.log(x / 2) * by_torch(_i0, x)


def _k1_rest(z: Array) -> Array:
    x = np.sqrt(z)
    return x * (by_torch(_k1, x) - np.log(x / 2) * by_torch(_i1, x))


def _k(order: int, x: Tensor, scaled: bool) -> Tensor:
    """K(x), by its logarithm near 0 (DLMF 10.31.1 and .2); infinite at 0, NaN below."""
    near, far = ops.Min(x, number(2, x)), ops.Max(x, number(2, x))
    logarithm, z = ops.Log(near * 0.5), near * near
    if order == 0:
        inside = fitted(_k0_rest, 0.0, 4.0, z) - logarithm * i0(near)
    else:
        inside = fitted(_k1_rest, 0.0, 4.0, z) / near + logarithm * i1(near)
    outside = fitted(_of_inverse((_k0e, _k1e)[order]), 0.0, 0.5, 1 / far) / ops.Sqrt(far)
    inside, outside = (inside * ops.Exp(near), outside) if scaled else (inside, outside * ops.Exp(-far))
    beyond = choose(ops.Equal(x, number(0, x)), number(INF, x), NAN)
    return choose(x > 0, choose(x <= 2, inside, outside), beyond)


@lower_float("aten.special_modified_bessel_k0")
def k0(x: Tensor) -> Tensor:
    """K0(x)."""
    return _k(0, x, False)


@lower_float("aten.special_modified_bessel_k1")
def k1(x: Tensor) -> Tensor:
    """K1(x)."""
    return _k(1, x, False)


@lower_float("aten.special_scaled_modified_bessel_k0")
def k0e(x: Tensor) -> Tensor:
    """exp(x) K0(x)."""
    return _k(0, x, True)


@lower_float("aten.special_scaled_modified_bessel_k1")
def k1e(x: Tensor) -> Tensor:
    """exp(x) K1(x)."""
    return _k(1, x, True)


# -- of the first and second kind -------------------------------------------------------------------------------------
@cache
def _amplitude(order: int, part: int) -> Callable[[Array], Array]:
    """P or Q of 1 / x, with J = sqrt(2 / (pi x)) (P cos t - Q sin t) and Y the same with (P sin t + Q cos t), where
    t = x - pi / 4 - order * pi / 2 (DLMF 10.17.3, .4).
    """

    def values(u: Array) -> Array:
        x = 1 / u
        j, y = by_torch((_j0, _j1)[order], x), by_torch((_y0, _y1)[order], x)
        cos, sin = _turned(np.cos(x), np.sin(x), order)
        return np.sqrt(PI * x / 2) * ((j * cos + y * sin) if part == 0 else (y * cos - j * sin))

    return values


def _turned(cos: Any, sin: Any, order: int) -> tuple[Any, Any]:
    """cos t and sin t of t = x - pi / 4 - order * pi / 2."""
    c, s = (cos + sin) * math.sqrt(0.5), (sin - cos) * math.sqrt(0.5)
    return (c, s) if order == 0 else (s, -c)


def _far(order: int, second: bool, size: Tensor) -> Tensor:
    """J or Y of x >= 8."""
    x = ops.Max(size, number(_NEAR, size))
    p, q = (fitted(_amplitude(order, part), 0.0, 1 / _NEAR, 1 / x) for part in (0, 1))
    cos, sin = _turned(ops.Cos(x), ops.Sin(x), order)
    wave = p * sin + q * cos if second else p * cos - q * sin
    return wave * ops.Sqrt((2 / PI) / x)


def _j1_over_x(x: Array) -> Array:
    return by_torch(_j1, x) / x


def _y0_rest(x: Array) -> Array:
    return by_torch(_y0, x) - 2 / PI * np.log(x) * by_torch(_j0, x)


def _y1_rest_over_x(x: Array) -> Array:
    return (by_torch(_y1, x) - 2 / PI * (np.log(x) * by_torch(_j1, x) - 1 / x)) / x


def _near(function: Callable[[Array], Array], size: Tensor) -> Tensor:
    """An even function of |x| <= 8."""
    x = ops.Min(size, number(_NEAR, size))
    return fitted(_of_root(function), 0.0, _NEAR * _NEAR, x * x)


@lower_float("aten.special_bessel_j0")
def j0(x: Tensor) -> Tensor:
    """J0(x)."""
    size = ops.Abs(x)
    return choose(size < _NEAR, _near(_values(_j0), size), _far(0, False, size))


@lower_float("aten.special_bessel_j1")
def j1(x: Tensor) -> Tensor:
    """J1(x)."""
    size = ops.Abs(x)
    return choose(size < _NEAR, x * _near(_j1_over_x, size), ops.Sign(x) * _far(1, False, size))


def _second(x: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
    """Y: -inf at 0, NaN below."""
    beyond = choose(ops.Equal(x, number(0, x)), number(-INF, x), NAN)
    return choose(x > 0, choose(x < _NEAR, inside, outside), beyond)


@lower_float("aten.special_bessel_y0")
def y0(x: Tensor) -> Tensor:
    """Y0(x), by its logarithm near 0 (DLMF 10.8.2)."""
    inside = (2 / PI) * ops.Log(x) * _near(_values(_j0), x) + _near(_y0_rest, x)
    return _second(x, inside, _far(0, True, x))


@lower_float("aten.special_bessel_y1")
def y1(x: Tensor) -> Tensor:
    """Y1(x), by its logarithm near 0 (DLMF 10.8.1)."""
    inside = (2 / PI) * (ops.Log(x) * (x * _near(_j1_over_x, x)) - 1 / x) + x * _near(_y1_rest_over_x, x)
    return _second(x, inside, _far(1, True, x))


@lower_float("aten.special_spherical_bessel_j0")
def spherical_j0(x: Tensor) -> Tensor:
    """sin(x) / x."""
    value = choose(ops.Equal(x, number(0, x)), 1.0, ops.Sin(x) / x)
    return choose(ops.IsInf(x), 0.0, value)


# -- Airy's -----------------------------------------------------------------------------------------------------------
def _decaying(u: Array) -> Array:
    """Ai(x) exp(z) x^(1/4) as a function of 1 / z, z = 2/3 x^(3/2) (DLMF 9.7.5)."""
    x = (1.5 / u) ** (2 / 3)
    return by_torch(_special.airy_ai, x) * np.exp(1 / u) * x**0.25


@lower_float("aten.special_airy_ai")
def airy_ai(x: Tensor) -> Tensor:
    """Ai(x); NaN at infinity, as PyTorch has it."""
    right, left = ops.Max(x, number(2, x)), ops.Max(-x, number(_NEAR, x))
    zeta = ops.Sqrt(right) * right * (2 / 3)
    decaying = fitted(_decaying, 0.0015, 1.5 / 2**1.5, 1 / zeta) * ops.Exp(-zeta) / ops.Sqrt(ops.Sqrt(right))
    pieces = [fitted(_values(_special.airy_ai), low, low + 2.5, x) for low in (-8.0, -5.5, -3.0, -0.5)]
    middle = choose(x < -3, choose(x < -5.5, pieces[0], pieces[1]), choose(x < -0.5, pieces[2], pieces[3]))
    # far on the left an asymptotic series in 1 / zeta, which is below 0.07 there (DLMF 9.7.9)
    zeta = ops.Sqrt(left) * left * (2 / 3)
    u = [1.0]
    for k in range(1, 12):
        u.append(u[-1] * (6 * k - 5) * (6 * k - 3) * (6 * k - 1) / (216 * k * (2 * k - 1)))
    z = 1 / (zeta * zeta)
    p, q = (ops.Sum(*(z**i * ((-1) ** i * c) if i else z * 0 + c for i, c in enumerate(u[part::2]))) for part in (0, 1))
    cos, sin = _turned(ops.Cos(zeta), ops.Sin(zeta), 0)
    waves = (cos * p + sin * q / zeta) / (math.sqrt(PI) * ops.Sqrt(ops.Sqrt(left)))
    found = choose(x < -_NEAR, waves, choose(x > 2, decaying, middle))
    return choose(ops.IsInf(x), NAN, found)
