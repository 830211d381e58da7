"""Functions that make tensors. A size may be symbolic while a model is traced."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from interchange.dims import Dim, DimLike, dim_max
from interchange.dtypes import DType, dtype_of, float32, int64
from interchange.eager import composed, operators
from interchange.eager.array_api.arguments import as_tensor, check_device, integer, invalid, located, sizes
from interchange.eager.tensor import Tensor, to_array, wrap
from interchange.ops.creation import Range
from interchange.ops.indexing import count_to
from interchange.ops.select import Trilu
from interchange.ops.shape import Concat, Expand, Identity, Unsqueeze
from interchange.ops.shape_tools import full as filled
from interchange.ops.shape_tools import scalar_of, shape_tensor


@located
def tensor(data: Any, dtype: Any = None, *, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of `data`: an array, a number or a nested sequence."""
    return Tensor(data, dtype, requires_grad=requires_grad)


@located
def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Tensor:
    """`obj` as a tensor: an array, a number, a nested sequence (also of tensors and sizes), a buffer, a DLPack object.

    A numpy array's memory is shared unless copy=True; then it must not be written to. copy=False: an error
    (OperatorError IX119) where a copy is needed. Python floats become float32, ints int64.
    """
    check_device(device)
    wanted = None if dtype is None else dtype_of(dtype)
    if isinstance(obj, Tensor):
        return _again(obj, wanted, copy)
    if copy is False and not (hasattr(obj, "dtype") and hasattr(obj, "__array__") and wanted in (None, obj.dtype)):
        raise _no_copy(obj)
    if isinstance(obj, Dim):
        return scalar_of(obj, wanted or int64)
    if isinstance(obj, (list, tuple)) and _holds_tensors(obj):
        joined = _stacked(obj)
        return joined if wanted is None else composed.astype(joined, wanted)
    if hasattr(obj, "__dlpack__") and not hasattr(obj, "__array__"):
        return asarray(from_dlpack(obj), dtype=wanted)
    if isinstance(obj, (bytes, bytearray, memoryview)):
        obj = np.frombuffer(obj, np.uint8) if isinstance(obj, (bytes, bytearray)) else np.asarray(obj)
    return wrap(to_array(obj, wanted, copy=copy))


def _again(x: Tensor, wanted: DType | None, copy: bool | None) -> Tensor:
    if wanted is not None and wanted != x.dtype:
        if copy is False:
            raise _no_copy(x)
        return composed.astype(x, wanted)
    if not copy:
        return x
    return wrap(x._data.copy()) if type(x) is Tensor and x._edge is None else Identity(x)


def _no_copy(obj: Any) -> Exception:
    return invalid(
        "this does not become a tensor without a copy",
        found=type(obj).__name__,
        expected="a tensor or an array of the dtype asked for",
        fix="leave copy out",
    )


def _holds_tensors(items: Sequence[Any]) -> bool:
    return any(isinstance(i, (Tensor, Dim)) or (isinstance(i, (list, tuple)) and _holds_tensors(i)) for i in items)


def _stacked(items: Sequence[Any]) -> Tensor:
    """A sequence that holds tensors, joined along a new first axis: gradients and traces go through."""
    parts = [asarray(i) for i in items]
    dtype = next(p.dtype for p, i in zip(parts, items, strict=True) if not isinstance(i, (int, float)))
    same = [operators.promote(p if p.dtype == dtype else asarray(p, dtype=dtype), parts[0])[0] for p in parts]
    return Concat(*[Unsqueeze(p, [0]) for p in same], axis=0)


