"""Constant folding: what does not depend on an input is computed now; what does nothing is taken out."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from interchange.dtypes import Array, from_onnx, nbytes, string
from interchange.graph.core import Attr, AttrType, Function, Graph, ModelIR, Node, Value
from interchange.graph.passes.purity import Purity
from interchange.graph.tensor import Tensor

# (node, arrays of its inputs, None where one is left out) -> arrays of its outputs, or None: cannot
Evaluate = Callable[[Node, Sequence[Array | None]], Sequence[Array] | None]


def fold(
    model: ModelIR, evaluate: Evaluate | None = None, max_bytes: int = 1 << 16, keep: Collection[Value] = ()
) -> int:
    """Compute pure nodes whose inputs are all constants; bypass Identity, and Cast, Reshape, Transpose that do nothing.

    evaluate: runs one node; the kernels live in a layer above this one (None: bypass only).  max_bytes: larger results
    stay computed.  keep: constants, parameters above all, that are not folded into anything.
    In place; returns how many nodes were folded or bypassed. Contract: inputs and outputs keep names and values; a node
    that makes a graph output is not folded. Works in subgraphs and functions (where a result is a Constant node).
    Constants which are now unused are left to `dce`. Needs nodes in order.
    """
    folder = _Folder(model, evaluate, max_bytes, keep)
    return sum(map(folder.graph, (model.graph, *model.functions.values())))


class _Folder:
    def __init__(self, model: ModelIR, evaluate: Evaluate | None, max_bytes: int, keep: Collection[Value]) -> None:
        self.pure = Purity(model)
        self.evaluate, self.max_bytes, self.keep = evaluate, max_bytes, set(keep)
        self.known: dict[Value, Tensor] = {}
        self.instead: dict[Value, Value] = {}

    def graph(self, graph: Graph) -> int:
        overridable = set(graph.inputs)
        for value in graph.initializers.values():
            if value.const is not None and value not in overridable and value not in self.keep:
                self.known[value] = value.const
        outputs = set(graph.outputs)
        kept: list[Node] = []
        changed = 0
        for node in graph.nodes:
            node.inputs = [None if v is None else self.instead.get(v, v) for v in node.inputs]
            changed += sum(map(self.graph, node.graphs()))
            if self.constant(node):
                kept.append(node)
            elif (source := self.bypassed(node)) is not None and node.outputs[0] not in outputs:
                self.instead[node.outputs[0]] = source
                changed += 1
            elif outputs.isdisjoint(node.outputs) and (results := self.folded(node)) is not None:
                for value, tensor in results:
                    self.known[value] = tensor
                    value.dtype, value.shape, value.producer = tensor.dtype, tensor.shape, None
                    if isinstance(graph, Function):
                        kept.append(Node("Constant", (), (value,), {"value": Attr(AttrType.TENSOR, tensor)}))
                    else:
                        value.const = tensor
                        graph.initializers[value.name] = value
                changed += 1
            else:
                kept.append(node)
        graph.nodes = kept
        changed += _adopt_outputs(graph, self.instead)
        graph.outputs = [self.final(v) for v in graph.outputs]
        graph.quantization = [
            (self.final(v), {role: self.final(p) for role, p in roles.items()}) for v, roles in graph.quantization
        ]
        return changed

    def final(self, value: Value) -> Value:
        """What stands for `value` now."""
        while value in self.instead:
            value = self.instead[value]
        return value

    def constant(self, node: Node) -> bool:
        """Whether it is a Constant; then its value is known from here on."""
        if node.domain or node.op_type != "Constant":
            return False
        tensor = constant_tensor(node)
        if tensor is not None:
            self.known[node.outputs[0]] = tensor
        return True

    def bypassed(self, node: Node) -> Value | None:
        """The input that the node's output is equal to, for a node that does nothing."""
        if node.domain or not node.inputs or node.inputs[0] is None or len(node.outputs) != 1:
            return None
        x, y = node.inputs[0], node.outputs[0]
        match node.op_type:
            case "Identity":
                return x
            case "Cast":
                to = node.attributes.get("to")
                same = to is not None and to.ref is None and x.dtype is not None and from_onnx(to.value) == x.dtype
                return x if same else None
            case "Transpose":
                perm = node.attributes.get("perm")
                none_moved = perm is not None and perm.ref is None and perm.value == list(range(len(perm.value)))
                return x if none_moved else None
            case "Reshape":
                if x.shape is None or None in x.shape:
                    return None
                return x if x.shape == y.shape or self._target(node) == list(x.shape) else None
        return None

    def _target(self, node: Node) -> list[int] | None:
        shape = self.known.get(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] is not None else None
        return None if shape is None else [int(d) for d in shape.numpy().flat]

    def folded(self, node: Node) -> list[tuple[Value, Tensor]] | None:
        """The node's outputs as constants, if they can be had and are small enough."""
        tensors = [None if v is None else self.known.get(v) for v in node.inputs]
        absent = any(t is None and v is not None for t, v in zip(tensors, node.inputs, strict=True))
        if self.evaluate is None or absent or node.graphs() or not self.pure(node):
            return None
        if any(a.ref is not None for a in node.attributes.values()):
            return None
        arrays = [None if t is None else t.numpy() for t in tensors]
        if _growth(node, arrays) > self.max_bytes or any(self._too_large(v) for v in node.outputs):
            return None
        results = self.evaluate(node, arrays)
        if results is None or len(results) < len(node.outputs):
            return None
        folded = [(v, Tensor.of(a, name=v.name)) for v, a in zip(node.outputs, results, strict=False) if v.name]
        return folded if sum(t.nbytes for _, t in folded) <= self.max_bytes else None

    def _too_large(self, value: Value) -> bool:
        if value.dtype is None or value.dtype == string or value.shape is None:
            return False
        sizes = [d for d in value.shape if isinstance(d, int)]
        return len(sizes) == len(value.shape) and nbytes(value.dtype, math.prod(sizes)) > self.max_bytes


