"""Types and shapes of all values, node by node: each node's disagreement becomes a problem, and the walk goes on.

onnx supplies the shape rule of each operator (`onnx.shape_inference.infer_node_outputs`); the order, the scopes, the
comparison with what the file declares, and what onnx's rules do not look at are here. A node whose inputs are not
known, or which an earlier rule found broken, contributes what the file declares of its outputs.
"""

from __future__ import annotations

import math
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from interchange.checker import budget, shapes
from interchange.checker.context import Context, NodeRef, Scope, domain_of, sentence
from interchange.checker.forms import Form
from interchange.checker.looks import look
from interchange.checker.rule import Problem
from interchange.checker.typetext import elem_text, onnx_text, reader_text
from interchange.errors import SchemaError
from interchange.graph.limits import DEFAULT

_MAX_CALLS = 64  # functions that call functions; deeper is not looked at
_MAX_LOOKS = 20_000  # nodes of functions, each counted once for each combination of types it is called with

# kinds of problem with which onnx's inference can be trusted: at some of the others it ends the process
_HARMLESS = {"constant", "dead branch", "names", "nan", "symbols"}

Types = MutableMapping[str, Any]  # value -> TypeProto


@dataclass(slots=True)
class Inferred:
    """The result: types of each scope's values, problems by kind.

    runs: what `types` was each time a scope was walked: a function's, once for each of its calls that differ.
    """

    types: dict[Scope, Types] = field(default_factory=dict)
    runs: dict[Scope, list[Types]] = field(default_factory=dict)
    data: dict[Scope, MutableMapping[str, Any]] = field(default_factory=dict)
    problems: dict[str, dict[Problem, None]] = field(default_factory=dict)
    count: int = 0
    most: int = DEFAULT.findings

    def add(self, kind: str, problem: Problem) -> None:
        """Note a problem; the same one counts once, and more than are told not at all."""
        self.count += 1
        if not self.is_full(kind):
            self.problems.setdefault(kind, {})[problem] = None

    def is_full(self, kind: str) -> bool:
        """Whether there are more problems of a kind than are told."""
        return len(self.problems.get(kind, ())) > self.most


def infer(ctx: Context) -> Inferred:
    """Walk the main graph, with its subgraphs and the functions it calls."""
    result = _Walk(ctx, {}).model()
    if result.problems.keys() <= _HARMLESS and _has_open_sizes(ctx, result):
        hints = _whole_model(ctx, result)
        if hints:
            result = _Walk(ctx, hints).model()
    return result


def _has_open_sizes(ctx: Context, result: Inferred) -> bool:
    """Whether a value of the main graph has a size, or a rank, that the walk could not tell."""
    types = {id(t): t for t in result.types[ctx.main].values()}.values()
    tensors = (t.tensor_type for t in types if t.WhichOneof("value") == "tensor_type")
    return any(not t.HasField("shape") or any(d.WhichOneof("value") is None for d in t.shape.dim) for t in tensors)


