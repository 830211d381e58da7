"""Python's operators and the methods of `Tensor`, as calls of the vocabulary.

Two tensors of different dtypes of one kind (float32 and float64, int32 and int64) are promoted as in the Array API, by
a Cast that is visible in an exported graph; different kinds are refused. A Python number takes the tensor's dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from interchange.dims import Dim, DimLike, bounds, product
from interchange.dtypes import DType, dtype_of, is_float, is_integer, name_of
from interchange.eager.composed import (
    astype,
    bitwise,
    divide,
    floor_divide,
    matmul,
    negative,
    power,
    remainder,
    shift_left,
    shift_right,
)
from interchange.eager.indexing import getitem
from interchange.eager.tape import Node
from interchange.eager.tensor import Tensor, mode, shape_text, to_array, traces, wrap
from interchange.errors import OperatorError, user_line
from interchange.ops.activation import Clip, Exp, Log, Relu, Sigmoid, Softmax, Tanh
from interchange.ops.arithmetic import (
    Abs,
    Add,
    And,
    BitwiseAnd,
    BitwiseNot,
    BitwiseOr,
    BitwiseXor,
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Max,
    Min,
    Mul,
    Not,
    Or,
    Sqrt,
    Sub,
    Xor,
)
from interchange.ops.frame import Op, save
from interchange.ops.linear import MatMul
from interchange.ops.reduce import ArgMax, ArgMin, ReduceMax, ReduceMean, ReduceMin, ReduceProd, ReduceSum
from interchange.ops.shape import Expand, Reshape, Squeeze, Transpose, Unsqueeze
from interchange.ops.shape_tools import has_dims, normalize_axis, reshape_target, scalar_of, shape_tensor

Binary = Callable[[Any, Any], Any]

P = ParamSpec("P")
R = TypeVar("R")


def located(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, whose refusals of shapes and axes name it and the user's line, as those of an operator do."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except OperatorError as error:
            if error.where is None:
                error.message, error.where = f"{function.__name__}: {error.message}", user_line()
                tensors = [f"{name_of(a.dtype)}{shape_text(a.shape)}" for a in args if isinstance(a, Tensor)]
                error.found = error.found or ", ".join(tensors) or None
            raise

    return call


# -- two operands -----------------------------------------------------------------------------------------------------
_scalars: dict[tuple[DType, type, Any], Tensor] = {}


def operand(other: Any, like: Tensor) -> Tensor:
    """The other operand as a tensor: a Python number in the dtype of `like` (cached), an array as it is."""
    kind = type(other)
    if kind is float or kind is int or kind is bool:
        key = (like.dtype, kind, other)
        found = _scalars.get(key)
        if found is None:
            found = _number(other, like.dtype)
            if len(_scalars) < 4096 and (other or kind is not float):  # 0.0 and -0.0 are one key: never cached
                _scalars[key] = found
        return found
    if isinstance(other, Dim):
        return scalar_of(other, like.dtype)
    return wrap(to_array(other))


def _number(x: float, dtype: DType) -> Tensor:
    fits = (
        is_float(dtype)
        or dtype.kind == "c"
        or (isinstance(x, bool) and dtype.kind == "b")
        or (isinstance(x, int) and is_integer(dtype) and _in_range(x, dtype))
    )
    try:
        if fits:
            with np.errstate(over="ignore"):  # beyond the largest number of the dtype is inf
                return wrap(np.array(x, dtype))
    except OverflowError:  # an int beyond the largest Python float
        pass
    raise OperatorError(
        "IX114",
        f"the Python number {_short(x)} does not fit a {name_of(dtype)} tensor",
        where=user_line(),
        found=f"{name_of(dtype)} and {type(x).__name__} {_short(x)}",
        expected=f"a number that {name_of(dtype)} can hold",
        fix="convert the tensor first, for example .astype('float32')",
    )


def _short(x: float) -> str:
    """The number, or what there is of it: Python refuses to write out thousands of digits."""
    return repr(x) if not isinstance(x, int) or abs(x) < 10**40 else f"of {x.bit_length()} bits"


def _in_range(x: int, dtype: DType) -> bool:
    import ml_dtypes

    info: Any = ml_dtypes.iinfo(dtype)  # type: ignore[no-untyped-call]
    return bool(info.min <= x <= info.max)


_FLOAT_ORDER = ("float16", "bfloat16", "float32", "float64")


def promote(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one dtype: the wider of the same kind. Raises OperatorError IX111 for different kinds."""
    if a.dtype == b.dtype:
        return a, b
    wide = common_dtype(a.dtype, b.dtype)
    if wide is None:
        raise OperatorError(
            "IX111",
            f"{name_of(a.dtype)} and {name_of(b.dtype)} are not mixed without being asked",
            where=user_line(),
            found=f"{name_of(a.dtype)}{shape_text(a.shape)} and {name_of(b.dtype)}{shape_text(b.shape)}",
            expected="two tensors of one kind: floats, integers or bools",
            fix=f"convert one side: .astype('{name_of(a.dtype if is_float(a.dtype) else b.dtype)}')",
        )
    return astype(a, wide), astype(b, wide)


