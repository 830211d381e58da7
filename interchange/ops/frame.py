"""How an operator is defined, and what happens when it is called.

An operator is one short block: its kernel (whose parameters are ONNX's inputs, then, after ``*``, the attributes), its
shape rule, its gradient::

    @op(shape=broadcast)
    def Mul(A: Array, B: Array) -> Array:
        \"\"\"A * B, elementwise.\"\"\"
        return A * B

    @Mul.gradient
    def _(g: Tensor, A: Tensor, B: Tensor, A_shape: Shape, B_shape: Shape) -> Grads:
        return lambda: sum_to(g * B, A_shape), lambda: sum_to(g * A, B_shape)

A gradient rule asks by name for what it reads, and only that is kept until `backward`: inputs, outputs (by their names
in the schema), their ``_shape``, attributes, and ``g`` (``g_NAME`` where there are several outputs). It returns one
entry per input: a tensor, None, or a function that is called only when that input needs its gradient. Types, attribute
defaults and allowed values come from the schema registry, not from here.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any, Generic, Protocol, TypeVar, overload

import numpy as np

from interchange import schemas
from interchange.dims import Shape
from interchange.dtypes import Array, DType, is_float, name_of
from interchange.eager.tape import Node
from interchange.eager.tensor import Leaf, Tensor, mode, shape_text, to_array, traces, wrap
from interchange.errors import InterchangeError, OperatorError, SchemaError, user_line
from interchange.graph.tensor import Tensor as Weight

# inf and NaN are values, not news: a kernel's line is no place to warn of them, and np.errstate costs more than an Add
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"interchange\.ops\.")

Grads = Tensor | Callable[[], Tensor] | tuple[Tensor | Callable[[], Tensor | None] | None, ...] | None
Kernel = Callable[..., Any]
ShapeRule = Callable[..., Any]

R = TypeVar("R", covariant=True)  # what a call returns: Tensor, or a tuple of tensors

TABLE: dict[tuple[str, str], Op[Any]] = {}  # (domain, name) -> the operator: the whole vocabulary


class Op(Generic[R]):
    """An operator of the vocabulary. Call it with tensors (and attributes by keyword).

    outputs=n asks for n outputs where ONNX lets trailing ones be left out; several outputs come as a tuple.
    """

    def __init__(
        self,
        kernel: Kernel,
        *,
        shape: ShapeRule | None,
        domain: str = "",
        dtype: Callable[..., Any] | None = None,
        since: int = 1,
        runtime: int | Callable[..., int | None] | None = None,
        folds: bool = False,
    ) -> None:
        """See `op` for the parameters."""
        self.name, self.domain, self.kernel = kernel.__name__, domain, kernel
        self.__doc__, self.__name__ = kernel.__doc__, kernel.__name__
        self.shape_rule, self.dtype_rule, self.since = shape, dtype, since
        self.runtime, self.folds = runtime, folds
        parameters = inspect.signature(kernel).parameters.values()
        self.inputs = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY))
        self.variadic = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        self.keywords = frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        self.rule: Callable[..., Grads] | None = None
        self.fallback: Callable[..., Any] | None = None
        self.composed: Callable[..., bool] = lambda **_: False  # of the attributes: a trace always takes the fallback
        self._bound: dict[Any, Bound] = {}

    def __repr__(self) -> str:
        return f"<operator {self.name}>"

    @cached_property
    def schema(self) -> schemas.OpSchema:
        """The newest schema of the registry: what eager calls are validated against."""
        return schemas.schema(self.name, domain=self.domain)

    @cached_property
    def output_names(self) -> tuple[str, ...]:
        return tuple(o.name for o in self.schema.outputs)

    @cached_property
    def min_outputs(self) -> int:
        """How many outputs a call returns when it does not say."""
        return max(1, sum(o.option == "single" for o in self.schema.outputs))

    @cached_property
    def positions(self) -> frozenset[int]:
        """Which inputs hold axes, sizes or positions: lists of ints are taken there without further ado."""
        whole = {"tensor(int32)", "tensor(int64)"}
        allowed = [set(self.schema.type_constraints.get(f.type, (f.type,))) for f in self.schema.inputs]
        return frozenset(i for i, types in enumerate(allowed) if types <= whole)

    @cached_property
    def variadic_output(self) -> bool:
        """Whether a call returns a tuple even for one output (Split)."""
        return any(o.option == "variadic" for o in self.schema.outputs)

    # -- the parts of a definition -----------------------------------------------------------------------------------
    def shape(self, rule: ShapeRule) -> ShapeRule:
        """Decorate the shape rule: called as the kernel is, with tensors that have a shape, perhaps a known value."""
        self.shape_rule = rule
        return rule

    def gradient(self, rule: Callable[..., Grads]) -> Callable[..., Grads]:
        """Decorate the gradient rule."""
        self.rule = rule
        return rule

    def decompose(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate the same operator in other operators: used where the opset asked for does not have this one."""
        self.fallback = rule
        return rule

    # -- calling -----------------------------------------------------------------------------------------------------
    def __call__(self, *inputs: Any, **attributes: Any) -> R:
        if not attributes:
            return apply(self.default, inputs)  # type: ignore[no-any-return]
        if not attributes.keys().isdisjoint(self.inputs):
            inputs, attributes = self._named_inputs(inputs, attributes)
        return apply(self.bind(attributes), inputs)  # type: ignore[no-any-return]

    def _named_inputs(
        self, inputs: tuple[Any, ...], attributes: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        full = list(inputs) + [None] * (len(self.inputs) - len(inputs))
        rest = {}
        for name, value in attributes.items():
            if name in self.inputs:
                full[self.inputs.index(name)] = value
            else:
                rest[name] = value
        while full and full[-1] is None:
            full.pop()
        return tuple(full), rest

    def adapt_node(
        self, attributes: Mapping[str, Any], outputs: int, opset: int | None = None
    ) -> tuple[dict[int, Tensor], dict[str, Any]]:
        """A graph node's attributes as a call takes them: (constants by input position, attributes).

        What was an attribute in an older version and is an input by now becomes a constant. opset: complete with the
        defaults of that opset, where they differ from today's.
        """
        given = {k: v.numpy() if isinstance(v, Weight) else v for k, v in attributes.items()}
        if opset is not None:
            given = schemas.schema(self.name, opset, self.domain).check_attributes(given)
        constants = {
            i: wrap(_former_attribute(given.pop(name)))
            for i, name in enumerate(self.inputs)
            if name in given and name not in self.keywords
        }
        current = {k: v for k, v in given.items() if k in self.schema.attributes}
        if outputs != self.min_outputs and "num_outputs" not in current:
            current["outputs"] = outputs
        return constants, current

    def call_node(
        self, inputs: Sequence[Tensor | None], constants: Mapping[int, Tensor], attributes: Mapping[str, Any]
    ) -> list[Tensor]:
        """Call with what `adapt_node` gave; the outputs as a list."""
        full = list(inputs)
        for i, value in constants.items():
            full += [None] * (i + 1 - len(full))
            full[i] = value
        result: Any = self(*full, **attributes)
        return list(result) if isinstance(result, tuple) else [result]

    @cached_property
    def default(self) -> Bound:
        """Bound without attributes."""
        return self.bind({})

    def bind(self, attributes: Mapping[str, Any]) -> Bound:
        """The operator with these attributes, validated once and then found by one dictionary hit."""
        try:
            key = tuple([(k, type(v), v) for k, v in attributes.items()])
            found = self._bound.get(key)
        except TypeError:  # a list or an array
            key = tuple([(k, type(v), _hashable(v)) for k, v in attributes.items()])
            found = self._bound.get(key)
        if found is not None:
            return found
        given: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in attributes.items() if v is not None
        }
        outputs = given.pop("outputs", None)
        try:
            complete = self.schema.check_attributes(given)
        except SchemaError as error:
            raise OperatorError(
                "IX110", error.message, where=user_line(), found=error.found, expected=error.expected, fix=error.fix
            ) from None
        return self._bound.setdefault(key, Bound(self, complete, outputs))


