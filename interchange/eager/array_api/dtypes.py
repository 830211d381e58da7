"""Data types: the names, what can be cast to what, and their limits."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Any

import numpy as np

from interchange.dtypes import (
    BY_NAME,
    COMPLEX,
    DType,
    bfloat16,
    dtype_of,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    is_float,
    is_integer,
    uint8,
    uint16,
    uint32,
    uint64,
)
from interchange.eager import composed, operators
from interchange.eager.array_api.arguments import as_tensor, check_device, invalid
from interchange.eager.tensor import Tensor, wrap
from interchange.errors import OperatorError, user_line

bool = BY_NAME["bool"]  # the standard's name

_KINDS: dict[str, tuple[DType, ...]] = {
    "bool": (bool,),
    "signed integer": (int8, int16, int32, int64),
    "unsigned integer": (uint8, uint16, uint32, uint64),
    "real floating": (float16, bfloat16, float32, float64),
    "complex floating": tuple(COMPLEX),
}
_KINDS["integral"] = _KINDS["signed integer"] + _KINDS["unsigned integer"]
_KINDS["numeric"] = _KINDS["integral"] + _KINDS["real floating"] + _KINDS["complex floating"]


def astype(x: Tensor, dtype: Any, /, *, copy: Any = True, device: Any = None) -> Tensor:
    """The elements of `x` in another dtype: floats to integers towards zero, numbers to bool as ``!= 0``.

    copy: tensors are immutable, so a tensor that has the dtype already is returned as it is.
    """
    check_device(device)
    return composed.astype(as_tensor(x), dtype)


def can_cast(from_: Any, to: Any, /) -> Any:
    """Whether promotion turns `from_` (a dtype or a tensor) into the dtype `to`."""
    source = from_.dtype if isinstance(from_, Tensor) else dtype_of(from_)
    return operators.common_dtype(source, dtype_of(to)) == dtype_of(to)


@dataclass(frozen=True, slots=True)
class finfo_object:  # noqa: N801  the standard's name
    """The limits of a floating-point dtype; eps is the gap between 1 and the next number."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


@dataclass(frozen=True, slots=True)
class iinfo_object:  # noqa: N801  the standard's name
    """The limits of an integer dtype."""

    bits: int
    max: int
    min: int
    dtype: DType


def finfo(type: Any, /) -> finfo_object:
    """The limits of a floating-point dtype, given as a dtype or by a tensor of it."""
    import ml_dtypes

    dtype = _one_of(type, "a floating-point dtype", is_float)
    info: Any = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    eps, high, low, normal = (float(v) for v in (info.eps, info.max, info.min, info.smallest_normal))
    return finfo_object(int(info.bits), eps, high, low, normal, dtype)


def iinfo(type: Any, /) -> iinfo_object:
    """The limits of an integer dtype, given as a dtype or by a tensor of it."""
    import ml_dtypes

    dtype = _one_of(type, "an integer dtype", is_integer)
    info: Any = ml_dtypes.iinfo(dtype)  # type: ignore[no-untyped-call]
    return iinfo_object(int(info.bits), int(info.max), int(info.min), dtype)


def _one_of(given: Any, expected: str, test: Any) -> DType:
    dtype = given.dtype if isinstance(given, (Tensor, np.ndarray)) else dtype_of(given)
    if not test(dtype):
        raise invalid(f"{dtype} is not {expected}", found=str(dtype), expected=expected, fix="name another dtype")
    return dtype


def isdtype(dtype: Any, kind: Any) -> Any:
    """Whether a dtype is of a kind: a dtype, one of the standard's names of kinds, or a tuple of these."""
    found = dtype_of(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(found, k) for k in kind)
    if isinstance(kind, str):
        if kind not in _KINDS:
            raise invalid(
                f"there is no kind of dtype {kind!r}",
                found=repr(kind),
                expected=", ".join(map(repr, _KINDS)),
                fix="name one of them, a dtype, or a tuple",
            )
        return found in _KINDS[kind]
    return found == dtype_of(kind)


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype that promotion gives for tensors, dtypes and Python numbers together.

    Raises OperatorError IX111 for kinds that are not mixed, IX119 without a tensor or dtype.
    """
    numbers = [a for a in arrays_and_dtypes if type(a) in _NUMBER_KINDS]
    found: DType | None = None
    for a in arrays_and_dtypes:
        if type(a) not in _NUMBER_KINDS:
            dtype = a.dtype if isinstance(a, (Tensor, np.ndarray)) else dtype_of(a)
            found = dtype if found is None else _common(found, dtype)
    if found is None:
        raise invalid(
            "no dtype is given", found=f"{len(numbers)} Python numbers", expected="a tensor or a dtype", fix="pass one"
        )
    for number in numbers:
        operators.operand(number, wrap(np.zeros((), found)))
    return found


_NUMBER_KINDS = (int, float, complex, builtins.bool)


def _common(a: DType, b: DType) -> DType:
    found = operators.common_dtype(a, b)
    if found is None:
        raise OperatorError(
            "IX111",
            f"{a} and {b} are not mixed without being asked",
            where=user_line(),
            found=f"{a} and {b}",
            expected="dtypes of one kind: floats, integers or bools",
            fix="convert one side with astype",
        )
    return found


__all__ = [
    "astype",
    "bfloat16",
    "bool",
    "can_cast",
    "finfo",
    "float16",
    "float32",
    "float64",
    "iinfo",
    "int8",
    "int16",
    "int32",
    "int64",
    "isdtype",
    "result_type",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]