def _growth(node: Node, arrays: Sequence[Array | None]) -> float:
    """How many elements the result has at least, where values of inputs decide it; asked before it is made."""
    match node.op_type, arrays:
        case "ConstantOfShape", [np.ndarray() as shape]:
            return math.prod(int(d) for d in shape.flat)
        case "Expand", [_, np.ndarray() as shape]:
            return math.prod(int(d) for d in shape.flat)
        case "Tile", [np.ndarray() as x, np.ndarray() as repeats]:
            return x.size * math.prod(int(d) for d in repeats.flat)
        case "OneHot", [np.ndarray() as indices, np.ndarray(size=1) as depth, *_]:
            return indices.size * float(depth.item())
        case "Range", [np.ndarray(size=1) as start, np.ndarray(size=1) as limit, np.ndarray(size=1) as delta]:
            step = float(delta.item())
            return (float(limit.item()) - float(start.item())) / step if step else math.inf
    return 0


def _adopt_outputs(graph: Graph, instead: dict[Value, Value]) -> int:
    """Where a graph output is only a second name (Identity) for what a node here makes, let that node make it."""
    adopted: dict[Value, Value] = {}
    gone: set[Node] = set()
    mine = set(graph.nodes)
    outputs = set(graph.outputs)
    for node in graph.nodes:
        if node.domain or node.op_type != "Identity" or node.inputs[0] is None or node.outputs[0] not in outputs:
            continue
        source, made = adopted.get(node.inputs[0], node.inputs[0]), node.outputs[0]
        maker = source.producer
        if maker is None or maker not in mine or source in outputs:
            continue
        maker.outputs[source.index] = made
        made.producer, made.index = maker, source.index
        if made.dtype is None:
            made.dtype, made.shape, made.type_proto = source.dtype, source.shape, source.type_proto
        gone.add(node)
        adopted[source] = made
    if adopted:
        graph.nodes = [node for node in graph.nodes if node not in gone]
        for node in graph.walk():
            node.inputs = [v if v is None else adopted.get(v, v) for v in node.inputs]
    instead |= adopted
    return len(gone)


_CONSTANT: dict[str, Any] = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
    "value_string": object,
    "value_strings": object,
}


def constant_tensor(node: Node) -> Tensor | None:
    """The value of a Constant node; None for a sparse one and for one that refers to a function's attribute."""
    for name, attr in node.attributes.items():
        if attr.ref is not None:
            return None
        if name == "value":
            tensor: Tensor = attr.value
            return tensor
        if name in _CONSTANT:
            return Tensor.of(np.array(attr.value, _CONSTANT[name]))
    return None
