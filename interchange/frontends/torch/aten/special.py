"""Special functions: the gamma family, the error function's relatives, entropies, Chebyshev polynomials.

Each is computed piece by piece: shifts, reflections and asymptotic forms of the Digital Library of Mathematical
Functions (dlmf.nist.gov), and `fitted` polynomials between them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from interchange import ops
from interchange.dtypes import Array
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.aten.approximate import by_torch, choose, fitted, horner, lower_float, number
from interchange.frontends.torch.table import Operand, lower, promote_float

PI = math.pi
INF, NAN = math.inf, math.nan


def _whole(x: Tensor) -> Tensor:
    return ops.Equal(x, ops.Floor(x))


def _sin_pi(x: Tensor) -> Tensor:
    """sin(pi * x), exactly 0 at whole numbers."""
    nearest = ops.Round(x)
    odd = nearest - 2 * ops.Floor(nearest * 0.5)
    return ops.Sin((x - nearest) * PI) * (1 - 2 * odd)


def _cot_pi(x: Tensor) -> Tensor:
    """cot(pi * x), exactly 0 half-way between whole numbers."""
    t = x - ops.Round(x)
    return ops.Sin((0.5 - ops.Abs(t)) * PI) / ops.Sin(t * PI)


# -- the gamma family -------------------------------------------------------------------------------------------------
def _by_its_zeros(x: Array) -> Array:
    """lgamma(x) without its zeros at 1 and 2; next to them the mean of both sides."""
    step = 1e-5
    near = np.minimum(abs(x - 1), abs(x - 2)) < step
    left, right = (by_torch(torch.lgamma, v) / ((v - 1) * (v - 2)) for v in (x - step * near, x + step * near))
    return (left + right) / 2


def _stirling(x: Tensor) -> Tensor:
    """lgamma(x) for x >= 8 (DLMF 5.11.1)."""
    z = 1 / (x * x)
    series = horner((1 / 156, -691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12), z) / x
    return (x - 0.5) * ops.Log(x) - x + (math.log(2 * PI) / 2) + series


def _lgamma_of_positive(x: Tensor) -> Tensor:
    small = x < 1
    y = choose(small, x + 1, x)
    low = (y - 1) * (y - 2) * fitted(_by_its_zeros, 1.0, 3.0, y) - choose(small, ops.Log(x), 0.0)
    middle = fitted(_lgamma_by_torch, 3.0, 8.0, x)
    large = choose(x < INF, _stirling(ops.Max(x, number(8, x))), INF)
    return choose(x < 3, low, choose(x < 8, middle, large))


def _lgamma_by_torch(x: Array) -> Array:
    return by_torch(torch.lgamma, x)


@lower_float("aten.lgamma", "aten.special_gammaln")
def lgamma(x: Tensor) -> Tensor:
    """log|gamma(x)|; below 0 by reflection (DLMF 5.5.3), infinite at its poles."""
    negative = x <= 0
    positive = _lgamma_of_positive(choose(negative, 1 - x, x))
    below = choose(_whole(x), INF, math.log(PI) - ops.Log(ops.Abs(_sin_pi(x))) - positive)
    return choose(ops.IsNaN(x), x, choose(negative, below, positive))


@lower_float("aten.mvlgamma", "aten.special_multigammaln")
def mvlgamma(x: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function: a sum of lgamma (DLMF 35.3.4)."""
    result = lgamma(x) + p * (p - 1) / 4 * math.log(PI)
    for j in range(1, p):
        result = result + lgamma(x - j / 2)
    return result


@lower_float("aten.digamma", "aten.special_digamma", "aten.special_psi")
def digamma(x: Tensor) -> Tensor:
    """The derivative of lgamma, shifted to 10 and more, then asymptotic (DLMF 5.5.2, 5.11.2)."""
    negative = x < 0
    y = choose(negative, 1 - x, x)
    small = y < 10
    shift = sum((1 / (y + i) for i in range(1, 10)), 1 / y)
    far = choose(small, y + 10, y)
    z = 1 / (far * far)
    tail = z * horner((-691 / 32760, 1 / 132, -1 / 240, 1 / 252, -1 / 120, 1 / 12), z)
    positive = ops.Log(far) - 0.5 / far - tail - choose(small, shift, 0.0)
    below = choose(_whole(x), NAN, positive - PI * _cot_pi(x))
    return choose(ops.Equal(x, number(0, x)), -1 / x, choose(negative, below, positive))