def common_dtype(a: DType, b: DType) -> DType | None:
    """The dtype that holds both, within a kind (Array API's table); None for different kinds."""
    if a == b:
        return a
    x, y = name_of(a), name_of(b)
    if x in _FLOAT_ORDER and y in _FLOAT_ORDER:
        if {x, y} == {"float16", "bfloat16"}:
            return np.dtype(np.float32)
        return a if _FLOAT_ORDER.index(x) > _FLOAT_ORDER.index(y) else b
    if a.kind in "iu" and b.kind in "iu":
        wide = np.promote_types(a, b)
        return wide if wide.kind in "iu" else None
    return np.promote_types(a, b) if a.kind == b.kind == "c" else None


def _binary(op: Op[Tensor], general: Callable[[Tensor, Tensor], Tensor] | None = None) -> tuple[Binary, Binary]:
    """The operator method and its reflection for a binary operator; `general` takes what the operator does not.

    The fast path is written out: it costs a third less than a call of `apply`, and every step of eager code takes it.
    """
    bound = op.default
    function: Callable[[Tensor, Tensor], Tensor] = general or op
    types, kernel, plan = bound.types, bound.kernel, bound.plan
    new, ndarray = object.__new__, np.ndarray

    def method(a: Tensor, b: Any) -> Any:
        if not isinstance(b, Tensor):
            if not _operand_like(b):
                return NotImplemented
            b = operand(b, a)
        if not traces.count:
            try:
                x, y = a._data, b._data
                if x.dtype is y.dtype or x.dtype == y.dtype:
                    types[x.dtype, y.dtype]
                    result = kernel(x, y)
                    out = new(Tensor)
                    out._data = result if type(result) is ndarray else np.asarray(result)
                    out._edge = None
                    if (a._edge is not None or b._edge is not None) and plan is not None and mode.grad:
                        out._edge = Node(bound, (a._edge, b._edge), save(plan, (a, b), (out,)), 1)
                    return out
            except Exception:  # whatever it was: the general path finds the same fault again and explains it
                return function(*promote(a, b))
        return function(*promote(a, b))

    def reflected(b: Tensor, a: Any) -> Any:
        if not _operand_like(a):
            return NotImplemented
        return method(operand(a, b), b)

    return method, reflected


def _operand_like(x: Any) -> bool:
    return isinstance(x, (int, float, bool, complex, np.ndarray, np.generic, Dim))


def _composed(function: Callable[[Tensor, Tensor], Tensor]) -> tuple[Binary, Binary]:
    """The operator method and its reflection for a function of two promoted tensors."""

    def method(a: Tensor, b: Any) -> Any:
        if not isinstance(b, Tensor):
            if not _operand_like(b):
                return NotImplemented
            b = operand(b, a)
        return function(*promote(a, b))

    def reflected(b: Tensor, a: Any) -> Any:
        return method(operand(a, b), b) if _operand_like(a) else NotImplemented

    return method, reflected


# -- one operand, and methods -----------------------------------------------------------------------------------------
def _sizes(args: Sequence[Any]) -> tuple[DimLike, ...]:
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], (tuple, list)) else tuple(args)


@located
def reshape(x: Tensor, *shape: Any) -> Tensor:
    """The elements in another shape; one size may be -1."""
    return Reshape(x, reshape_target(x.shape, _sizes(shape)), allowzero=int(0 in _plain_ints(_sizes(shape))))