class _Walk:
    def __init__(self, ctx: Context, hints: Types) -> None:
        """hints: what is known of the main graph's values otherwise."""
        self.ctx, self.result, self._hints = ctx, Inferred(most=ctx.limits.findings), hints
        self._expansion = budget.expansion(ctx) if ctx.functions else {}
        self._calls: dict[tuple[Any, ...], list[Any]] = {}
        self._seen: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._types: dict[bytes, Any] = {}
        self._tensors: dict[tuple[int, tuple[int, ...]], Any] = {}
        self._constants: dict[Any, Any] = {}
        self._floats: set[int] = set()
        self._fleeting = False
        self._whole: dict[int, bool] = {}
        self._conflicts: dict[tuple[int, int], tuple[str, str]] = {}
        self._left = _MAX_LOOKS
        self._broken: dict[Scope, set[int]] = {}
        for node in ctx.broken:
            self._broken.setdefault(node.scope, set()).add(node.index)
        self._symbols = {
            d.dim_param for v in ctx.model.graph.input for d in v.type.tensor_type.shape.dim if d.dim_param
        }

    def model(self) -> Inferred:
        """The main graph, and all that it calls."""
        self.scope(self.ctx.main, {}, {}, {}, 0)
        for scope in self.ctx.functions.values():
            self.result.types.setdefault(scope, {})
        return self.result

    # -- one graph ----------------------------------------------------------------------------------------------------
    def scope(
        self,
        scope: Scope,
        outer: Types,
        outer_data: MutableMapping[str, Any],
        given: Mapping[str, Any],
        depth: int,
        attributes: Mapping[str, Any] | None = None,
    ) -> Types:
        """Types of a scope's values. given: its inputs' types where the caller knows them."""
        declared = {v.name: v.type for _, v in scope.infos() if v.type.WhichOneof("value")}
        inputs = set(scope.inputs)
        types, data = _inside(outer), _inside(outer_data)
        for name in scope.inputs:
            found = declared.get(name) or given.get(name)
            types.pop(name, None)
            if found is not None:
                types[name] = self._interned(found)
        if not scope.is_function:
            for tensor in scope.proto.initializer:
                name, dims = tensor.name, tuple(tensor.dims)
                types[name] = self._tensor_type(tensor.data_type, dims)
                if name not in inputs:
                    self._keep(data, name, tensor, dims)
                elif name in declared:
                    told = self._interned(declared[name])
                    self._compare(scope, name, types[name], told, None)
                    types[name] = told
            for sparse in scope.proto.sparse_initializer:
                types[sparse.values.name] = self._interned(_sparse_type(sparse))
        known = {name: self._interned(proto) for name, proto in declared.items()}
        broken = self._broken.get(scope, frozenset[int]())
        for index, form in enumerate(self.ctx.forms_in(scope)):
            names = scope.outputs_of[index]
            outputs = None
            if form.plain and form.schema is not None and index not in broken:
                with suppress(KeyError):  # the type of an input is not known
                    outputs = self._seen.get(self._key(form, scope.inputs_of[index], types, data))
            if outputs is None:
                outputs = self._looked_at(scope, index, form, types, data, depth, attributes or {}, index in broken)
            for name, found in zip(names, outputs, strict=False):
                if not name:
                    continue
                types.pop(name, None)
                if name in known or name in self._hints or found is None or not self._is_whole(found):
                    found = self._merge(scope, index, name, found, known.get(name))
                if found is not None:
                    types[name] = found
        self.result.types[scope] = types
        self.result.runs.setdefault(scope, []).append(types)
        self.result.data[scope] = data
        return types

    # -- nodes that are written alike, with inputs of the same types --------------------------------------------------
    def _key(self, form: Form, inputs: tuple[str, ...], types: Types, data: Mapping[str, Any]) -> tuple[Any, ...]:
        """What the types of a node's outputs follow from: its form, types of its inputs, constants among them."""
        key: tuple[Any, ...] = (form, *[id(types[n]) if n else 0 for n in inputs])
        if data.keys().isdisjoint(inputs):
            return key
        constants = [id(data[n]) if n in data else 0 for n in inputs]
        if form.first.proto.op_type not in _READ_FLOATS:
            constants = [0 if c in self._floats else c for c in constants]
        return (*key, *constants)

    def _looked_at(
        self,
        scope: Scope,
        index: int,
        form: Form,
        types: Types,
        data: MutableMapping[str, Any],
        depth: int,
        attributes: Mapping[str, Any],
        broken: bool,
    ) -> tuple[Any, ...]:
        node, told = scope.node(index), self.result.count
        self._left -= depth > 0
        self._fleeting = False
        found = self.node(node, types, data, depth, attributes)
        names = scope.outputs_of[index]
        outputs = tuple(self._interned(found[n]) if n in found else None for n in names)
        if self._repeats(form) and not broken and told == self.result.count and data.keys().isdisjoint(names):
            with suppress(KeyError):
                self._seen[self._key(form, scope.inputs_of[index], types, data)] = outputs
        return outputs

    def _repeats(self, form: Form) -> bool:
        """Whether what was found of a node holds for others of its form: no weight decided it."""
        return form.plain and form.schema is not None and not self._fleeting

    def _interned(self, proto: Any) -> Any:
        """The one TypeProto for all types that are equal: `_key` tells them apart by identity."""
        return self._types.setdefault(proto.SerializeToString(deterministic=True), proto)

    def _is_whole(self, proto: Any) -> bool:
        """Whether all sizes of an interned type are known."""
        found = self._whole.get(id(proto))
        if found is None:
            tensor = proto.tensor_type
            found = self._whole[id(proto)] = proto.WhichOneof("value") != "tensor_type" or (
                tensor.HasField("shape") and all(d.WhichOneof("value") for d in tensor.shape.dim)
            )
        return found

    def _tensor_type(self, number: int, dims: tuple[int, ...]) -> Any:
        found = self._tensors.get((number, dims))
        if found is None:
            import onnx

            found = self._interned(onnx.helper.make_tensor_type_proto(number, dims))
            self._tensors[number, dims] = found
        return found

    def _keep(self, data: MutableMapping[str, Any], name: str, tensor: Any, dims: tuple[int, ...]) -> None:
        """Constants that decide shapes: small ones, whose bytes are in the proto. Equal integers are one object."""
        if tensor.data_location == 1 or math.prod(dims) > shapes.SMALL or min(dims, default=0) < 0:
            return
        if tensor.data_type == 7:  # TensorProto.INT64: shapes, axes, indices
            content = dims, tensor.raw_data, tuple(tensor.int64_data)
            tensor = self._constants.setdefault(content, tensor)
        elif tensor.data_type in (1, 10, 11, 16):  # FLOAT, FLOAT16, DOUBLE, BFLOAT16: weights, as a rule
            self._floats.add(id(tensor))
        data[name] = tensor

    # -- one node -----------------------------------------------------------------------------------------------------
    def node(
        self, node: NodeRef, types: Types, data: MutableMapping[str, Any], depth: int, attributes: Mapping[str, Any]
    ) -> Types:
        """Types of its outputs, as far as they are known."""
        ctx = self.ctx
        proto = _bound(node.proto, attributes)
        names = [n for n in proto.input if n]
        function = ctx.functions.get(node.key)
        known = all(n in types and "undefined" not in onnx_text(types[n]) for n in names)
        for inner in node.scope.inner.get(node.index, ()):
            self.scope(inner, types, data, _body_inputs(proto, inner, types), depth, attributes)
        if node in ctx.broken:
            return {}
        if function is not None:
            return self._call(node, proto, function, types, data, depth)
        schema = ctx.schema(node)
        if schema is None or not known:
            return {}
        try:
            out_texts = schema.bind_type_texts([onnx_text(types[n]) if n else None for n in proto.input])
        except SchemaError as error:
            kind = "dtype" if error.code == "IX405" else "shape"
            self.result.add(
                kind,
                Problem(
                    f"node {node.label}: {error.message}",
                    node.where(),
                    found=_inputs_text(proto, types),
                    expected=error.expected or "",
                    why="runtimes refuse the model",
                    fix=error.fix or "",
                ),
            )
            return {}
        problems = list(budget.look_before(node, proto, types, ctx.limits))
        seen = _Watched(data, self._floats)
        problems += look(node, proto, types, seen)  # before onnx's rule: they say more than it does
        self._fleeting = seen.touched
        outputs = None if any(p.severity is None for _, p in problems) else self._by_rule(node, proto, types, data)
        if outputs is not None:
            problems += budget.look_after(node, proto, types, outputs, ctx.limits)
        for kind, problem in problems:
            self.result.add(kind, problem)
        if outputs is None:
            return _from_texts(proto, out_texts)
        shapes.constant(proto, types, data)
        return outputs

    def _by_rule(self, node: NodeRef, proto: Any, types: Types, data: Mapping[str, Any]) -> Types | None:
        """What onnx's shape rule says; None if there is no such rule or it failed."""
        import onnx
        from onnx import defs, shape_inference

        domain = domain_of(proto)
        version = node.scope.known_opsets.get(domain, 1)
        needed = {n for n in proto.input if n} | {n for s in node.scope.inner.get(node.index, ()) for n in s.free}
        imports = [onnx.helper.make_opsetid(d, v) for d, v in node.scope.known_opsets.items()]
        try:
            schema = defs.get_schema(proto.op_type, version, domain)
        except defs.SchemaError:
            return None
        try:
            return dict(
                shape_inference.infer_node_outputs(
                    schema,
                    proto,
                    {n: types[n] for n in needed if n in types},
                    {n: data[n] for n in proto.input if n in data},
                    opset_imports=imports,
                    ir_version=min(max(self.ctx.model.ir_version, 1), onnx.IR_VERSION),
                )
            )
        except MemoryError:
            raise
        except Exception as error:  # several unrelated classes of the library, all with a message
            if any(n.key in self.ctx.functions for s in node.scope.inner.get(node.index, ()) for n in _all(s)):
                return None  # onnx does not look into local functions here
            self.result.add(
                "branch" if proto.op_type == "If" else "shape",
                _misfit(node, str(error), types),
            )
            return None

    def _call(
        self, node: NodeRef, proto: Any, function: Scope, types: Types, data: Mapping[str, Any], depth: int
    ) -> Types:
        """A local function, written out for these input types."""
        nodes, calls = self._expansion.get(function, (0, 0))
        limits = self.ctx.limits
        if depth >= _MAX_CALLS or nodes > limits.expanded or calls > limits.depth or self._left < 0:
            return {}
        given = {f: types[n] for f, n in zip(function.inputs, proto.input, strict=False) if n in types}
        constants = {f: data[n] for f, n in zip(function.inputs, proto.input, strict=False) if n in data}
        attributes = {a.name: a for a in function.proto.attribute_proto} | {a.name: a for a in proto.attribute}
        parts = [(n, p) for side in (given, constants, attributes) for n, p in sorted(side.items())]
        key = (function, len(given), len(constants), *((n, p.SerializeToString(deterministic=True)) for n, p in parts))
        if key not in self._calls:
            self._calls[key] = []
            inside = self.scope(function, {}, constants, given, depth + 1, attributes)
            self._calls[key] = [inside.get(n) for n in function.outputs]
        found = zip(proto.output, self._calls[key], strict=False)
        return {n: t for n, t in found if n and t is not None}

    # -- declared against inferred ------------------------------------------------------------------------------------
    def _merge(self, scope: Scope, index: int, name: str, inferred: Any, declared: Any) -> Any:
        """What is known of a value from both sides, interned."""
        hint = self._hints.get(name) if scope is self.ctx.main else None
        if inferred is None or not inferred.WhichOneof("value"):
            return declared or hint
        if declared is not None:
            self._compare(scope, name, inferred, declared, index)
        found = shapes.filled(inferred, declared, hint)
        return found if found is inferred else self._interned(found)

    def _compare(self, scope: Scope, name: str, inferred: Any, declared: Any, index: int | None) -> None:
        pair = id(inferred), id(declared)  # both are interned
        if pair not in self._conflicts:
            self._conflicts[pair] = shapes.conflict(inferred, declared, self._symbols)
        kind, message = self._conflicts[pair]
        if kind and self.result.is_full(kind):
            self.result.count += 1
        elif kind:
            node = None if index is None else scope.node(index)
            maker = f"node {node.label} ({node.op}) gives" if node is not None else "its data is"
            self.result.add(
                kind,
                Problem(
                    f"{name!r} is declared as {reader_text(declared)}, but {maker} {reader_text(inferred)}{message}",
                    node.where(name) if node is not None else scope.place(name),
                    found=f"declared {reader_text(declared)}",
                    expected=reader_text(inferred),
                    why="who relies on the declaration gets something else; some runtimes refuse the model",
                    fix="correct the declaration, or the node",
                ),
            )