@lower_float("aten.polygamma", "aten.special_polygamma")
def polygamma(n: int, x: Tensor) -> Tensor:
    """The n-th derivative of digamma, (-1)^(n+1) n! zeta(n + 1, x): ten terms of the sum, the rest by Euler and
    Maclaurin (DLMF 25.11.5); below 0 by reflection (DLMF 5.15.6).
    """
    if n == 0:
        return digamma(x)
    negative = x < (0.5 if n == 1 else 0)
    y = choose(negative, 1 - x, ops.Abs(x))
    far = y + 10
    power, z = far**-n, 1 / (far * far)
    zeta = sum(((y + i) ** -(n + 1) for i in range(1, 10)), y ** -(n + 1)) + power / n + 0.5 * power / far
    term = power * z
    for j, bernoulli in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730), 1):
        rising = math.prod(range(n + 1, n + 2 * j)) / math.factorial(2 * j)
        zeta = zeta + (bernoulli * rising) * term
        term = term * z
    positive = (-1.0) ** (n + 1) * math.factorial(n) * zeta
    if n == 1:  # at its poles PyTorch's is large, not infinite: its sine is not 0 there
        sine = ops.Sin(x * PI)
        return choose(negative, PI * PI / (sine * sine) - positive, positive)
    slope = PI ** (n + 1) * horner(_derivative_of_cot(n), _cot_pi(x))
    below = choose(_whole(x), (-1.0) ** (n + 1) * INF, (-1.0) ** n * positive - slope)
    return choose(negative, below, choose(ops.Equal(x, number(INF, x)), NAN, positive))  # PyTorch's sum is NaN there


def _derivative_of_cot(n: int) -> tuple[float, ...]:
    """The n-th derivative of cot as a polynomial in cot, whose own is -(1 + cot^2); from the highest power on."""
    found = np.polynomial.Polynomial([0.0, 1.0])
    for _ in range(n):
        found = found.deriv() * np.polynomial.Polynomial([-1.0, 0.0, -1.0])
    return tuple(found.coef[::-1].tolist())


# -- the error function and the normal distribution -------------------------------------------------------------------
def _scaled_erfc(u: Array) -> Array:
    x = 3.75 * (1 + u) / (1 - u)
    return (1 + 2 * x) * by_torch(torch.special.erfcx, x)


def _erfcx_of_positive(x: Tensor) -> Tensor:
    """By a polynomial in (x - k) / (x + k) (Shepherd and Laframboise, Math. Comp. 36, 1981)."""
    return fitted(_scaled_erfc, -1.0, 1.0, 1 - 7.5 / (x + 3.75)) / (1 + 2 * x)


@lower_float("aten.special_erfcx")
def erfcx(x: Tensor) -> Tensor:
    """exp(x^2) * erfc(x), which does not underflow."""
    positive = _erfcx_of_positive(ops.Abs(x))
    return choose(x < 0, 2 * ops.Exp(x * x) - positive, positive)


@lower_float("aten.erfc", "aten.special_erfc")
def erfc(x: Tensor) -> Tensor:
    """1 - erf(x), precise where that is small."""
    positive = ops.Exp(-x * x) * _erfcx_of_positive(ops.Abs(x))
    return choose(x < 0, 2 - positive, positive)


@lower_float("aten.special_ndtr")
def ndtr(x: Tensor) -> Tensor:
    """The area under the normal distribution up to x."""
    return 0.5 * erfc(x * -math.sqrt(0.5))


@lower_float("aten.special_log_ndtr")
def log_ndtr(x: Tensor) -> Tensor:
    """log(ndtr(x)), which does not underflow."""
    low = ops.Log(0.5 * _erfcx_of_positive(ops.Abs(x) * math.sqrt(0.5))) - 0.5 * x * x
    return choose(x < -1, low, log1p(-0.5 * erfc(x * math.sqrt(0.5))))


def log1p(x: Tensor) -> Tensor:
    """log(1 + x), precise near 0: the rounding of 1 + x is divided out (Kahan)."""
    u = 1 + x
    exact = ops.Or(ops.Equal(u, number(1, u)), ops.IsInf(u))
    return choose(exact, x, ops.Log(u) * (x / (u - 1)))


def _erfinv_over_y(square: Array) -> Array:
    y = np.sqrt(square)
    return by_torch(torch.erfinv, y) / y


def _tail(s: Array) -> Array:
    return -math.sqrt(0.5) * by_torch(torch.special.ndtri, np.exp(-s * s) / 2)


def _erfcinv_of_exp(s: Tensor) -> Tensor:
    """Where erfc is exp(-s^2), for s > 1."""
    return choose(s < 6, fitted(_tail, 1.0, 6.0, s), fitted(_tail, 6.0, 27.0, s))