def _plain_ints(shape: Sequence[DimLike]) -> list[int]:
    return [] if has_dims(tuple(shape)) else [int(d) for d in shape]


@located
def flatten(x: Tensor, start: int = 0, end: int = -1) -> Tensor:
    """The axes start to end (inclusive) joined into one."""
    rank = len(x.shape)
    if rank == 0:
        return reshape(x, 1)
    start, end = normalize_axis(start, rank), normalize_axis(end, rank)
    return reshape(x, (*x.shape[:start], product(x.shape[start : end + 1]), *x.shape[end + 1 :]))


@located
def transpose(x: Tensor, *axes: Any) -> Tensor:
    """The axes in another order; reversed without arguments."""
    order = _sizes(axes)
    return Transpose(x, perm=tuple(normalize_axis(int(a), len(x.shape)) for a in order)) if order else Transpose(x)


def _axis_list(axis: Any) -> list[int] | None:
    return None if axis is None else list(axis) if isinstance(axis, (tuple, list)) else [axis]


def squeeze(x: Tensor, axis: Any = None) -> Tensor:
    """Without the axes named (or all) of size 1."""
    return Squeeze(x) if axis is None else Squeeze(x, _axis_list(axis))


def unsqueeze(x: Tensor, axis: Any) -> Tensor:
    """With a new axis of size 1."""
    return Unsqueeze(x, _axis_list(axis))


def expand(x: Tensor, *shape: Any) -> Tensor:
    """Broadcast to a shape; -1 keeps a size."""
    sizes = _sizes(shape)
    missing = len(sizes) - len(x.shape)
    full = tuple(x.shape[i - missing] if isinstance(d, int) and d == -1 else d for i, d in enumerate(sizes))
    return Expand(x, shape_tensor(full))


def accumulated(x: Tensor, dtype: Any, add_up: Callable[[Tensor], Tensor]) -> Tensor:
    """A sum or product in the dtype that it has: `dtype`, else for integers and bools the widest of their kind.

    Integers are added up in int64, for which the runtime has kernels: modulo 2 to the number of bits that is the same.
    """
    wide = np.uint64 if x.dtype.kind == "u" else np.int64 if x.dtype.kind in "ib" else x.dtype
    wanted = dtype_of(wide if dtype is None else dtype)
    x = astype(x, wanted)
    return astype(add_up(astype(x, np.int64) if wanted.kind in "iub" else x), wanted)