def _hashable(value: Any) -> Any:
    """A key for an attribute's value: equal keys, equal values."""
    if isinstance(value, np.ndarray):
        return (
            value.dtype,
            value.shape,
            value.tobytes() if value.dtype.kind != "O" else tuple(value.reshape(-1).tolist()),
        )
    return tuple(value) if isinstance(value, list) else value


class TypeTable(dict[tuple[Any, ...], tuple[Any, ...]]):
    """Dtypes of the inputs -> dtypes of the outputs; a pair that was seen before is one dictionary hit."""

    def __init__(self, schema: schemas.OpSchema) -> None:
        self.schema = schema

    def __missing__(self, key: tuple[Any, ...]) -> tuple[Any, ...]:
        self[key] = found = self.schema.bind_types(key)
        return found


class Bound:
    """An operator with its attributes: complete, validated, and with the kernel and the gradient rule ready to call."""

    __slots__ = ("attributes", "kernel", "n_outputs", "op", "plan", "types")

    def __init__(self, op: Op[Any], attributes: dict[str, Any], outputs: int | None) -> None:
        self.op, self.attributes = op, attributes
        self.n_outputs = outputs if outputs is not None else attributes.get("num_outputs") or op.min_outputs
        known = self.keywords()
        self.kernel = partial(op.kernel, **known) if known else op.kernel
        self.types = TypeTable(op.schema)
        self.plan = _plan(op, known) if op.rule else None
        threshold = op.runtime(**known) if callable(op.runtime) else op.runtime
        if threshold is not None:
            from interchange.ops.sessions import with_session

            self.kernel = with_session(self, self.kernel, threshold)

    def keywords(self) -> dict[str, Any]:
        """The attributes the definition names, as it is called with them."""
        known = {k: v for k, v in self.attributes.items() if k in self.op.keywords}
        return known | ({"outputs": self.n_outputs} if "outputs" in self.op.keywords else {})

    def gradient(self, node: Node, grads: list[Tensor | None]) -> tuple[Any, ...]:
        """Run the gradient rule of a node: one entry per input."""
        assert self.plan is not None
        assert node.saved is not None
        arguments = list(node.saved)
        for position, (kind, index) in enumerate(self.plan):
            if kind == "g":
                arguments[position] = grads[index] if index < len(grads) else None  # not every output was asked for
            elif kind == "out":
                arguments[position] = _restore(arguments[position], node, index)
            elif kind == "gs":
                arguments[position] = grads
        assert self.op.rule is not None
        result = self.op.rule(*arguments)
        return result if isinstance(result, tuple) else (result,)


