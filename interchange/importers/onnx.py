"""ONNX to eager: a module that interprets the graph over the vocabulary. Trainable, debuggable, exportable again."""

from __future__ import annotations

import inspect
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interchange import schemas
from interchange.dims import Guard, Spec
from interchange.dtypes import is_float
from interchange.eager import nn, pytree
from interchange.eager.tensor import Buffer, Parameter, Tensor, Variable, wrap
from interchange.eager.trace import active_trace
from interchange.errors import ConvertError
from interchange.graph.core import Attr, Function, Graph, ModelIR, Node, Value
from interchange.graph.notes import read_note
from interchange.graph.sizes import SizeNames
from interchange.graph.tensor import Tensor as Weight
from interchange.ops import TABLE

OLDEST_OPSET = 13  # older opsets give some operators other semantics (Softmax flattens, Clip takes attributes)


def import_model(path: str | os.PathLike[str] | bytes | ModelIR) -> GraphModule:
    """Read an ONNX model as an eager module; its parameters keep their names, its inputs and outputs their signature.

    A file of interchange says which initializers are parameters. In others every float initializer with at least one
    axis is one; scalars and integers are constants.
    Raises FileError and CheckError for a model that is not right, ConvertError IX902 listing every operator that the
    vocabulary lacks, IX903 for an opset below 13.
    """
    from interchange.checker import check
    from interchange.graph import files, opening

    if not isinstance(path, ModelIR):
        written = opening.read(path)
        check(written).raise_if_errors()
        path = files.from_written(written)
    return GraphModule(path)


@dataclass(slots=True)
class _Step:
    """One node, ready to run."""

    node: Node
    op: Any
    inputs: list[Value | None]
    constants: dict[int, Tensor]
    attributes: dict[str, Any]