@lower_float("aten.erfinv", "aten.special_erfinv")
def erfinv(y: Tensor) -> Tensor:
    """Where erf is y; infinite at 1, NaN beyond."""
    size = ops.Abs(y)
    middle = y * fitted(_erfinv_over_y, 0.0, 0.64, y * y)
    tail = _erfcinv_of_exp(ops.Sqrt(-ops.Log(1 - size)))
    outside = choose(ops.Equal(size, number(1, y)), y * INF, NAN)
    return choose(size <= 0.8, middle, choose(size < 1, choose(y < 0, -tail, tail), outside))


@lower_float("aten.special_ndtri")
def ndtri(p: Tensor) -> Tensor:
    """Where ndtr is p; infinite at 0 and 1, NaN beyond."""
    upper = p > 0.5
    q = choose(upper, 1 - p, p)
    tail = math.sqrt(2) * _erfcinv_of_exp(ops.Sqrt(-ops.Log(2 * q)))
    tail = choose(ops.Equal(q, number(0, q)), INF, tail)
    middle = math.sqrt(2) * erfinv(2 * p - 1)
    return choose(q > 0.125, middle, choose(q >= 0, choose(upper, tail, -tail), NAN))


# -- entropies --------------------------------------------------------------------------------------------------------
@lower_float("aten.special_entr")
def entr(x: Tensor) -> Tensor:
    """-x log(x); 0 at 0, -inf below."""
    inside = choose(ops.Equal(x, number(0, x)), 0.0, -x * ops.Log(x))
    return choose(x < 0, -INF, inside)


@lower("aten.xlogy", "aten.special_xlogy")
def xlogy(x: Operand, y: Operand) -> Tensor:
    """x log(y), 0 where x is 0 unless y is NaN."""
    return _times(x, y, ops.Log)


@lower("aten.special_xlog1py")
def xlog1py(x: Operand, y: Operand) -> Tensor:
    """x log(1 + y), 0 where x is 0 unless y is NaN."""
    return _times(x, y, log1p)


def _times(x: Operand, y: Operand, function: Callable[[Tensor], Tensor]) -> Tensor:
    a, b = promote_float(x, y)
    product = a * function(b)
    zero = ops.And(ops.Equal(a, number(0, a)), ops.Not(ops.IsNaN(b)))
    return choose(zero, 0.0, product)


# -- Chebyshev polynomials, by their closed forms (DLMF 18.5) ---------------------------------------------------------
def _chebyshev(kind: str, shifted: bool, x: Operand, n: Operand) -> Tensor:
    """Of the first to fourth kind, T, U, V or W, at x or 2x - 1; 0 where the degree, rounded towards 0, is below 0."""
    x, n = promote_float(x, n)
    x = 2 * x - 1 if shifted else x
    degree = ops.Sign(n) * ops.Floor(ops.Abs(n))
    mirrored = {"V": "W", "W": "V"}.get(kind, kind)  # V_n(-x) is (-1)^n W_n(x)
    sign = 1 - 2 * (degree - 2 * ops.Floor(degree * 0.5))
    size = ops.Abs(x)
    positive = _of_positive(kind, size, degree)
    negative = sign * (positive if mirrored == kind else _of_positive(mirrored, size, degree))
    return choose(degree < 0, 0.0, choose(x < 0, negative, positive))


def _of_positive(kind: str, x: Tensor, n: Tensor) -> Tensor:
    """cos(a * angle) / cos(b * angle) or so, where x is the cosine of the angle; hyperbolic beyond 1."""
    one = number(1, x)
    a, b, at_one = {
        "T": (n, 0.0, one),
        "U": (n + 1, 1.0, n + 1),
        "V": (n + 0.5, 0.5, one),
        "W": (n + 0.5, 0.5, 2 * n + 1),
    }[kind]
    angle = ops.Acos(ops.Min(x, one))
    above = ops.Max(x, one)
    area = ops.Log(above + ops.Sqrt((above - 1) * (above + 1)))
    even = kind in "TV"
    circle, hyperbola = (ops.Cos, _cosh) if even else (ops.Sin, _sinh)
    inside, outside = circle(a * angle), hyperbola(a * area)
    if b:
        inside, outside = inside / circle(b * angle), outside / hyperbola(b * area)
    return choose(x < 1, inside, choose(x > 1, outside, at_one))


def _cosh(x: Tensor) -> Tensor:
    return 0.5 * (ops.Exp(x) + ops.Exp(-x))


def _sinh(x: Tensor) -> Tensor:
    return 0.5 * (ops.Exp(x) - ops.Exp(-x))


for _kind in "TUVW":
    lower(f"aten.special_chebyshev_polynomial_{_kind.lower()}")(partial(_chebyshev, _kind, False))
    lower(f"aten.special_shifted_chebyshev_polynomial_{_kind.lower()}")(partial(_chebyshev, _kind, True))
