"""Comparing two arrays as a user would want it: dtype, shape, NaN, infinities, the sign of zero, and the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from interchange.dtypes import Array, DType, is_float, name_of
from interchange.errors import UsageError

Tolerance = tuple[float, float]  # relative, absolute

# An element may differ by rtol * |expected| + atol * max(1, largest |expected|): sums of many terms lose absolute, not
# relative accuracy. Integers, bools and strings must be equal.
TOLERANCES: dict[str, Tolerance] = {
    "float64": (1e-7, 1e-9),
    "float32": (1e-4, 1e-5),
    "float16": (1e-2, 2e-3),
    "bfloat16": (4e-2, 1e-2),
    "complex64": (1e-4, 1e-5),
    "complex128": (1e-7, 1e-9),
}
_COARSE: Tolerance = (0.13, 0.07)  # float8: three bits of mantissa or fewer


def tolerance_of(dtype: DType) -> Tolerance:
    """The default tolerance for outputs of a dtype."""
    if not (is_float(dtype) or dtype.kind == "c"):
        return 0.0, 0.0
    return TOLERANCES.get(name_of(dtype), _COARSE)


def check_tolerance(
    tolerance: Mapping[str, Tolerance] | Tolerance | None, outputs: Iterable[str] | None = None
) -> None:
    """Refuse what is no tolerance, or is for an output that there is not (UsageError IX807)."""
    known = None if outputs is None else set(outputs)
    by_name = tolerance if isinstance(tolerance, Mapping) else {None: tolerance}
    for name, pair in by_name.items():
        good = pair is None or _is_pair(pair)
        if not good or (known is not None and name is not None and name not in known):
            names = f": {', '.join(sorted(known))}" if known else ""
            raise UsageError(
                "IX807",
                f"there is no output {name!r} to have a tolerance" if good else f"{pair!r} is no tolerance",
                found=f"tolerance={tolerance!r}",
                expected=f"(relative, absolute), or such pairs by the name of an output{names}",
                fix="for example tolerance=(1e-3, 1e-5)",
            )


def _is_pair(x: object) -> bool:
    return isinstance(x, (tuple, list)) and len(x) == 2 and all(isinstance(t, (int, float)) and t >= 0 for t in x)


@dataclass(frozen=True, slots=True)
class Difference:
    """How one output compares. problem is None when it matches; signed_zeros counts 0 against -0 (not a mismatch)."""

    output: str
    problem: str | None
    max_abs: float = 0.0
    max_rel: float = 0.0
    signed_zeros: int = 0


def compare(name: str, found: Array, expected: Array, tolerance: Tolerance | None = None) -> Difference:
    """Compare an output of the runtime with the source's."""
    if found.dtype != expected.dtype:
        return Difference(name, f"dtype {name_of(found.dtype)} instead of {name_of(expected.dtype)}")
    if found.shape != expected.shape:
        return Difference(name, f"shape {list(found.shape)} instead of {list(expected.shape)}")
    if not (is_float(found.dtype) or found.dtype.kind == "c"):
        wrong = np.asarray(found != expected)
        return Difference(name, _elements(wrong, found, expected) if wrong.any() else None)
    rtol, atol = tolerance or tolerance_of(found.dtype)
    wide = np.complex128 if found.dtype.kind == "c" else np.float64
    a, b = found.astype(wide), expected.astype(wide)
    nan = np.isnan(a) != np.isnan(b)
    if nan.any():
        return Difference(name, f"NaN on one side only: {_elements(nan, found, expected)}")
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.where((a == b) | np.isnan(a), 0.0, np.abs(a - b))
    finite = np.abs(b[np.isfinite(b)])
    scale = max(1.0, float(finite.max(initial=0.0)))
    with np.errstate(invalid="ignore"):
        allowed = np.where(np.isfinite(b), rtol * np.abs(b) + atol * scale, 0.0)
    wrong = ~(gap <= allowed)
    both_finite = np.isfinite(gap)
    max_abs = float(gap[both_finite].max(initial=0.0))
    with np.errstate(over="ignore"):  # where 0 was expected: infinitely more
        relative = gap[both_finite] / np.maximum(np.abs(b[both_finite]), np.finfo(np.float64).tiny)
    max_rel = float(relative[np.abs(b[both_finite]) > atol].max(initial=0.0))
    zeros = 0 if found.dtype.kind == "c" else int(((a == 0) & (b == 0) & (np.signbit(a) != np.signbit(b))).sum())
    return Difference(name, _elements(wrong, found, expected) if wrong.any() else None, max_abs, max_rel, zeros)


def _elements(wrong: Array, found: Array, expected: Array) -> str:
    """``3 of 40 elements differ, first at [0, 2]: 1.5 instead of 2.5``"""
    first = tuple(int(i) for i in np.argwhere(wrong)[0]) if wrong.ndim else ()
    return (
        f"{int(wrong.sum())} of {wrong.size} elements differ, first at {list(first)}: "
        f"{found[first]!s} instead of {expected[first]!s}"
    )
