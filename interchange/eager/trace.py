"""Tracing: the vocabulary called with tensors that have a dtype and a (symbolic) shape but no data records a graph.

Nothing is computed and nothing is guessed: asking a traced tensor for its value is an error that names the line and the
remedy, and so is a comparison of sizes whose answer depends on the input. What an operator itself requires of the sizes
becomes a guard of the graph.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from interchange import schemas
from interchange.dims import (
    Condition,
    Dim,
    DimLike,
    Guard,
    Shape,
    _Symbol,
    bounds,
    deciders,
    hint,
    require,
    symbols,
    undecidable,
)
from interchange.dtypes import Array, DType
from interchange.eager.known import folded, sizes_array
from interchange.eager.tensor import Leaf, Parameter, Tensor, Variable, mode, no_grad, traces, wrap
from interchange.eager.traced import Symbolic, Traced
from interchange.errors import SchemaError, TraceError, user_line
from interchange.graph.core import Attr, Graph, ModelIR, Node, Value
from interchange.graph.naming import Names
from interchange.graph.tensor import Tensor as Weight


class _Active(threading.local):
    """The traces that are going on in this thread, innermost last."""

    def __init__(self) -> None:
        self.stack: list[Trace] = []


_active = _Active()


class _Structure:
    """How often a module got or lost a part or a hook: while the number is the same, so are all modules."""

    changes = 0


structure = _Structure()


def active_trace() -> Trace | None:
    """The innermost trace of this thread."""
    return _active.stack[-1] if _active.stack else None


def require_trace() -> Trace:
    """The innermost trace; symbolic sizes only make sense within one (TraceError IX204)."""
    trace = active_trace()
    if trace is None:
        raise TraceError(
            "IX204",
            "a symbolic size was used after its trace had ended",
            where=user_line(),
            found="a Dim outside of a trace",
            expected="numbers",
            fix="do not keep shapes of traced tensors in variables that outlive the model's call",
        )
    return trace


class RefineError(Exception):
    """In an automatic trace: two sizes must be equal, so the trace begins again with fewer free dimensions."""

    def __init__(self, a: DimLike, b: DimLike) -> None:
        self.pair = a, b


class Trace:
    """A graph in the making.

    opset: the version of ai.onnx to write. names: names for variables by id. specialise: answer undecidable comparisons
    from the example's sizes and keep a guard (compile), instead of refusing them (export).
    refine: raise `RefineError` where two sizes must be equal (dynamic="auto").
    """

    trusts = False  # whether sizes that may differ are taken to be equal where an operator needs it

    def __init__(
        self,
        opset: int,
        *,
        names: Mapping[int, str] | None = None,
        specialise: bool = False,
        refine: bool = False,
    ) -> None:
        self.opset, self.specialise, self.refine = opset, specialise, refine
        self.origin: dict[str, str] | None = None  # where an imported graph says its nodes come from
        self.graph = Graph("main")
        self.guards: list[Guard] = []
        self.variables: dict[int, Variable] = {}
        self.written: dict[int, Tensor] = {}
        self.gradients: dict[Leaf, Tensor | None] = {}  # of leaves, as they are in the trace; the leaves keep theirs
        self.replaced: set[Leaf] = set()  # those whose gradient was set, so that an earlier one counts no more
        self.relied: set[Leaf] = set()  # those whose gradient was read, where an earlier one would have counted
        self.scope: list[str] = []
        self.paths: dict[int, str] = {}  # id of a module -> its dotted path from the root
        self.modules: list[tuple[Any, bool]] = []  # those called, with their mode
        self.domains = {""}
        self._names = dict(names or {})
        self._current: dict[int, Tensor] = {}
        self._initial: dict[int, Value] = {}
        self._constants: dict[Any, Traced] = {}
        self._keep: list[Any] = []
        self.lifted: set[int] = set()  # ids of the data of tensors that became constants
        self._sources: dict[str, tuple[Traced, int]] = {}
        self._sizes: dict[str, Tensor] = {}
        self._schemas: dict[tuple[str, str], tuple[schemas.OpSchema, Any] | None] = {}
        self._used = Names()  # of values
        self._made: dict[str, Value] = {}  # what nodes made, by name
        self._dims = Names()  # of sizes
        self._count = 0

    def __enter__(self) -> Trace:
        _active.stack.append(self)
        deciders.stack.append(self)
        traces.add(1)
        return self

    def __exit__(self, *exc: object) -> None:
        traces.add(-1)
        deciders.stack.pop()
        _active.stack.pop()

    # -- sizes ---------------------------------------------------------------------------------------------------------
    def decide(self, condition: Condition) -> bool:
        """Answer a comparison that depends on the input (called by `interchange.dims`)."""
        self.fix(condition.expr)
        value = hint(condition.expr)
        if not self.specialise or value is None:
            raise undecidable(condition)
        truth = value == 0 if condition.op == "==" else value >= 0
        if truth:
            self.guard(Guard(condition, "the model's code compares sizes", user_line()))
        elif condition.op == ">=":
            self.guard(Guard(Condition(-1 - condition.expr, ">="), "the model's code compares sizes", user_line()))
        else:  # not equal: the sign at the example is what later inputs must have too
            side = condition.expr - 1 if value > 0 else -1 - condition.expr
            self.guard(Guard(Condition(side, ">="), "the model's code compares sizes", user_line()))
        return truth

    def fix(self, size: DimLike) -> None:
        """The model's code needs this size as a number: in an automatic trace the names in it become static."""
        if self.refine:
            raise RefineError(size, size)

    def guard(self, guard: Guard) -> None:
        """Keep a condition under which the graph is right."""
        if all(str(g.condition) != str(guard.condition) for g in self.guards):
            self.guards.append(guard)

    def fresh_dim(self, name: str) -> Dim:
        """A new size that only the data decides (how many elements are not zero): at least 0."""
        return Dim(self._dims.free(name), min=0)

    def size_from(self, x: Tensor, name: str) -> Dim:
        """An integer tensor of one element as a new size."""
        from interchange.ops.shape import Cast, Reshape

        size = self.fresh_dim(name)
        data = Reshape(self.lift(Cast(x, to=7)), [1])
        if isinstance(data, Traced):
            data._symbolic.known = sizes_array([size])
        self._sizes[str(size)] = data
        return size

    def sizes(self, dims: Sequence[DimLike] | DimLike) -> Tensor:
        """Sizes as an int64 tensor of the graph: shape [n], or [] for a single one."""
        from interchange.ops.shape import Concat, Squeeze

        if isinstance(dims, (Dim, int)):
            return Squeeze(self._size(dims), [0])
        parts: list[Tensor] = []
        fixed: list[int] = []
        for d in [*dims, None]:
            if isinstance(d, int):
                fixed.append(d)
                continue
            if fixed:
                parts.append(wrap(np.array(fixed, np.int64)))
                fixed = []
            if d is not None:
                parts.append(self._size(d))
        return parts[0] if len(parts) == 1 else Concat(*parts, axis=0)

    def _size(self, dim: DimLike) -> Tensor:
        """One size as an int64 tensor of shape [1]."""
        from interchange.ops.arithmetic import Add, Mul

        if not isinstance(dim, Dim):
            return wrap(np.array([dim], np.int64))
        key = str(dim)
        if key not in self._sizes:
            total: Tensor | None = None
            for monomial, c in dim._terms:
                term: Tensor | None = None
                for atom in monomial:
                    factor = self._symbol(atom) if isinstance(atom, _Symbol) else self._call(atom.op, atom.a, atom.b)
                    term = factor if term is None else Mul(term, factor)
                if term is None:
                    term = wrap(np.array([c], np.int64))
                elif c != 1:
                    term = Mul(term, wrap(np.array([c], np.int64)))
                total = term if total is None else Add(total, term)
            if total is None:  # a 0 inside max(0, ...)
                total = wrap(np.array([0], np.int64))
            elif isinstance(total, Traced):
                total._symbolic.known = sizes_array([dim])
            self._sizes[key] = total
        return self._sizes[key]

    def _symbol(self, symbol: _Symbol) -> Tensor:
        from interchange.ops.shape import Shape as ShapeOf

        if symbol.name in self._sizes:  # made from data
            return self._sizes[symbol.name]
        if symbol.name not in self._sources:
            raise TraceError(
                "IX205",
                f"the size {symbol.name} cannot be read from any input",
                where=user_line(),
                found=f"{symbol.name} only inside expressions of the input shapes",
                expected=f"an input with {symbol.name} alone as a dimension",
                fix=f"name that dimension by itself, for example float32[{symbol.name}]",
            )
        source, axis = self._sources[symbol.name]
        return ShapeOf(source, start=axis, end=axis + 1)

    def _call(self, op: str, a: DimLike, b: DimLike) -> Tensor:
        from interchange.ops.arithmetic import Div, Max, Min, Mod, Sub

        if op in ("//", "%") and bounds(b)[0] <= 0 <= bounds(b)[1]:  # dividing by 0 ends the runtime's process
            require(Condition(b - 1, ">="), f"the divisor {b} is not 0")
        left, right = self._size(a), self._size(b)
        if op == "//":  # ONNX divides towards zero: the same, unless one side can be negative
            if min(bounds(a)[0], bounds(b)[0]) < 0:
                left = Sub(left, Mod(left, right))
            result = Div(left, right)
        else:
            result = {"%": Mod, "max": Max, "min": Min}[op](left, right)
        return result

    # -- inputs, constants, variables ----------------------------------------------------------------------------------
    def input(self, name: str, dtype: DType, shape: Shape) -> Traced:
        """A new input of the graph. Its dims that are plain names become readable sizes."""
        value = Value(self.unique(name), dtype, _plain(shape))
        self.graph.inputs.append(value)
        self._dims.taken.update(symbols(shape))
        for d in shape:
            if isinstance(d, Dim):
                require(Condition(d, ">="), f"{d} is the size of an axis of {name}")
        traced = Symbolic(self, value, dtype, shape).traced()
        self._learn(traced)
        return traced

    def _learn(self, traced: Traced) -> None:
        for axis, d in enumerate(traced.shape):
            if isinstance(d, Dim) and len(d._terms) == 1:
                ((monomial, c),) = d._terms
                if c == 1 and len(monomial) == 1 and isinstance(monomial[0], _Symbol):
                    self._sources.setdefault(monomial[0].name, (traced, axis))

    def concerns(self, x: Tensor | None) -> bool:
        """Whether an operation on `x` belongs into the graph: on traced tensors and on variables."""
        return isinstance(x, (Traced, Variable))

    def lift(self, x: Tensor) -> Traced:
        """`x` as a tensor of this graph: a constant, a variable's current value, or itself."""
        if isinstance(x, Traced):
            if x._symbolic.trace is not self:
                raise x.leaked()
            return x
        if isinstance(x, Variable):
            return self.read(x)
        data = x._data
        self.lifted.add(id(data))
        small = data.nbytes <= 1024 and data.dtype.kind != "O"
        key = (data.dtype, data.shape, data.tobytes()) if small else id(data)
        found = self._constants.get(key)
        if found is None:
            self._keep.append(data)
            found = self._constants[key] = self._constant(self.unique("constant"), data, data)
            found._symbolic.value.metadata["interchange.kind"] = "constant"
        return found if x._edge is None else found._symbolic.traced(x._edge)

    def _constant(self, name: str, data: Array, known: Array | None) -> Traced:
        value = Value(name, data.dtype, data.shape, const=Weight.of(data, name=name))
        self.graph.initializers[name] = value
        return Symbolic(self, value, data.dtype, data.shape, known).traced()

    def read(self, variable: Variable) -> Traced:
        """The value of a variable now: at first an initializer of its name, after `write` what was written."""
        key = id(variable)
        if key not in self._current:
            self.variables[key] = variable
            name = self.unique(self._names.get(key) or variable.name or "variable")
            self._current[key] = first = self._constant(name, variable._data, None)
            self._initial[key] = value = first._symbolic.value
            value.metadata["interchange.kind"] = _kind(variable)
        current = self.lift(self._current[key])
        return current._symbolic.traced(variable._edge)

    def initial(self, key: int) -> Value:
        """The initializer of a variable (by id)."""
        return self._initial[key]

    def rename(self, value: Value, name: str) -> None:
        """Give a value the name that the user chose; an automatic name in its way makes room."""
        other = self._made.get(name)
        if other is not None and other is not value:
            other.name = self.unique(name)
            self._made[other.name] = other
        constant = self.graph.initializers.pop(name, None)
        if constant is not None:
            constant.name = self.unique(name)
            self.graph.initializers[constant.name] = constant
        value.name = name
        self._made[name] = value
        self._used.taken.add(name)

    def write(self, variable: Variable, value: Tensor) -> None:
        """The variable has a new value from here on, which becomes an output of the graph."""
        self.read(variable)
        self._current[id(variable)] = self.written[id(variable)] = value.detach()

    # -- gradients -----------------------------------------------------------------------------------------------------
    def gradient(self, leaf: Leaf) -> Tensor | None:
        """The gradient of a leaf, of backward passes in this trace. TraceError IX211 if there is an earlier one."""
        if leaf not in self.replaced:
            self.relied.add(leaf)
            if leaf.grad is not None:
                raise earlier_gradient()
        return self.gradients.get(leaf)

    def set_gradient(self, leaf: Leaf, value: Tensor | None) -> None:
        """Replace the gradient of a leaf."""
        self.replaced.add(leaf)
        self.gradients[leaf] = value

    def add_gradient(self, leaf: Leaf, value: Tensor) -> None:
        """Add to the gradient of a leaf."""
        before = self.gradients.get(leaf)
        self.gradients[leaf] = value if before is None else before + value

    # -- names ---------------------------------------------------------------------------------------------------------
    def unique(self, name: str) -> str:
        """`name`, or with a number behind it if something of the graph has it already."""
        return self._used.free(name)

    # -- recording -----------------------------------------------------------------------------------------------------
    def record(self, bound: Any, tensors: Sequence[Tensor | None]) -> Any:
        """Add a call to the graph and return its (traced) results."""
        from interchange.ops import frame

        op = bound.op
        lifted: list[Tensor | None] = [None if t is None else self.lift(t) for t in tensors]
        entry = self._schema(op)
        if entry is None and op.fallback is None:
            raise self._too_old(op)
        if entry is None or op.composed(**bound.keywords()):
            return self._compose(bound, lifted)
        schema, table = entry
        try:
            kept, attributes = self._at_opset(schema, bound, lifted)
        except TraceError:
            if op.fallback is None:
                raise
            return self._compose(bound, lifted)
        dtypes = frame.types_of(bound, kept, table)
        shapes = frame.shapes_of(bound, lifted)[: None if op.variadic_output else bound.n_outputs]
        dtypes = (dtypes[0],) * len(shapes) if op.variadic_output else dtypes[: len(shapes)]
        known = folded(bound, lifted, dtypes)
        if known is not None and known.dtype != object:
            return wrap(known.astype(dtypes[0]))
        inputs = [None if t is None else t._payload().value for t in kept]
        values = [Value(self._name(op.name), d, _plain(s)) for d, s in zip(dtypes, shapes, strict=True)]
        node = Node(op.name, inputs, values, attributes, domain=op.domain, name=values[0].name, metadata=self._origin())
        self.graph.nodes.append(node)
        self._made.update((v.name, v) for v in values)
        self.domains.add(op.domain)
        outputs = [
            Symbolic(self, v, d, s, known if i == 0 else None).traced()
            for i, (v, d, s) in enumerate(zip(values, dtypes, shapes, strict=True))
        ]
        for out in outputs:
            self._learn(out)
        if mode.grad and bound.plan is not None:
            frame.record(bound, lifted, outputs)
        return outputs[0] if len(outputs) == 1 and not op.variadic_output else tuple(outputs)

    def own(self, tensor: Tensor) -> Value:
        """A value that a node of its own makes, for what is an input, a constant or returned twice: an Identity."""
        source = self.lift(tensor)._symbolic
        value = Value(self._name("Identity"), source.dtype, _plain(source.shape))
        self._made[value.name] = value
        self.graph.nodes.append(Node("Identity", [source.value], [value], name=value.name, metadata=self._origin()))
        return value

    def _compose(self, bound: Any, tensors: Sequence[Tensor | None]) -> Any:
        """Record a call in other operators. Its gradient is the operator's own, if it has one."""
        from interchange.ops import frame

        if bound.plan is None or not mode.grad:
            return bound.op.fallback(*tensors, **bound.keywords())
        with no_grad():
            result = bound.op.fallback(*tensors, **bound.keywords())
        outputs = [t.detach() for t in (result if isinstance(result, tuple) else (result,))]
        frame.record(bound, tensors, outputs)
        return tuple(outputs) if isinstance(result, tuple) else outputs[0]

    def _name(self, op: str) -> str:
        self._count += 1
        prefix = f"{self.scope[-1]}." if self.scope and self.scope[-1] else ""
        return self.unique(f"{prefix}{op}_{self._count}")

    def _origin(self) -> dict[str, str]:
        if self.origin is not None:
            return dict(self.origin)
        line = user_line()
        origin = {"interchange.line": line} if line else {}
        if self.scope and self.scope[-1]:
            origin["interchange.module"] = self.scope[-1]
        return origin

    def _schema(self, op: Any) -> tuple[schemas.OpSchema, Any] | None:
        """The operator's schema at this opset and its table of types; None where it does not exist in this form."""
        from interchange.ops.frame import TypeTable

        key = (op.domain, op.name)
        if key not in self._schemas:
            try:
                found = schemas.schema(op.name, self.opset if op.domain == "" else None, op.domain)
            except SchemaError:
                found = None
            fits = found is not None and not found.deprecated and found.since >= op.since
            known_to_runtimes = op.domain.startswith(("ai.onnx", "com.microsoft")) or not op.domain
            fits = fits and (
                known_to_runtimes or op.fallback is None
            )  # a user's operator runs anywhere as its decomposition
            self._schemas[key] = (found, TypeTable(found)) if fits and found else None
        return self._schemas[key]

    def _too_old(self, op: Any) -> TraceError:
        first = next(v for v in schemas.versions(op.name, op.domain) if v >= op.since)
        return TraceError(
            "IX206",
            f"{op.name} does not exist at opset {self.opset} in the form this model needs",
            where=user_line(),
            found=f"opset {self.opset}",
            expected=f"opset {first} or newer",
            fix=f"export with opset={first}, or a target whose runtime loads it",
        )

    def _at_opset(
        self, schema: schemas.OpSchema, bound: Any, tensors: Sequence[Tensor | None]
    ) -> tuple[list[Tensor | None], dict[str, Attr]]:
        """Inputs and attributes as this opset has them: inputs that once were attributes are attributes again."""
        kept: list[Tensor | None] = []
        attributes: dict[str, Attr] = {}
        formal_names = [f.name for f in schema.inputs]
        for i, t in enumerate(tensors):
            name = bound.op.inputs[i] if i < len(bound.op.inputs) else None
            if t is not None and name is not None and name not in formal_names and name in schema.attributes:
                known = t._known()
                if known is None or known.dtype == object:
                    raise self._needs(bound.op, f"{name} computed from the input")
                attributes[name] = Attr.of(known.tolist() if known.ndim else known.item())
                kept.append(None)
            elif t is not None and i >= schema.max_inputs:
                raise self._needs(bound.op, f"the input {name}")
            else:
                kept.append(t)
        while kept and kept[-1] is None:
            kept.pop()
        newest = bound.op.schema.attributes
        for name, value in bound.attributes.items():
            if name in schema.attributes:
                allowed = schema.attributes[name].allowed
                if allowed is not None and isinstance(value, str) and value not in allowed:
                    raise self._needs(bound.op, f"{name}={value!r}")
                if not _equal(value, schema.attributes[name].default) or schema.attributes[name].required:
                    attributes[name] = _typed(schema.attributes[name].type, value)
            elif not _equal(value, newest[name].default):
                raise self._needs(bound.op, f"{name}={value!r}")
        return kept, attributes

    def _needs(self, op: Any, what: str) -> TraceError:
        return TraceError(
            "IX206",
            f"{op.name} with {what} does not exist at opset {self.opset}",
            where=user_line(),
            found=f"opset {self.opset}",
            expected=f"opset {op.schema.since}",
            fix=f"export with opset={op.schema.since}, or leave that at its default",
        )

    def model(self) -> ModelIR:
        """The graph as a model without metadata."""
        opsets = {d: self.opset if d == "" else schemas.latest_opset(d) for d in sorted(self.domains)}
        return ModelIR(self.graph, opsets=opsets)