# What a gradient rule reads, in the order of its parameters: ("in" | "out" | "in_shape" | ..., index)
# or ("attr", value)
_Plan = tuple[tuple[str, Any], ...]


def _plan(op: Op[Any], attributes: Mapping[str, Any]) -> _Plan:
    sources: dict[str, tuple[str, Any]] = {"g": ("g", 0)}
    for i, name in enumerate(op.inputs):
        sources[name], sources[name + "_shape"] = ("in", i), ("in_shape", i)
    if op.variadic:
        sources[op.variadic] = ("rest", len(op.inputs))
        sources[op.variadic + "_shapes"] = ("rest_shapes", len(op.inputs))
    for i, name in enumerate(op.output_names):
        sources["g_" + name] = ("g", i)
        sources.setdefault(name, ("out", i))
        sources.setdefault(name + "_shape", ("out_shape", i))
    sources["gs"] = ("gs", 0)
    for name in op.keywords:
        sources[name] = ("attr", attributes.get(name))
    assert op.rule is not None
    return tuple(sources[name] for name in inspect.signature(op.rule).parameters)


def _former_attribute(value: Any) -> Array:
    """ints are int64, floats float32."""
    return np.asarray(value, np.float32 if isinstance(value, float) else None)


def save(plan: _Plan, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> tuple[Any, ...]:
    """What the gradient rule reads, in the order of its parameters."""
    saved: list[Any] = []
    for kind, i in plan:
        if kind == "in":
            x = inputs[i] if i < len(inputs) else None
            saved.append(x if x is None or type(x) is Tensor else x._snapshot())
        elif kind == "out":
            saved.append(outputs[i]._payload() if i < len(outputs) else None)
        elif kind == "in_shape":
            x = inputs[i] if i < len(inputs) else None
            saved.append(None if x is None else x.shape)
        elif kind == "attr":
            saved.append(i)
        elif kind == "out_shape":
            saved.append(outputs[i].shape if i < len(outputs) else None)
        elif kind == "rest":
            saved.append([None if x is None else x._snapshot() for x in inputs[i:]])
        elif kind == "rest_shapes":
            saved.append([None if x is None else x.shape for x in inputs[i:]])
        else:
            saved.append(None)
    return tuple(saved)


def _restore(payload: Any, node: Node, index: int) -> Tensor | None:
    """An output again as a tensor on the tape (a node keeps data only: no cycle between a tensor and its node)."""
    if payload is None:
        return None
    edge = None if not is_float(payload.dtype) else node if node.outputs == 1 else (node, index)
    if isinstance(payload, np.ndarray):
        tensor = wrap(payload)
        tensor._edge = edge
        return tensor
    return payload.traced(edge)  # type: ignore[no-any-return]


class _Define(Protocol):
    """The decorator `op(...)` gives: a kernel of one array makes an operator of one tensor, and so for tuples."""

    @overload
    def __call__(self, kernel: Callable[..., Array], /) -> Op[Tensor]: ...
    @overload
    def __call__(self, kernel: Callable[..., tuple[Array, ...]], /) -> Op[tuple[Tensor, ...]]: ...
    @overload
    def __call__(self, kernel: Callable[..., Any], /) -> Op[Any]: ...


def op(
    *,
    shape: ShapeRule | None = None,
    domain: str = "",
    dtype: Callable[..., Any] | None = None,
    since: int = 1,
    runtime: int | Callable[..., int | None] | None = None,
    folds: bool = False,
) -> _Define:
    """Define an operator by its kernel: ``@op(shape=same)``.

    shape: the shape rule, if one of `shape_rules` fits. dtype: a rule for the dtypes of outputs that do not follow from
    the inputs (Cast). since: the oldest version with these semantics; below it the decomposition is used.
    runtime: let a cached one-node ONNX Runtime session run it from this many elements on; a function of the attributes
    where it depends on them (None: never).
    folds: the kernel also runs on object arrays of sizes, so that arithmetic on shapes stays known in a trace.
    """

    def define(kernel: Kernel) -> Op[Any]:
        operator: Op[Any] = Op(
            kernel, shape=shape, domain=domain, dtype=dtype, since=since, runtime=runtime, folds=folds
        )
        TABLE[domain, operator.name] = operator
        return operator

    return define


# -- calling -----------------------------------------------------------------------------------------------------------
@lru_cache(maxsize=4096, typed=True)
def ints(*values: int) -> Tensor:
    """Axes, sizes or positions as an int64 tensor, made once."""
    if not all(type(v) is int for v in values):
        raise TypeError("not plain numbers")  # `_carefully` takes it from here
    return wrap(np.array(values, np.int64))


def apply(bound: Bound, inputs: Sequence[Any]) -> Any:
    """Run an operator now: types by one dictionary hit, the kernel, a node for the tape. All else is `_carefully`."""
    if traces.count:
        return _carefully(bound, inputs)
    try:
        if bound.op.positions and len(inputs) > 1:
            inputs = [ints(*x) if type(x) is list and i in bound.op.positions else x for i, x in enumerate(inputs)]
        arrays = [None if t is None else t._data for t in inputs]
        bound.types[tuple([None if a is None else a.dtype for a in arrays])]
        result = bound.kernel(*arrays)
    except Exception:  # whatever it was: the careful path finds the same fault again and explains it
        return _carefully(bound, inputs)
    return _finish(bound, inputs, result)


def _finish(bound: Bound, inputs: Sequence[Any], result: Any) -> Any:
    outputs = [wrap(r) for r in result] if type(result) is tuple else [wrap(result)]
    if mode.grad and bound.plan is not None:
        record(bound, inputs, outputs)
    if type(result) is not tuple or (bound.n_outputs == 1 and len(outputs) > 1):  # the others are for the gradient
        return outputs[0]
    return tuple(outputs[: bound.n_outputs])


def record(bound: Bound, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> None:
    """Put a node on the tape, if an input has an edge."""
    edges = tuple([None if x is None else x._edge for x in inputs])
    for edge in edges:
        if edge is not None:
            break
    else:
        return
    assert bound.plan is not None
    node = Node(bound, edges, save(bound.plan, inputs, outputs), len(outputs))
    if len(outputs) == 1:
        outputs[0]._edge = node if is_float(outputs[0].dtype) else None
    else:
        for i, out in enumerate(outputs):
            out._edge = (node, i) if is_float(out.dtype) else None


def _carefully(bound: Bound, inputs: Sequence[Any]) -> Any:
    """`apply` for everything out of the ordinary: Python numbers, arrays, traced tensors, and mistakes."""
    from interchange.eager.trace import active_trace
    from interchange.eager.traced import Traced

    op = bound.op
    tensors = [_as_tensor(x, i, bound, inputs) for i, x in enumerate(inputs)]
    check_arity(op, tensors)
    trace = active_trace()
    if trace is not None and any(trace.concerns(t) for t in tensors):
        return trace.record(bound, tensors)
    for t in tensors:
        if isinstance(t, Traced):
            raise t.leaked()
    types_of(bound, tensors, bound.types)
    if op.shape_rule is not None:
        shapes_of(bound, tensors)
    try:
        with np.errstate(all="ignore"):
            result = bound.kernel(*[None if t is None else t._data for t in tensors])
    except InterchangeError:
        raise
    except (ValueError, IndexError, TypeError, ArithmeticError, RuntimeError, AttributeError) as error:
        raise OperatorError(
            "IX112",
            f"{op.name} cannot run on these inputs: {error}",
            where=user_line(),
            found=describe(op, tensors),
            expected=op.schema.signature(),
            fix=f"see the operator's documentation: interchange schema {op.name}",
        ) from error
    return _finish(bound, tensors, result)


def describe(op: Op[Any], tensors: Sequence[Tensor | None]) -> str:
    """``A: float32[2, 3], B: float32[4]``: the inputs by name."""
    formals = op.schema.inputs
    names = [
        f"{formals[-1].name}[{i - len(formals) + 1}]" if i >= len(formals) else formals[i].name
        for i in range(len(tensors))
    ]
    return ", ".join(
        f"{n}: {name_of(t.dtype)}{shape_text(t.shape)}" for n, t in zip(names, tensors, strict=True) if t is not None
    )


def check_arity(op: Op[Any], tensors: Sequence[Tensor | None]) -> None:
    """Refuse too many inputs and missing ones (OperatorError IX113)."""
    schema = op.schema
    missing = [
        f.name
        for i, f in enumerate(schema.inputs)
        if f.option == "single" and (i >= len(tensors) or tensors[i] is None)
    ]
    if missing or len(tensors) > schema.max_inputs:
        raise OperatorError(
            "IX113",
            f"{op.name} takes other inputs",
            where=user_line(),
            found=f"{len(tensors)} inputs" + (f", without {', '.join(missing)}" if missing else ""),
            expected=schema.signature(),
            fix="pass attributes by keyword and every required input",
        )


def types_of(bound: Bound, tensors: Sequence[Tensor | None], table: TypeTable) -> tuple[DType, ...]:
    """The dtypes of the outputs; OperatorError IX111 where the inputs' dtypes are not allowed."""
    try:
        found = table[tuple([None if t is None else t.dtype for t in tensors])]
    except SchemaError as error:
        raise OperatorError(
            "IX111",
            error.message,
            where=user_line(),
            found=describe(bound.op, tensors),
            expected=error.expected,
            fix=error.fix or "convert one side with .astype(...)",
        ) from None
    if bound.op.dtype_rule is not None:
        ruled = bound.op.dtype_rule(*tensors, **bound.keywords())
        return ruled if isinstance(ruled, tuple) else (np.dtype(ruled), *found[1:])
    return found


def shapes_of(bound: Bound, tensors: Sequence[Tensor | None]) -> list[Shape]:
    """The shapes of the outputs; OperatorError IX112 where the inputs' shapes do not fit."""
    op = bound.op
    assert op.shape_rule is not None
    try:
        result = op.shape_rule(*tensors, **bound.keywords())
    except OperatorError as error:
        if error.code == "IX112" and error.where is None:
            error.message = f"{op.name}: {error.message}"
            error.where, error.found = user_line(), error.found or describe(op, tensors)
        raise
    return list(result) if isinstance(result, list) else [result]


def _as_tensor(x: Any, index: int, bound: Bound, inputs: Sequence[Any]) -> Tensor | None:
    """An input as a tensor. A Python number takes the dtype of the tensors it shares a type variable with."""
    if x is None or isinstance(x, Tensor):
        return x
    from interchange.ops.shape_tools import has_dims, shape_tensor

    if has_dims(x):
        return shape_tensor(x)
    formals = bound.op.schema.inputs
    formal = formals[min(index, len(formals) - 1)]
    dtype = None
    if not hasattr(x, "dtype"):
        for j, other in enumerate(inputs):
            if isinstance(other, Tensor) and formals[min(j, len(formals) - 1)].type == formal.type:
                dtype = other.dtype
                break
        if dtype is None and isinstance(x, (list, tuple)) and not x:
            dtype = np.dtype(np.int64)  # the only empty sequences operators take are axes and shapes
        if dtype is not None and isinstance(x, float) and not is_float(dtype) and not x.is_integer():
            raise OperatorError(
                "IX114",
                f"{bound.op.name} of a {name_of(dtype)} tensor and {x} would lose the fraction",
                where=user_line(),
                found=f"{name_of(dtype)} and the Python number {x}",
                expected="a number of the tensor's dtype",
                fix="convert the tensor first: .astype('float32')",
            )
    return wrap(to_array(x, dtype))


__all__ = ["TABLE", "Bound", "Grads", "Leaf", "Op", "apply", "op"]