def _reduction(op: Op[Tensor]) -> Callable[..., Tensor]:
    def reduce(x: Tensor, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        axes = _axis_list(axis)
        if axes is None:
            return op(x, keepdims=int(keepdims))
        return op(x, axes, keepdims=int(keepdims)) if axes else x  # over no axes there is nothing to reduce

    reduce.__name__ = reduce.__qualname__ = op.name
    reduce.__doc__ = f"{op.__doc__} axis: an int, a tuple of ints or None for all."
    return reduce


def _accumulation(op: Op[Tensor]) -> Callable[..., Tensor]:
    reduce = _reduction(op)

    def accumulate(x: Tensor, axis: Any = None, *, keepdims: bool = False, dtype: Any = None) -> Tensor:
        if x.dtype.kind == "f" and dtype is None:
            return reduce(x, axis, keepdims=keepdims)
        return accumulated(x, dtype, lambda t: reduce(t, axis, keepdims=keepdims))

    accumulate.__doc__ = reduce.__doc__
    return accumulate


_mean = _reduction(ReduceMean)


def mean(x: Tensor, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """The mean of floats. Of integers it is no integer: refused, as / is (OperatorError IX131)."""
    if is_integer(x.dtype) or x.dtype.kind == "b":
        raise OperatorError(
            "IX131",
            "a mean of integers would lose the fraction or change the dtype",
            where=user_line(),
            found=f"{name_of(x.dtype)}{shape_text(x.shape)}",
            expected="a floating-point dtype",
            fix="convert it first: .astype('float32')",
        )
    over = _over(x, axis)
    if any(isinstance(d, Dim) and bounds(d)[0] < 1 for d in over):  # of nothing it is NaN; the runtime's is not
        return sum_(x, axis, keepdims=keepdims) / scalar_of(product(over), x.dtype)
    return _mean(x, axis, keepdims=keepdims)


def _over(x: Tensor, axis: Any) -> list[DimLike]:
    """The sizes of the axes that a reduction goes over."""
    rank = len(x.shape)
    return [x.shape[normalize_axis(a, rank)] for a in (range(rank) if axis is None else _axis_list(axis) or ())]


def _extreme(op: Op[Tensor]) -> Callable[..., Tensor]:
    reduce = _reduction(op)

    def extreme(x: Tensor, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        if x.dtype.name in ("int16", "uint16"):  # ONNX has no reductions of these
            return astype(reduce(astype(x, np.int32), axis, keepdims=keepdims), x.dtype)
        return reduce(x, axis, keepdims=keepdims)

    extreme.__doc__ = reduce.__doc__
    return extreme


@located
def var(x: Tensor, axis: Any = None, *, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The variance: the mean square distance from the mean, divided by n - correction."""
    centered = x - mean(x, axis, keepdims=True)
    squares = centered * centered
    if not correction:
        return mean(squares, axis, keepdims=keepdims)
    count = product(_over(x, axis))
    total = sum_(squares, axis, keepdims=keepdims)
    if isinstance(count, int):  # of no more elements than are corrected for: NaN, or inf, as in NumPy
        return total / max(0.0, count - correction)
    return total / Relu(scalar_of(count, x.dtype) - correction)


@located
def std(x: Tensor, axis: Any = None, *, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The standard deviation: the square root of `var`."""
    return Sqrt(var(x, axis, correction=correction, keepdims=keepdims))


def all_(x: Tensor, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Whether all elements are true (not zero)."""
    return _truth(ReduceMin, x, axis, keepdims)


def any_(x: Tensor, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Whether any element is true (not zero)."""
    return _truth(ReduceMax, x, axis, keepdims)


def _truth(op: Op[Tensor], x: Tensor, axis: Any, keepdims: bool) -> Tensor:
    # ReduceMin/Max of bool came with opset 20 and have no kernel in the runtime: int32 serves every opset
    ones = astype(x != 0 if x.dtype.kind != "b" else x, np.int32)
    axes = _axis_list(axis)
    if axes is None:
        return op(ones, keepdims=int(keepdims)) > 0
    return (op(ones, axes, keepdims=int(keepdims)) if axes else ones) > 0


def _position(op: Op[Tensor]) -> Callable[..., Tensor]:
    def find(x: Tensor, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        if axis is None:
            found = op(reshape(x, -1), axis=0, keepdims=0)
            return reshape(found, (1,) * len(x.shape)) if keepdims else found
        return op(x, axis=int(axis), keepdims=int(keepdims))

    find.__doc__ = op.__doc__
    return find


def clip(x: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Elements below min become min, above max become max. The bounds are numbers, or tensors that broadcast."""
    bounds = [None if b is None else b if isinstance(b, Tensor) else operand(b, x) for b in (min, max)]
    for i, bound in enumerate(bounds):
        if bound is not None:
            x, bounds[i] = promote(x, bound)
    low, high = (b if b is None else astype(b, x.dtype) for b in bounds)
    if all(b is None or not b.shape for b in (low, high)):
        return Clip(x, low, high)
    above = x if low is None else Max(x, low)
    return above if high is None else Min(above, high)


def _immutable(x: Tensor, key: Any, value: Any) -> None:
    raise OperatorError(
        "IX118",
        "a tensor is immutable",
        where=user_line(),
        found="an assignment to an index of a tensor",
        expected="a new tensor made of this one",
        fix="choose with where(mask, new, old), join parts with concat, or replace a Variable's value by .assign(...)",
    )


def _namespace(x: Tensor, *, api_version: str | None = None) -> Any:
    """The Array API namespace, `interchange.eager`. Raises OperatorError IX119 for another version of the standard."""
    import interchange.eager

    if api_version is not None and api_version not in interchange.eager.ARRAY_API_VERSIONS:
        raise OperatorError(
            "IX119",
            f"the namespace is not of the Array API {api_version}",
            where=user_line(),
            found=repr(api_version),
            expected=", ".join(interchange.eager.ARRAY_API_VERSIONS),
            fix="leave api_version out",
        )
    return interchange.eager


def _to_device(x: Tensor, device: Any, /, *, stream: Any = None) -> Tensor:
    """The tensor itself: there is one device, ``"cpu"``."""
    from interchange.eager.array_api.arguments import check_device

    check_device(device)
    return x


def _transposed(x: Tensor) -> Tensor:
    if len(x.shape) != 2:
        raise _not_a_matrix(x, ".T is for matrices", "2 axes", "use .mT for the last two axes, or .transpose(...)")
    return Transpose(x, perm=(1, 0))


def _matrix_transposed(x: Tensor) -> Tensor:
    n = len(x.shape)
    if n < 2:
        raise _not_a_matrix(x, ".mT swaps the last two axes", "at least 2 axes", "add an axis with None or unsqueeze")
    return Transpose(x, perm=(*range(n - 2), n - 1, n - 2))


def _not_a_matrix(x: Tensor, message: str, expected: str, fix: str) -> OperatorError:
    found = f"shape {shape_text(x.shape)}"
    return OperatorError("IX112", message, where=user_line(), found=found, expected=expected, fix=fix)


sum_, prod = _accumulation(ReduceSum), _accumulation(ReduceProd)
max_, min_ = _extreme(ReduceMax), _extreme(ReduceMin)
argmax, argmin = _position(ArgMax), _position(ArgMin)


def _install() -> None:
    """Give `Tensor` its operators and methods. Done once, at import."""
    for name, pair in {
        "add": _binary(Add),
        "sub": _binary(Sub),
        "mul": _binary(Mul),
        "truediv": _composed(divide),
        "floordiv": _composed(floor_divide),
        "mod": _composed(remainder),
        "pow": _composed(power),
        "matmul": _binary(MatMul, matmul),
        "and": _composed(bitwise(And, BitwiseAnd)),
        "or": _composed(bitwise(Or, BitwiseOr)),
        "xor": _composed(bitwise(Xor, BitwiseXor)),
        "lshift": _composed(shift_left),
        "rshift": _composed(shift_right),
    }.items():
        setattr(Tensor, f"__{name}__", pair[0])
        setattr(Tensor, f"__r{name}__", pair[1])
    for name, op in {"lt": Less, "le": LessOrEqual, "gt": Greater, "ge": GreaterOrEqual}.items():
        setattr(Tensor, f"__{name}__", _binary(op)[0])
    elementwise = _binary(Equal)[0]

    def equal(a: Tensor, b: Any) -> Any:
        # a sequence is compared element by element: Python's fallback would say a silent False
        if isinstance(b, (list, tuple)) or (isinstance(b, str) and a.dtype == object):
            b = wrap(to_array(b, a.dtype if is_float(a.dtype) else None))
        return elementwise(a, b)

    def not_equal(a: Tensor, b: Any) -> Any:
        same = equal(a, b)
        return same if same is NotImplemented else Not(same)

    methods: dict[str, Any] = {
        "__eq__": equal,
        "__ne__": not_equal,
        "__contains__": lambda x, value: bool(any_(x == value)),
        "__neg__": negative,
        "__pos__": lambda x: x,
        "__abs__": lambda x: Abs(x),
        "__invert__": lambda x: Not(x) if x.dtype.kind == "b" else BitwiseNot(x),
        "__getitem__": getitem,
        "__setitem__": _immutable,
        "__array_namespace__": _namespace,
        "to_device": _to_device,
        "T": property(_transposed),
        "mT": property(_matrix_transposed),
        "astype": astype,
        "reshape": reshape,
        "flatten": flatten,
        "transpose": transpose,
        "squeeze": squeeze,
        "unsqueeze": unsqueeze,
        "expand": expand,
        "sum": sum_,
        "mean": mean,
        "prod": prod,
        "max": max_,
        "min": min_,
        "var": var,
        "std": std,
        "all": all_,
        "any": any_,
        "argmax": argmax,
        "argmin": argmin,
        "exp": lambda x: Exp(x),
        "log": lambda x: Log(x),
        "sqrt": lambda x: Sqrt(x),
        "abs": lambda x: Abs(x),
        "tanh": lambda x: Tanh(x),
        "sigmoid": lambda x: Sigmoid(x),
        "relu": lambda x: Relu(x),
        "softmax": lambda x, axis=-1: Softmax(x, axis=axis),
        "clip": clip,
    }
    for name, function in methods.items():
        setattr(Tensor, name, function)


_install()
