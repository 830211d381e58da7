"""`Tensor`: an array that remembers how it was computed. `Variable`, `Parameter`, `Buffer`: tensors with an identity.

A tensor is immutable: no operation writes into it. What changes over time is a Variable, by `assign`.
The operators are bound to the vocabulary in `interchange.eager.operators`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from interchange.dims import DimLike, Shape
from interchange.dtypes import Array, DType, dtype_of, is_float, is_integer, name_of
from interchange.errors import OperatorError, user_line

Edge = Any  # Leaf | Node | tuple[Node, int] | None: where a gradient goes; mypy sees the three in tape.py


class Leaf:
    """Where the gradient of a leaf tensor accumulates."""

    __slots__ = ("grad", "hooks")

    def __init__(self) -> None:
        self.grad: Tensor | None = None
        self.hooks: list[Callable[[Tensor], Tensor | None]] = []


class _Mode(threading.local):
    """Whether operations are recorded for `backward` in this thread."""

    grad = True


mode = _Mode()


class _Traces:
    """How many traces are going on, in all threads: while it is 0, dispatch need not look for traced tensors."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def add(self, change: int) -> None:
        """One more, or one less; a count that two threads spoilt would let a trace take a variable for a constant."""
        with self._lock:
            self.count += change


traces = _Traces()


def current_trace() -> Any:
    """The trace that is going on in this thread, or None."""
    if not traces.count:
        return None
    from interchange.eager.trace import active_trace

    return active_trace()


class no_grad:  # noqa: N801  as everybody calls it
    """Operations inside are not recorded for `backward`: ``with no_grad(): ...`` or ``@no_grad()``."""

    recording: ClassVar[bool] = False

    def __init__(self) -> None:
        self._before: list[bool] = []  # one may be entered again before it is left

    def __enter__(self) -> None:
        self._before.append(mode.grad)
        mode.grad = self.recording

    def __exit__(self, *exc: object) -> None:
        mode.grad = self._before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        import functools

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return function(*args, **kwargs)

        return wrapped


class enable_grad(no_grad):  # noqa: N801
    """Operations inside are recorded again, within a `no_grad`."""

    recording = True


