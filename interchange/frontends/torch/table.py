"""How ATen operators are lowered: one short function each, over the vocabulary, found by name.

    @lower("aten.relu", "aten.relu6")
    def relu(x: Tensor) -> Tensor:
        return ops.Relu(x)

A name is a packet (``aten.add``: all its overloads) or one overload (``aten.add.Scalar``, which goes first). The
function is called as ATen's schema has it: tensors as ours (traced when a model is exported, concrete otherwise), sizes
as ints or Dims, dtypes as numpy dtypes, SymFloats as `Real`. Where memory lies (device, layout, memory_format,
pin_memory) is left out. A parameter ``out`` gets what PyTorch says of the result: an `Out`, or a list of them.
The in-place form needs no entry: it is lowered as the other one, and what had the old value has the new one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interchange.dims import Dim, DimLike, Shape
from interchange.dtypes import DType, bool_, float32, int64, is_float
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.ops.shape_tools import shape_tensor

Handler = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Out:
    """What PyTorch says of a result: its dtype and its shape."""

    dtype: DType
    shape: Shape


@dataclass(frozen=True, slots=True)
class Real:
    """A Python float that depends on the sizes of the inputs, as a 0-d float64 tensor: it does not promote."""

    tensor: Tensor


@dataclass(frozen=True, slots=True)
class Lowering:
    """An entry of the table. takes_out: whether the function asks for `out`; random: its results are not repeatable,
    or the function that tells so from a call's arguments.
    """

    handler: Handler
    takes_out: bool
    random: bool | Callable[..., bool]


TABLE: dict[str, Lowering] = {}


def lower(*names: str, random: bool | Callable[..., bool] = False) -> Callable[[Handler], Handler]:
    """Register the lowering of ATen (or custom) operators: ``@lower("aten.gelu")``, ``@lower("mylib.swiglu")``.

    random: the result is drawn at random, so that no run can be compared with another; where that depends on the
    call (dropout in eval mode draws nothing), a function of its arguments.
    """

    def register(handler: Handler) -> Handler:
        entry = Lowering(handler, "out" in inspect.signature(handler).parameters, random)
        TABLE.update(dict.fromkeys(names, entry))
        return handler

    return register


# -- dtype promotion, as torch.result_type has it ---------------------------------------------------------------------
Operand = Any  # Tensor | bool | int | float | Dim | Real


def _category(dtype: DType) -> int:
    return 0 if dtype.kind == "b" else 3 if dtype.kind == "c" else 2 if is_float(dtype) else 1


def promote_dtypes(a: DType, b: DType) -> DType:
    """The dtype of a sum of tensors of these two: torch.promote_types."""
    if a == b:
        return a
    x, y = _category(a), _category(b)
    if x != y:
        low, high = (a, b) if x < y else (b, a)
        if high.kind == "c" and low == np.float64:
            return np.dtype(np.complex128)
        return high
    if x == 1:
        if a.kind == b.kind:
            return a if a.itemsize >= b.itemsize else b
        unsigned, signed = (a, b) if a.kind == "u" else (b, a)
        if signed.itemsize > unsigned.itemsize:
            return signed
        return np.dtype(f"int{min(64, 16 * unsigned.itemsize)}")
    if a.itemsize == b.itemsize:  # float16 with bfloat16
        return float32
    return a if a.itemsize > b.itemsize else b


def _number_dtype(x: Operand) -> DType:
    if isinstance(x, bool):
        return bool_
    if isinstance(x, (int, Dim)):
        return int64
    return np.dtype(np.complex64) if isinstance(x, complex) else float32


def result_dtype(*operands: Operand) -> DType:
    """The dtype that operands meet in: torch.result_type. Tensors with axes go before 0-d ones, and those before
    Python's numbers, unless the latter are of a higher category (bool < int < float < complex).
    """
    groups: list[DType | None] = [None, None, None]
    for x in operands:
        if isinstance(x, Tensor):
            place, dtype = (0 if x.shape else 1), x.dtype
        else:
            place, dtype = 2, _number_dtype(x)
        before = groups[place]
        groups[place] = dtype if before is None else promote_dtypes(before, dtype)
    result: DType | None = None
    for found in groups:
        if found is not None and (result is None or _category(found) > _category(result)):
            result = found if result is None else promote_dtypes(result, found)
    assert result is not None
    return result


def tensor(x: Operand, dtype: DType) -> Tensor:
    """An operand as a tensor of a dtype; a number of Python as a 0-d one."""
    if isinstance(x, Real):
        return astype(x.tensor, dtype)
    if isinstance(x, Tensor):
        return astype(x, dtype)
    if isinstance(x, Dim):
        return astype(shape_tensor(x), dtype)
    return wrap(np.array(x).astype(dtype))


def promote(*operands: Operand, to: DType | None = None) -> list[Tensor]:
    """The operands as tensors of one dtype: the one they meet in, or `to`."""
    dtype = result_dtype(*operands) if to is None else to
    return [tensor(x, dtype) for x in operands]


def promote_float(*operands: Operand) -> list[Tensor]:
    """The operands as tensors of one floating-point dtype: integers and bools become float32 (PyTorch's default)."""
    dtype = result_dtype(*operands)
    return [tensor(x, dtype if _category(dtype) >= 2 else float32) for x in operands]


def axes_of(dims: int | Sequence[int] | None, rank: int) -> list[int]:
    """Axes counted from the front: all of them for None; a 0-d tensor takes 0 and -1 for none."""
    if dims is None:
        return list(range(rank))
    given = [dims] if isinstance(dims, int) else list(dims)
    return [d % rank for d in given] if rank else []


def axis_of(dim: int, rank: int) -> int:
    """An axis counted from the front."""
    return dim % rank if rank else 0


def is_one(size: DimLike) -> bool:
    """Whether a size is the number 1 (a symbolic one is not, whatever it may be at run time)."""
    return isinstance(size, int) and size == 1