@located
def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """The tensor of an object with ``__dlpack__`` (of numpy, torch, jax; on the CPU), in its memory unless copy."""
    check_device(device)
    if isinstance(x, Tensor):
        return asarray(x, copy=copy)
    try:
        array = np.from_dlpack(x)
    except (BufferError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise invalid(
            "this cannot be taken over by DLPack",
            found=f"{type(x).__name__}: {error}",
            expected="an array in the memory of the CPU, of a dtype NumPy has",
            fix="bring it to the CPU and cast it first",
        ) from None
    return wrap(to_array(array, copy=copy))


# -- of one value -----------------------------------------------------------------------------------------------------
@located
def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of one value: a number, or a 0-d tensor."""
    check_device(device)
    size = sizes(shape)
    if isinstance(fill_value, (Tensor, Dim)):
        return Expand(asarray(fill_value, dtype=dtype), shape_tensor(size))
    value = to_array(fill_value, dtype)
    number: Any = value.reshape(-1)[0] if value.size == 1 else None
    if number is None:
        raise invalid(
            "this is not one value", found=f"shape {value.shape}", expected="one number", fix="use broadcast_to"
        )
    return filled(size, number, value.dtype)


@located
def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of zeros, float32 unless said otherwise."""
    return full(shape, 0, dtype=float32 if dtype is None else dtype, device=device)


@located
def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of ones, float32 unless said otherwise."""
    return full(shape, 1, dtype=float32 if dtype is None else dtype, device=device)


@located
def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of zeros: what is not written cannot be told apart in a graph."""
    return zeros(shape, dtype=dtype, device=device)


@located
def full_like(x: Tensor, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of one value with the shape, and unless said otherwise the dtype, of `x`."""
    x = as_tensor(x)
    return full(x.shape, fill_value, dtype=x.dtype if dtype is None else dtype, device=device)


@located
def zeros_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros with the shape, and unless said otherwise the dtype, of `x`."""
    return full_like(x, 0, dtype=dtype, device=device)


@located
def ones_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones with the shape, and unless said otherwise the dtype, of `x`."""
    return full_like(x, 1, dtype=dtype, device=device)


@located
def empty_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros with the shape, and unless said otherwise the dtype, of `x`."""
    return zeros_like(x, dtype=dtype, device=device)


# -- ranges -----------------------------------------------------------------------------------------------------------
@located
def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Tensor:
    """start, start + step, ... before stop, shape [ceil((stop - start) / step)]; from 0 if only one number is given."""
    check_device(device)
    first, last = (0, start) if stop is None else (start, stop)
    if step == 0:
        raise invalid(
            "a range with step 0 has no end", found="step=0", expected="another step", fix="pass another step"
        )
    if any(isinstance(v, Dim) for v in (first, last, step)):
        return composed.astype(Range(*(scalar_of(v, int64) for v in (first, last, step))), dtype or int64)
    numbers = [v.item() if isinstance(v, (Tensor, np.generic, np.ndarray)) else v for v in (first, last, step)]
    default = int64 if all(isinstance(v, int) for v in numbers) else float32
    values = np.arange(*numbers) if (numbers[1] - numbers[0]) / numbers[2] > 0 else np.empty(0)
    return wrap(values.astype(default if dtype is None else dtype_of(dtype)))


@located
def linspace(
    start: Any, stop: Any, /, num: DimLike, *, dtype: Any = None, device: Any = None, endpoint: bool = True
) -> Tensor:
    """`num` numbers at equal distances from start to stop, which is the last one unless endpoint=False; float32."""
    check_device(device)
    wanted = float32 if dtype is None else dtype_of(dtype)
    if isinstance(num, Dim):
        steps = scalar_of(dim_max(num - 1, 1) if endpoint else num, wanted)
        part = composed.astype(count_to(num), wanted) / steps
        line: Tensor = part * stop + (1 - part) * start  # both ends exactly
        return line
    (count,) = sizes(num)
    assert isinstance(count, int)
    return wrap(np.linspace(float(start), float(stop), count, endpoint).astype(wanted))


@located
def eye(
    n_rows: DimLike, n_cols: DimLike | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None
) -> Tensor:
    """Ones on the k-th diagonal of a matrix, zeros elsewhere."""
    check_device(device)
    wanted = float32 if dtype is None else dtype_of(dtype)
    rows, columns = sizes((n_rows, n_rows if n_cols is None else n_cols))
    if isinstance(rows, int) and isinstance(columns, int):
        return wrap(np.eye(rows, columns, k).astype(wanted))
    return composed.astype(Unsqueeze(count_to(rows), [1]) + k == Unsqueeze(count_to(columns), [0]), wanted)


# -- of other tensors -------------------------------------------------------------------------------------------------
@located
def meshgrid(*arrays: Tensor, indexing: str = "xy") -> list[Tensor]:
    """The coordinates of a grid, one tensor an axis; "xy" swaps the first two axes of the results, "ij" does not."""
    if indexing not in ("xy", "ij"):
        raise invalid("unknown order of axes", found=repr(indexing), expected="'xy' or 'ij'", fix="pass one of them")
    axes = [as_tensor(a) for a in arrays]
    for a in axes:
        if len(a.shape) != 1:
            raise invalid(
                "a coordinate axis has one axis", found=f"{len(a.shape)} axes", expected="1", fix="flatten it"
            )
    order = list(range(len(axes)))
    if indexing == "xy" and len(axes) > 1:
        order[:2] = [1, 0]
    shape: list[DimLike] = [axes[i].shape[0] for i in order]
    result = []
    for i, a in enumerate(axes):
        new = [k for k in range(len(axes)) if k != order.index(i)]
        result.append(Expand(Unsqueeze(a, new) if new else a, shape_tensor(tuple(shape))))
    return result


@located
def tril(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The lower triangle of the matrices in the last two axes, zero above the k-th diagonal."""
    return Trilu(as_tensor(x), wrap(np.array(integer(k, "k"))), upper=0)


@located
def triu(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The upper triangle of the matrices in the last two axes, zero below the k-th diagonal."""
    return Trilu(as_tensor(x), wrap(np.array(integer(k, "k"))), upper=1)


e, inf, nan, pi = math.e, math.inf, math.nan, math.pi
newaxis = None

__all__ = [
    "arange",
    "asarray",
    "e",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "full",
    "full_like",
    "inf",
    "linspace",
    "meshgrid",
    "nan",
    "newaxis",
    "ones",
    "ones_like",
    "pi",
    "tensor",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
]
