"""Kernels that ONNX Runtime runs better: one cached one-node session per operator, attributes, dtypes and ranks.

A session costs about 0.4 ms to make and 5 us to call, so it is kept for the life of the process. Where the runtime has
no kernel for the dtypes (Conv in float64), the operator's own numpy kernel runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from interchange.dtypes import Array
from interchange.eager.tensor import wrap

if TYPE_CHECKING:
    from interchange.ops.frame import Bound

Run = Callable[..., Any]
_NATIVE = "fiubO"  # kinds of dtype the runtime's Python binding takes as they are (ml_dtypes' are of kind V)
_threads = 1
_MANY = 4096  # shapes an operator is known to take; beyond that they are checked again


def set_threads(count: int) -> None:
    """How many threads one eager operation may use in ONNX Runtime (default 1). For operations not yet run."""
    global _threads
    _threads = count


def with_session(bound: Bound, kernel: Run, threshold: int) -> Run:
    """`kernel`, but run by ONNX Runtime from `threshold` elements of the first input on."""
    by_rank: dict[Any, Run | None] = {}
    by_shape: dict[Any, Run | None] = {}

    def find(arrays: tuple[Array | None, ...]) -> Run | None:
        """The session for new shapes, checked first: the runtime runs some that the operator does not take."""
        from interchange.ops.frame import shapes_of

        if bound.op.shape_rule is not None:
            shapes_of(bound, [None if a is None else wrap(a) for a in arrays])
        if len(by_shape) > _MANY:
            by_shape.clear()
        key = tuple([None if a is None else (a.dtype, _dims(a)) for a in arrays])
        if key not in by_rank:
            by_rank[key] = _make(bound, arrays)
        return by_rank[key]

    def run(*arrays: Array | None) -> Any:
        first = arrays[0]
        if first is None or first.size < max(threshold, 1):
            return kernel(*arrays)
        key = tuple([None if a is None else (a.dtype, a.shape) for a in arrays])
        try:
            session = by_shape[key]
        except KeyError:
            session = by_shape[key] = find(arrays)
        if session is None:
            return kernel(*arrays)
        try:
            return session(*arrays)
        except Exception:  # what the runtime refuses when it runs, the kernel computes, or explains
            return kernel(*arrays)

    return run


def _dims(a: Array) -> tuple[int | str, ...]:
    """The dimensions a session is made for: any; but shape inference asks for the length of a list of sizes."""
    return a.shape if a.ndim == 1 and a.dtype == np.int64 else tuple(map(str, range(a.ndim)))


def _make(bound: Bound, arrays: tuple[Array | None, ...]) -> Run | None:
    """A session for inputs like these, as a function; None where the runtime has no kernel."""
    given = [a for a in arrays if a is not None]
    if any(a.dtype.kind not in _NATIVE for a in given):
        return None
    import onnxruntime as ort
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, NotImplemented

    from interchange.graph.core import Attr, Graph, ModelIR, Node, Value
    from interchange.graph.proto import to_proto
    from interchange.schemas.targets import ir_for_opset

    op = bound.op
    inputs = [
        None
        if a is None
        else Value(f"x{i}", a.dtype, tuple(f"d{i}_{d}" if isinstance(d, str) else d for d in _dims(a)))
        for i, a in enumerate(arrays)
    ]
    opset = _opset(op.schema.since)
    dtypes = [None if a is None else a.dtype for a in arrays]
    types = bound.types[tuple(dtypes)]
    outputs = [Value(f"y{i}", types[i] if types[i] is not None else given[0].dtype) for i in range(bound.n_outputs)]
    attributes = {k: Attr.of(v) for k, v in bound.attributes.items()}
    node = Node(op.name, inputs, outputs, attributes, domain=op.domain)
    graph = Graph("one", [v for v in inputs if v is not None], outputs, [node])
    model = ModelIR(graph, opsets={"": opset, **({op.domain: 1} if op.domain else {})}, ir_version=ir_for_opset(opset))
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = _threads, 1
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"])
    except (NotImplemented, InvalidGraph, Fail, InvalidArgument):
        return None
    names = [v.name for v in outputs]
    slots = [(i, v.name) for i, v in enumerate(inputs) if v is not None]
    execute = session.run

    if len(names) == 1:
        return lambda *xs: execute(names, {n: np.ascontiguousarray(xs[i]) if xs[i].ndim else xs[i] for i, n in slots})[
            0
        ]
    return lambda *xs: tuple(
        execute(names, {n: np.ascontiguousarray(xs[i]) if xs[i].ndim else xs[i] for i, n in slots})
    )


def _opset(since: int) -> int:
    """An opset whose operators the installed runtime has kernels for: 21, unless this one is newer."""
    return max(21, since)