class GraphModule(nn.Module):
    """An imported model. Called as the exported one was: by the names of its inputs, or in their order.

    specs: the inputs' names, dtypes and shapes. output_names: the outputs. guards: under which sizes it is right.
    doc, metadata: what the file said.
    """

    def __init__(self, model: ModelIR) -> None:
        super().__init__()
        self._model = model
        self._steps: dict[int, list[_Step]] = {}
        self.doc, self.name = model.doc, model.graph.name
        self.metadata = {k: v for k, v in model.metadata.items() if not k.startswith("interchange.")}
        sizes = SizeNames(read_note(model.metadata, "dims", {}), least=1)
        self.guards = [Guard.from_dict(g) for g in read_note(model.metadata, "guards", [])]
        self._updates = {e["name"]: e["output"] for e in read_note(model.metadata, "state", [])}
        signature = read_note(model.metadata, "signature", None)
        updated = set(self._updates.values())
        self._inputs = [v for v in model.graph.inputs if v.name not in model.graph.initializers]
        self._outputs = [v for v in model.graph.outputs if v.name not in updated]
        self.output_names = [v.name for v in self._outputs]
        self.specs = {v.name: self._spec(v, sizes) for v in self._inputs}
        self._in_tree = pytree.Tree.from_json(signature["inputs"]) if signature else None
        self._out_tree = pytree.Tree.from_json(signature["outputs"]) if signature else None
        self._prepare(model)
        self._variables: dict[str, Variable] = {}
        for value in model.graph.initializers.values():
            self._hold(value)
        if read_note(model.metadata, "source", {}).get("mode", "eval") != "train":
            self.eval()

    def _spec(self, value: Value, sizes: SizeNames) -> Spec:
        if value.dtype is None or value.shape is None:
            raise ConvertError(
                "IX904",
                f"input {value.name} has no declared dtype or rank",
                where=value.name,
                found=value.type_text(),
                expected="a tensor with a dtype and a number of axes",
                fix="declare the input's shape in the file",
            )
        shape = tuple(sizes.dim(d, f"{value.name}_{axis}") for axis, d in enumerate(value.shape))
        return Spec(value.name, value.dtype, shape)

    # -- preparation ---------------------------------------------------------------------------------------------------
    def _prepare(self, model: ModelIR) -> None:
        opset = model.opsets.get("", 0)
        if opset < OLDEST_OPSET:
            raise ConvertError(
                "IX903",
                f"opset {opset} is too old to be imported",
                found=f"opset {opset}",
                expected=f"opset {OLDEST_OPSET} or newer",
                fix="convert it first: onnx.version_converter.convert_version(model, 21)",
            )
        missing: Counter[str] = Counter()
        for graph, opsets in [(model.graph, model.opsets), *((f, f.opsets) for f in model.functions.values())]:
            self._steps[id(graph)] = [s for n in graph.nodes if (s := self._step(n, opsets, missing)) is not None]
        if missing:
            raise ConvertError(
                "IX902",
                "the vocabulary does not have every operator of this model",
                found=", ".join(f"{name} ({count}x)" for name, count in missing.most_common()),
                expected=f"operators among the {len(TABLE)} of interchange.ops",
                fix="run the model with ix.load instead, or define the operator (docs/operators.md)",
            )

    def _step(self, node: Node, opsets: Mapping[str, int], missing: Counter[str]) -> _Step | None:
        if (node.domain, node.op_type, node.overload) in self._model.functions:
            return _Step(node, None, list(node.inputs), {}, {})
        if (node.domain, node.op_type) == ("", "Constant"):
            return _Step(node, None, [], {0: _constant(node)}, {})
        op = TABLE.get((node.domain, node.op_type))
        if op is None or node.graphs():
            missing[f"{node.domain}::{node.op_type}" if node.domain else node.op_type] += 1
            return None
        opset = opsets.get(node.domain, 1)
        since = schemas.schema(node.op_type, opset, node.domain).since
        if since < op.since and op.since > OLDEST_OPSET:
            missing[f"{node.op_type} of opset {since}"] += 1
            return None
        attributes = {k: a.value for k, a in node.attributes.items() if a.ref is None}
        referring = any(a.ref is not None for a in node.attributes.values())
        constants, current = ({}, attributes) if referring else op.adapt_node(attributes, len(node.outputs), opset)
        return _Step(node, op, list(node.inputs), constants, current)

    def _hold(self, value: Value) -> None:
        """An initializer as a Parameter or Buffer under its dotted name; anonymous constants stay tensors."""
        weight = value.const
        assert weight is not None
        kind = value.metadata.get("interchange.kind")
        if kind is None:
            kind = "parameter" if is_float(weight.dtype) and len(weight.shape) else "constant"
        if kind == "constant":
            return
        variable: Variable = (
            Parameter(weight.numpy(), requires_grad=kind == "parameter", name=value.name)
            if kind in ("parameter", "frozen")
            else Buffer(weight.numpy(), name=value.name)
        )
        self._variables[value.name] = variable
        *path, last = value.name.split(".") if value.name else ["weight"]
        module: nn.Module = self
        for part in path:
            child = module._modules.get(part)
            if child is None:
                child = nn.Module()
                module.add_module(part, child)
            module = child
        if isinstance(variable, Parameter):
            module.register_parameter(last, variable)
        else:
            module.register_buffer(last, variable)

    # -- running -------------------------------------------------------------------------------------------------------
    def input_signature(self) -> inspect.Signature:
        """The arguments of `forward`, as the source model had them."""
        names = self._in_tree.keys if self._in_tree else tuple(self.specs)
        return inspect.Signature([_Argument(n) for n in names])

    def example_inputs(self) -> dict[str, Any]:
        """The arguments as Specs, nested as `forward` takes them: what `export` uses when it is given no inputs."""
        specs = iter(self.specs.values())
        return pytree.unflatten(self._in_tree, specs) if self._in_tree else dict(self.specs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the graph; results nested as the source model returned them (a single output by itself)."""
        bound = self.input_signature().bind(*args, **kwargs)
        leaves, _ = pytree.flatten(dict(bound.arguments))
        tensors = [leaf if isinstance(leaf, Tensor) else wrap(leaf) for _, leaf in leaves if not _is_static(leaf)]
        values: dict[Value, Tensor | None] = dict(zip(self._inputs, tensors, strict=True))
        for value in self._model.graph.initializers.values():
            variable = self._variables.get(value.name)
            values[value] = variable if variable is not None else _as_tensor(value.const)
        values |= {v: wrap(sparse.dense()) for v, sparse in self._model.graph.sparse_initializers.items()}
        self._run(self._model.graph, values)
        results = {v.name: values[v] for v in self._model.graph.outputs}
        for name, output in self._updates.items():
            self._variables[name].assign(results[output])
        outs = [results[n] for n in self.output_names]
        if self._out_tree is not None:
            return pytree.unflatten(self._out_tree, iter(outs))
        return outs[0] if len(outs) == 1 else dict(zip(self.output_names, outs, strict=True))

    def _run(
        self, graph: Graph, values: dict[Value, Tensor | None], attributes: Mapping[str, Attr] | None = None
    ) -> None:
        trace = active_trace()
        for step in self._steps[id(graph)]:
            if trace is not None:
                trace.origin = step.node.metadata
                trace.scope.append(step.node.metadata.get("interchange.module", ""))
            inputs = [None if v is None else values[v] for v in step.inputs]
            function = self._model.functions.get((step.node.domain, step.node.op_type, step.node.overload))
            if function is not None:
                outputs: Sequence[Tensor | None] = self._call(function, inputs, step.node)
            elif step.op is None:
                outputs = [step.constants[0]]
            elif attributes is not None and any(a.ref for a in step.node.attributes.values()):
                given = {
                    k: (attributes[a.ref] if a.ref else a).value
                    for k, a in step.node.attributes.items()
                    if not a.ref or a.ref in attributes
                }
                outputs = step.op.call_node(inputs, *step.op.adapt_node(given, len(step.node.outputs)))
            else:
                outputs = step.op.call_node(inputs, step.constants, step.attributes)
            values.update(zip(step.node.outputs, outputs, strict=False))
            if trace is not None:
                trace.origin = None
                trace.scope.pop()

    def _call(self, function: Function, inputs: Sequence[Tensor | None], node: Node) -> list[Tensor | None]:
        """A call of a local function: its body, with the caller's attributes over the defaults."""
        values: dict[Value, Tensor | None] = dict(zip(function.inputs, inputs, strict=False))
        values |= dict.fromkeys(function.inputs[len(inputs) :])
        self._run(function, values, {**function.defaults, **node.attributes})
        return [values[v] for v in function.outputs]

    def __reduce__(self) -> Any:
        from interchange.graph import files

        return _rebuild, (files.serialize(self._model), self.state_dict())


def _rebuild(data: bytes, state: Mapping[str, Any]) -> GraphModule:
    module = import_model(data)
    module.load_state_dict(state)
    return module


def _as_tensor(weight: Weight | None) -> Tensor:
    assert weight is not None
    return wrap(weight.numpy())


def _constant(node: Node) -> Tensor:
    from interchange.graph.passes.fold import constant_tensor

    sparse = node.attributes.get("sparse_value")
    return wrap(sparse.value.dense()) if sparse is not None else _as_tensor(constant_tensor(node))


def _is_static(leaf: Any) -> bool:
    return isinstance(leaf, (bool, int, float, str))


class _Argument(inspect.Parameter):
    """An argument of any name: the inputs of files are called ``input.1`` and ``x:0`` too, and keep their names."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        super().__init__("argument", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self._name = name