def earlier_gradient() -> TraceError:
    """The error for a gradient that a graph would have to hold as a constant."""
    return TraceError(
        "IX211",
        "a gradient from before the traced function is used in it",
        where=user_line(),
        found="a parameter whose .grad was already set",
        expected="gradients that the function itself computes",
        fix="call zero_grad() before the backward pass, inside the function or before it is traced",
    )


def _kind(variable: Variable) -> str:
    """What an initializer was in the source: what `import_model` makes of it again."""
    if not isinstance(variable, Parameter):
        return "buffer"
    return "parameter" if variable.requires_grad else "frozen"


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return a is b
    return bool(a == b)


def _typed(kind: str, value: Any) -> Attr:
    from interchange.graph.core import AttrType

    return Attr.of(list(value) if isinstance(value, tuple) else value, AttrType[kind.upper()])


def _plain(shape: Shape) -> tuple[int | str | None, ...]:
    """A shape as a file has it: numbers, and texts for symbolic sizes."""
    return tuple(d if isinstance(d, int) else str(d) for d in shape)


@contextmanager
def scope(path: str) -> Iterator[None]:
    """Nodes recorded inside belong to the module at `path`."""
    trace = active_trace()
    if trace is None:
        yield
        return
    trace.scope.append(path)
    try:
        yield
    finally:
        trace.scope.pop()