# operators whose shape rule reads constants that are no integers
_READ_FLOATS = frozenset({"MelWeightMatrix", "OneHot", "Range", "Resize", "Upsample"})


class _Watched(Mapping[str, Any]):
    """Constants that are given to a look.  touched: whether one of the `floats` was read."""

    def __init__(self, data: Mapping[str, Any], floats: set[int]) -> None:
        self.data, self.floats, self.touched = data, floats, False

    def __getitem__(self, name: str) -> Any:
        found = self.data[name]
        self.touched = self.touched or id(found) in self.floats
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


def _inside(outer: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What a graph knows that sees `outer`, which is not copied: there may be thousands of graphs and of values."""
    return ChainMap({}, outer) if outer else {}


def _all(scope: Scope) -> Iterator[NodeRef]:
    for node in scope.nodes:
        yield node
        for inner in scope.inner.get(node.index, ()):
            yield from _all(inner)


def _whole_model(ctx: Context, result: Inferred) -> Types:
    """What onnx's inference over the whole model knows more: it follows shapes that are computed as data.

    Where those do not fit, it is added to `result`: a runtime finds it by the same code when it loads the model.
    """
    from onnx import shape_inference

    if ctx.broken or ctx.functions or len(ctx.main.nodes) > 20_000:  # it would write every call out
        return {}
    model = _without_weights(ctx.model)
    try:
        model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except MemoryError:
        raise
    except Exception:  # it gave up at the first problem; it goes on where it need not tell of it
        if _computed_misfit(ctx, model, result):
            return {}
        with suppress(Exception):
            model = shape_inference.infer_shapes(model, data_prop=True)
    return {v.name: v.type for v in model.graph.value_info}


def _computed_misfit(ctx: Context, model: Any, result: Inferred) -> bool:
    """Add the node at which computed shapes do not fit; whether there is one."""
    from onnx import ModelProto, shape_inference

    numbered = ModelProto()
    numbered.CopyFrom(model)
    for index, proto in enumerate(numbered.graph.node):
        proto.name = f"#{index}"
    try:
        shape_inference.infer_shapes(numbered, strict_mode=True, data_prop=True)
    except Exception as error:
        place = re.search(r"node name: #(\d+)\):? (.*)", str(error), re.DOTALL)
        if place is None or "[ShapeInferenceError]" not in place[2]:
            return False
        node = ctx.main.node(int(place[1]))
        schema = ctx.schema(node)
        if schema is None or schema.has_function:  # of a body onnx also tells what is no mistake: defaults left out
            return False
        result.add("shape", _misfit(node, place[2], result.types[ctx.main]))
        return True
    return False


def _misfit(node: NodeRef, message: str, types: Types) -> Problem:
    """What onnx's shape rule has against a node."""
    return Problem(
        f"node {node.label}: {sentence(message)}",
        node.where(),
        found=_inputs_text(node.proto, types) or "no inputs",
        expected=f"inputs and attributes that {node.proto.op_type} takes together",
        why="runtimes refuse the model, or fail when it runs",
        fix=f"look at the shapes of both sides, and at: interchange schema {node.proto.op_type}",
    )


def _without_weights(model: Any) -> Any:
    """The model without the data of large constants, which onnx would only copy, twice."""
    import onnx

    if not any(len(t.raw_data) > 4096 for t in model.graph.initializer):
        return model
    copy = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    for descriptor, value in model.graph.ListFields():
        if descriptor.name == "initializer":
            for tensor in value:
                if len(tensor.raw_data) > 4096:
                    copy.graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
                else:
                    copy.graph.initializer.append(tensor)
        elif descriptor.name in ("input", "output", "node", "value_info", "sparse_initializer"):
            getattr(copy.graph, descriptor.name).extend(value)
    return copy


def _bound(proto: Any, attributes: Mapping[str, Any]) -> Any:
    """The node with references to a function's attributes replaced by their values."""
    if not any(a.ref_attr_name for a in proto.attribute):
        return proto
    import onnx

    copy = onnx.NodeProto()
    copy.CopyFrom(proto)
    del copy.attribute[:]
    for attribute in proto.attribute:
        value = attributes.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
        if value is not None:
            copy.attribute.add().CopyFrom(value)
            copy.attribute[-1].name = attribute.name
    return copy


def _body_inputs(proto: Any, body: Scope, types: Types) -> Types:
    """Types of a Loop's or Scan's body inputs which follow from the node's: dtypes, and shapes where they are fixed."""
    import onnx

    if proto.op_type == "Loop":
        fixed = [onnx.helper.make_tensor_type_proto(7, []), onnx.helper.make_tensor_type_proto(9, [])]
        carried = [shapes.without_shape(types[n]) if n in types else None for n in proto.input[2:]]
        found = dict(zip(body.inputs, [*fixed, *carried], strict=False))
        return {n: t for n, t in found.items() if t is not None}
    if proto.op_type == "Scan":
        found = dict(
            zip(
                body.inputs, [shapes.without_shape(types[n]) if n in types else None for n in proto.input], strict=False
            )
        )
        return {n: t for n, t in found.items() if t is not None}
    return {}


def _sparse_type(sparse: Any) -> Any:
    import onnx

    return onnx.helper.make_tensor_type_proto(sparse.values.data_type, list(sparse.dims))


def _from_texts(proto: Any, texts: tuple[str | None, ...]) -> Types:
    """Tensor types without shape, from the registry's binding."""
    import onnx

    found: Types = {}
    for i, name in enumerate(proto.output):
        text = texts[min(i, len(texts) - 1)] if texts else None
        number = elem_text(text)
        if name and number:
            found[name] = onnx.helper.make_tensor_type_proto(number, None)
    return found


def _inputs_text(proto: Any, types: Types) -> str:
    return "; ".join(f"{n}: {reader_text(types[n]) if n in types else '?'}" for n in proto.input if n)
