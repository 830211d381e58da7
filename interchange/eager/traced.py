"""What stands for a tensor while a model is traced: `Symbolic` (what is known of a value) and `Traced` (the tensor)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from interchange.dims import Dim, Shape, must_be_number
from interchange.dtypes import Array, DType, name_of
from interchange.eager.tensor import Edge, Tensor, shape_text
from interchange.errors import TraceError, user_line
from interchange.graph.core import Value

if TYPE_CHECKING:
    from interchange.eager.trace import Trace


class Symbolic:
    """What a trace knows of a value: its dtype and shape and, for constants and sizes, its elements."""

    __slots__ = ("dtype", "known", "shape", "trace", "value")

    def __init__(self, trace: Trace, value: Value, dtype: DType, shape: Shape, known: Array | None = None) -> None:
        self.trace, self.value, self.dtype, self.shape, self.known = trace, value, dtype, shape, known

    def traced(self, edge: Edge = None) -> Traced:
        """A tensor that stands for the value."""
        tensor = object.__new__(Traced)
        tensor._symbolic, tensor._edge = self, edge
        return tensor


class Traced(Tensor):
    """A tensor of a model that is being traced: dtype and shape, no data."""

    __slots__ = ("_symbolic",)
    _symbolic: Symbolic

    @property
    def dtype(self) -> DType:
        return self._symbolic.dtype

    @property
    def shape(self) -> Shape:
        return self._symbolic.shape

    def _payload(self) -> Symbolic:
        return self._symbolic

    def _known(self) -> Array | None:
        return self._symbolic.known

    def detach(self) -> Tensor:
        return self._symbolic.traced()

    def _no_value(self, what: str, fix: str) -> NoReturn:
        raise TraceError(
            "IX203",
            f"{what} of a traced tensor: its value is not known before the model runs",
            where=user_line(),
            found=f"{what} of {name_of(self.dtype)}{shape_text(self.shape)}",
            expected="only operations on tensors while a model is traced",
            fix=fix,
        )

    def _scalar(self, kind: str) -> Any:
        known = self._symbolic.known
        if known is None or known.size != 1 or isinstance(known.reshape(-1)[0], Dim):
            self._no_value(f"{kind}()", "choose with where(condition, a, b); pass what is fixed as a Python value")
        return known.reshape(-1)[0]

    def numpy(self) -> Array:
        self._no_value("numpy()", "use the operations of interchange.eager instead of numpy's")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        self._no_value("a numpy array", "use the operations of interchange.eager instead of numpy's")

    def __dlpack__(self, **kwargs: Any) -> Any:
        self._no_value("the memory", "use the operations of interchange.eager")

    def item(self) -> Any:
        return self._scalar("item")

    def tolist(self) -> Any:
        self._no_value("tolist()", "iterate over sizes that are fixed, and index the tensor")

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor without axes has no length")
        size = self.shape[0]
        if isinstance(size, Dim):
            must_be_number(size)
            raise TraceError(
                "IX201",
                f"len() of a traced tensor whose first size, {size}, is not a number",
                where=user_line(),
                found=f"len() of {name_of(self.dtype)}{shape_text(self.shape)}",
                expected="x.shape[0], which stays symbolic",
                fix=f"use x.shape[0]; to loop over the axis make {size} static",
            )
        return size

    def __repr__(self) -> str:
        return f"Traced({name_of(self.dtype)}{shape_text(self.shape)})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return self

    def __reduce__(self) -> Any:
        self._no_value("a pickle", "save parameters after the trace")

    def leaked(self) -> TraceError:
        """The error for a tensor that outlived its trace."""
        return TraceError(
            "IX204",
            "a traced tensor was kept and used after its trace had ended",
            where=user_line(),
            found=f"{self!r} from an earlier export",
            expected="tensors of the trace that is going on",
            fix="return what you need from the model instead of storing it in a variable or attribute",
        )