class Tensor:
    """An n-dimensional array with a dtype, a shape and, where it was asked for, a gradient.

    Tensor(data, dtype=None, requires_grad=False) copies `data` (an array, a nested sequence, a number); a Python float
    becomes float32, a Python int int64. `asarray` shares memory with a numpy array instead.
    """

    __slots__ = ("__weakref__", "_data", "_edge")
    __array_priority__ = 1000.0  # numpy's operators defer to ours
    _data: Array
    _edge: Edge

    def __init__(self, data: Any, dtype: Any = None, *, requires_grad: bool = False) -> None:
        self._data = to_array(data, dtype, copy=True)
        self._edge = None
        if requires_grad:
            self.requires_grad = True

    # -- what it is --------------------------------------------------------------------------------------------------
    @property
    def dtype(self) -> DType:
        """The element type, a `np.dtype`."""
        return self._data.dtype

    @property
    def shape(self) -> Shape:
        """The sizes of the axes: ints; symbolic `Dim`s while a model is traced."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> DimLike:
        """The number of elements."""
        from interchange.dims import product

        return product(self.shape)

    @property
    def device(self) -> str:
        """Always ``cpu`` (Array API)."""
        return "cpu"

    # -- gradients ---------------------------------------------------------------------------------------------------
    @property
    def requires_grad(self) -> bool:
        """Whether `backward` reaches this tensor. May be set on a leaf of a floating-point dtype."""
        return self._edge is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not self.is_leaf:
            raise OperatorError(
                "IX101",
                "requires_grad can only be changed on a leaf tensor",
                where=user_line(),
                found="the result of an operation",
                expected="a tensor that was not computed from others that require a gradient",
                fix="call .detach() first",
            )
        if value and not is_float(self.dtype):
            raise OperatorError(
                "IX102",
                f"a {name_of(self.dtype)} tensor has no gradient",
                where=user_line(),
                found=name_of(self.dtype),
                expected="a floating-point dtype",
                fix="convert it: .astype('float32')",
            )
        if value != self.requires_grad:
            self._edge = Leaf() if value else None

    @property
    def is_leaf(self) -> bool:
        """Whether it is not the recorded result of an operation."""
        return self._edge is None or isinstance(self._edge, Leaf)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` accumulated here, or None. Leaves only."""
        if not isinstance(self._edge, Leaf):
            return None
        trace = current_trace()
        return trace.gradient(self._edge) if trace else self._edge.grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if not isinstance(self._edge, Leaf):
            raise OperatorError(
                "IX101",
                "only a leaf tensor that requires a gradient holds one",
                where=user_line(),
                found="a tensor without requires_grad" if self._edge is None else "the result of an operation",
                expected="a Parameter, or Tensor(..., requires_grad=True)",
                fix="set requires_grad first",
            )
        trace = current_trace()
        if trace:
            trace.set_gradient(self._edge, value)
        else:
            self._edge.grad = value

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Callable[[], None]:
        """Call `hook(grad)` when the gradient of this leaf is complete; what it returns, if not None, replaces it.

        Returns a function that removes the hook.
        """
        if not isinstance(self._edge, Leaf):
            raise OperatorError(
                "IX101",
                "a hook can only be set on a leaf tensor that requires a gradient",
                where=user_line(),
                found="a tensor without requires_grad" if self._edge is None else "the result of an operation",
                expected="a Parameter, or Tensor(..., requires_grad=True)",
                fix="set the hook on the parameter, or use Module.register_forward_hook",
            )
        hooks = self._edge.hooks
        hooks.append(hook)
        return lambda: hooks.remove(hook)

    def backward(
        self, gradient: Tensor | None = None, *, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Accumulate the gradient of this tensor into `.grad` of every leaf that it was computed from.

        gradient: shape and dtype of this tensor; may be left out for a tensor of one element.
        retain_graph: keep what was saved, to call backward again. create_graph: the gradients can be differentiated.
        """
        from interchange.eager.tape import backward

        backward(self, gradient, retain_graph=retain_graph, create_graph=create_graph)

    def _payload(self) -> Any:
        """What the tape keeps of an output: the data without the history."""
        return self._data

    def _snapshot(self) -> Tensor:
        """What the tape keeps of an input: of a Variable, which may be assigned later, its present value."""
        return self

    def _known(self) -> Array | None:
        """The elements, if they are known now: always, but for traced tensors."""
        return self._data

    def detach(self) -> Tensor:
        """The same data, cut off from its history."""
        return wrap(self._data)

    def as_leaf(self) -> Tensor:
        """The same data as a new leaf that requires a gradient."""
        leaf = self.detach()
        leaf.requires_grad = True
        return leaf

    # -- numpy, DLPack, Python ---------------------------------------------------------------------------------------
    def numpy(self) -> Array:
        """The data as a read-only numpy array, without a copy."""
        view = self._data.view()
        view.flags.writeable = False
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if dtype is not None and np.dtype(dtype) != self.dtype:
            if copy is False:
                raise ValueError(f"a {name_of(self.dtype)} tensor is no {np.dtype(dtype)} array without a copy")
            return self._data.astype(dtype)
        return self._data.copy() if copy else self.numpy()

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        asked = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
        try:
            return self._data.__dlpack__(**{k: v for k, v in asked.items() if v is not None})
        except (BufferError, TypeError) as error:
            raise BufferError(f"a {name_of(self.dtype)} tensor is not exported by DLPack: {error}") from None

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def item(self) -> Any:
        """The Python number of a tensor of one element."""
        return self._data.item()

    def tolist(self) -> Any:
        """The data as nested Python lists."""
        return self._data.tolist()

    def _scalar(self, kind: str) -> Any:
        if self._data.size != 1:
            raise OperatorError(
                "IX103",
                f"{kind}() takes a tensor of one element",
                where=user_line(),
                found=f"shape {shape_text(self.shape)}",
                expected="one element",
                fix="reduce it first, for example with .all(), .any(), .sum() or an index",
            )
        return self._data.item()

    def __bool__(self) -> bool:
        return bool(self._scalar("bool"))

    def __int__(self) -> int:
        return int(self._scalar("int"))

    def __float__(self) -> float:
        return float(self._scalar("float"))

    def __complex__(self) -> complex:
        return complex(self._scalar("complex"))

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(f"a {name_of(self.dtype)} tensor is not an index")
        return int(self._scalar("index"))

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor without axes has no length")
        return self.shape[0]  # type: ignore[return-value]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        text = np.array2string(self._data, separator=", ", threshold=100, prefix=f"{type(self).__name__}(")
        grad = ", requires_grad=True" if self.requires_grad else ""
        return f"{type(self).__name__}({text}, dtype={name_of(self.dtype)}{grad})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        new = wrap(self._data.copy())
        if isinstance(self._edge, Leaf):
            new._edge = Leaf()
        return new

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), np.array(self._data), isinstance(self._edge, Leaf))

    if TYPE_CHECKING:  # bound to the vocabulary by interchange.eager.operators
        T: Tensor
        mT: Tensor  # noqa: N815

        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __rfloordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __rmod__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __rand__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __ror__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __rxor__(self, other: Any) -> Tensor: ...
        def __lshift__(self, other: Any) -> Tensor: ...
        def __rlshift__(self, other: Any) -> Tensor: ...
        def __rshift__(self, other: Any) -> Tensor: ...
        def __rrshift__(self, other: Any) -> Tensor: ...
        def __eq__(self, other: object) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: object) -> Tensor: ...  # type: ignore[override]
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __pos__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __getitem__(self, key: Any) -> Tensor: ...
        def __array_namespace__(self, *, api_version: str | None = None) -> Any: ...
        def to_device(self, device: str, /, *, stream: Any = None) -> Tensor: ...
        def astype(self, dtype: Any) -> Tensor: ...
        def reshape(self, *shape: Any) -> Tensor: ...
        def flatten(self, start: int = 0, end: int = -1) -> Tensor: ...
        def transpose(self, *axes: Any) -> Tensor: ...
        def squeeze(self, axis: Any = None) -> Tensor: ...
        def unsqueeze(self, axis: Any) -> Tensor: ...
        def expand(self, *shape: Any) -> Tensor: ...
        def sum(self, axis: Any = None, *, keepdims: bool = False) -> Tensor: ...
        def mean(self, axis: Any = None, *, keepdims: bool = False) -> Tensor: ...
        def prod(self, axis: Any = None, *, keepdims: bool = False) -> Tensor: ...
        def max(self, axis: Any = None, *, keepdims: bool = False) -> Tensor: ...
        def min(self, axis: Any = None, *, keepdims: bool = False) -> Tensor: ...
        def var(self, axis: Any = None, *, correction: float = 0.0, keepdims: bool = False) -> Tensor: ...
        def std(self, axis: Any = None, *, correction: float = 0.0, keepdims: bool = False) -> Tensor: ...
        def all(self, axis: Any = None, *, keepdims: bool = False) -> Tensor: ...
        def any(self, axis: Any = None, *, keepdims: bool = False) -> Tensor: ...
        def argmax(self, axis: Any = None, *, keepdims: bool = False) -> Tensor: ...
        def argmin(self, axis: Any = None, *, keepdims: bool = False) -> Tensor: ...
        def exp(self) -> Tensor: ...
        def log(self) -> Tensor: ...
        def sqrt(self) -> Tensor: ...
        def abs(self) -> Tensor: ...
        def tanh(self) -> Tensor: ...
        def sigmoid(self) -> Tensor: ...
        def relu(self) -> Tensor: ...
        def softmax(self, axis: int = -1) -> Tensor: ...
        def clip(self, min: Any = None, max: Any = None) -> Tensor: ...


class Variable(Tensor):
    """A tensor with an identity, whose value `assign` replaces: what a model, an optimiser or a generator keeps.

    In a trace the first read is an input of the graph and the last `assign` an output.
    """

    __slots__ = ("name",)

    def __init__(self, data: Any, dtype: Any = None, *, requires_grad: bool = False, name: str | None = None) -> None:
        super().__init__(data, dtype, requires_grad=requires_grad)
        self.name = name

    def __deepcopy__(self, memo: dict[int, Any]) -> Variable:
        return _rebuild_variable(type(self), self._data.copy(), isinstance(self._edge, Leaf), self.name)

    def __reduce__(self) -> Any:
        return _rebuild_variable, (type(self), np.array(self._data), isinstance(self._edge, Leaf), self.name)

    def _snapshot(self) -> Tensor:
        now = wrap(self._data)
        now._edge = self._edge
        return now

    def assign(self, value: Any) -> None:
        """Replace the value. Shape and dtype stay; gradients of what was computed before use the old value.

        Raises OperatorError IX104 for another shape or dtype.
        """
        trace = current_trace()
        new = value if isinstance(value, Tensor) else wrap(to_array(value, self.dtype))
        before = trace.read(self) if trace else self
        if new.dtype != self.dtype or not _equal_shapes(new.shape, before.shape):
            raise OperatorError(
                "IX104",
                f"cannot assign another shape or dtype to {self.name or 'a variable'}",
                where=user_line(),
                found=f"{name_of(new.dtype)}{shape_text(new.shape)}",
                expected=f"{name_of(self.dtype)}{shape_text(before.shape)}",
                fix="reshape or cast the value first",
            )
        if trace:
            trace.write(self, new)
        else:
            self._data = new._data


class Parameter(Variable):
    """A Variable that is trained: `Parameter(data)` requires a gradient."""

    __slots__ = ()

    def __init__(self, data: Any, dtype: Any = None, *, requires_grad: bool = True, name: str | None = None) -> None:
        super().__init__(data, dtype, requires_grad=requires_grad, name=name)


class Buffer(Variable):
    """A Variable that is kept but not trained: running statistics, a counter."""

    __slots__ = ()


def wrap(data: Array) -> Tensor:
    """A Tensor around `data` itself, without a copy and without a history."""
    tensor = object.__new__(Tensor)
    tensor._data = data if type(data) is np.ndarray else np.asarray(data)
    tensor._edge = None
    return tensor


_DEFAULTS: dict[str, DType] = {"f": np.dtype(np.float32), "i": np.dtype(np.int64)}  # of Python's numbers, by kind


def to_array(data: Any, dtype: Any = None, *, copy: bool | None = None) -> Array:
    """A numpy array of `data`. Python floats are float32 and ints int64 unless `dtype` says otherwise.

    Raises OperatorError IX105 for what is no array, IX114 for integers that `dtype` cannot hold.
    """
    wanted = None if dtype is None else dtype_of(dtype)
    if isinstance(data, Tensor):
        data = data.numpy()
    array = _array(data)
    if not hasattr(data, "dtype"):
        if wanted is None:
            wanted = _DEFAULTS.get(array.dtype.kind)
        elif array.dtype.kind in "iu" and is_integer(wanted):
            _must_hold(array, wanted)
    wanted = dtype_of(array.dtype) if wanted is None else wanted
    if array.dtype == wanted:
        return np.array(array) if copy else array
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(wanted)


def _array(data: Any) -> Array:
    try:
        array = np.asarray(data)
    except (ValueError, TypeError, OverflowError) as error:  # ragged; or a foreign tensor of a dtype that NumPy lacks
        raise _no_tensor(data, str(error)) from None
    if array.dtype == object and not all(isinstance(v, str) for v in array.flat):
        other = next(type(v).__name__ for v in array.flat if not isinstance(v, str))
        raise _no_tensor(data, f"it holds a {other}" if other != "int" else "an integer of more than 64 bits")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _no_tensor(data: Any, why: str) -> OperatorError:
    return OperatorError(
        "IX105",
        "this does not make a tensor",
        where=user_line(),
        found=f"{type(data).__name__}: {why}",
        expected="a number, an array, or nested sequences of equal length",
        fix="pad or split ragged data; convert foreign arrays to a dtype that NumPy has",
    )


def _must_hold(numbers: Array, dtype: DType) -> None:
    import ml_dtypes

    info: Any = ml_dtypes.iinfo(dtype)  # type: ignore[no-untyped-call]
    low, high = int(info.min), int(info.max)
    for value in (numbers.min(initial=0), numbers.max(initial=0)):
        if not low <= int(value) <= high:
            raise OperatorError(
                "IX114",
                f"the Python number {value} does not fit a {name_of(dtype)} tensor",
                where=user_line(),
                found=str(value),
                expected=f"integers from {low} to {high}",
                fix="choose a wider dtype",
            )


def shape_text(shape: Sequence[object]) -> str:
    """``[batch, 3]``"""
    return f"[{', '.join(map(str, shape))}]"


def _equal_shapes(a: Shape, b: Shape) -> bool:
    from interchange.dims import same_shape

    return a == b if all(type(d) is int for d in a + b) else same_shape(a, b)


def _rebuild(cls: type[Tensor], data: Array, requires_grad: bool) -> Tensor:
    return cls(data, requires_grad=requires_grad)


def _rebuild_variable(cls: type[Variable], data: Array, requires_grad: bool, name: str | None) -> Variable:
    return cls(data, requires_grad=requires_grad, name=name)
