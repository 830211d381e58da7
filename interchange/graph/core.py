"""The graph: values, nodes and attributes in memory, small and mutable.

A `Value` is what flows along an edge. It is identified by being the same object, never by its name; names exist for
people and for the file. A subgraph reads a value of an outer graph by holding that very object.

Rules that `proto.to_proto` relies on, and checks:

* the nodes of a graph are in an order in which every value is made before it is used (`Graph.toposort` makes one);
* a name means one value in its scope;
* an output a node does not make is a `Value` with an empty name, an input it does not get is None.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from interchange.dtypes import DType, name_of, to_onnx
from interchange.errors import FileError
from interchange.graph.naming import Names
from interchange.graph.tensor import SparseTensor, Tensor

Shape = tuple[int | str | None, ...]  # a str is the file's dim_param, as written there
FunctionKey = tuple[str, str, str]  # domain, name, overload


class AttrType(enum.IntEnum):
    """The type of an attribute; the numbers are AttributeProto.AttributeType's."""

    FLOAT, INT, STRING, TENSOR, GRAPH = 1, 2, 3, 4, 5
    FLOATS, INTS, STRINGS, TENSORS, GRAPHS = 6, 7, 8, 9, 10
    SPARSE_TENSOR, SPARSE_TENSORS, TYPE_PROTO, TYPE_PROTOS = 11, 12, 13, 14

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return self.name.endswith("S")


class Value:
    """A tensor (or sequence, map, optional) that a graph takes, holds or computes.

    name: empty for an output that its node leaves out.  dtype, shape: None while unknown.  producer, index: the node
    that makes it and which of its outputs it is; None for inputs and constants.  const: the data of an initializer.
    type_proto: the serialised TypeProto, kept where dtype and shape do not say everything (sequences, denotations).
    """

    __slots__ = ("const", "doc", "dtype", "index", "metadata", "name", "producer", "shape", "type_proto")

    def __init__(
        self,
        name: str,
        dtype: DType | None = None,
        shape: Shape | None = None,
        *,
        const: Tensor | None = None,
        doc: str = "",
        metadata: dict[str, str] | None = None,
        type_proto: bytes | None = None,
    ) -> None:
        self.name, self.dtype, self.shape = name, dtype, shape
        self.producer: Node | None = None
        self.index = 0
        self.const, self.doc, self.type_proto = const, doc, type_proto
        self.metadata: dict[str, str] = {} if metadata is None else metadata

    def type_text(self) -> str:
        """The type in the shape language, ``float32[batch, 3]``; ``?`` for what is unknown."""
        if self.dtype is None:
            return "?"
        if self.shape is None:
            return name_of(self.dtype)
        return f"{name_of(self.dtype)}[{', '.join('?' if d is None else str(d) for d in self.shape)}]"

    def __repr__(self) -> str:
        return f"{self.name or '(omitted)'}: {self.type_text()}"


class Attr:
    """A typed attribute: a value, or (in a function body) a reference to an attribute of the function.

    value: int, float, str (bytes where it is not UTF-8), Tensor, Graph, SparseTensor, serialised TypeProto bytes, or a
    list of these; None when `ref` names the function's attribute.
    """

    __slots__ = ("doc", "ref", "type", "value")

    def __init__(self, type: AttrType, value: Any, ref: str | None = None, doc: str = "") -> None:
        self.type, self.value, self.ref, self.doc = type, value, ref, doc

    @classmethod
    def of(cls, value: Any, type: AttrType | None = None) -> Attr:
        """An attribute from a Python value; the type is inferred (an empty list needs it said).

        np.ndarray -> TENSOR, np.dtype -> INT (ONNX's number of it), bool and int -> INT, ints and floats -> FLOATS.
        Raises FileError IX315 for what no attribute can hold.
        """
        if isinstance(value, Attr):
            return value
        if isinstance(value, (list, tuple)):
            items = [_scalar(v) for v in value]
            kinds = {kind for kind, _ in items} or {single for single, many in _LIST_OF.items() if many is type}
            if kinds == {AttrType.INT, AttrType.FLOAT} or (type is AttrType.FLOATS and kinds == {AttrType.INT}):
                kinds, items = {AttrType.FLOAT}, [(AttrType.FLOAT, float(v)) for _, v in items]
            if len(kinds) != 1:
                found = "an empty list" if not kinds else "a list of " + " and ".join(sorted(k.name for k in kinds))
                raise _no_attribute(found, "say the type: Attr.of([], AttrType.INTS), or give items of one type")
            attr = cls(_LIST_OF[kinds.pop()], [v for _, v in items])
        else:
            kind, item = _scalar(value)
            wanted = type is AttrType.FLOAT and kind is AttrType.INT
            attr = cls(AttrType.FLOAT, float(item)) if wanted else cls(kind, item)
        if type is not None and attr.type is not type:
            raise _no_attribute(f"{attr.type.name}, where {type.name} was asked for", "convert it first")
        return attr

    def graphs(self) -> list[Graph]:
        """The subgraphs it holds."""
        if self.type is AttrType.GRAPH and self.ref is None:
            return [self.value]
        return self.value if self.type is AttrType.GRAPHS and self.ref is None else []

    def __repr__(self) -> str:
        return f"@{self.ref}" if self.ref is not None else repr(self.value)


_LIST_OF = {single: AttrType[single.name + "S"] for single in AttrType if not single.is_list}  # INT -> INTS


def _no_attribute(found: str, fix: str) -> FileError:
    return FileError(
        "IX315",
        "this cannot be the value of an attribute",
        found=found,
        expected="int, float, str, bytes, array, Tensor, SparseTensor, Graph, dtype, or a list of one of them",
        fix=fix,
    )


def _scalar(value: Any) -> tuple[AttrType, Any]:
    match value:
        case bool() | int() | np.integer() | np.bool_():
            return AttrType.INT, int(value)
        case float() | np.floating():
            return AttrType.FLOAT, float(value)
        case str() | bytes():
            return AttrType.STRING, value
        case np.dtype():
            return AttrType.INT, to_onnx(value)
        case np.ndarray() | np.generic():
            return AttrType.TENSOR, Tensor.of(value)
        case Tensor():
            return AttrType.TENSOR, value
        case SparseTensor():
            return AttrType.SPARSE_TENSOR, value
        case Graph():
            return AttrType.GRAPH, value
    raise _no_attribute(f"a {type(value).__name__}", "convert it first")


class Node:
    """A call of an operator. Making a node makes it the producer of its outputs.

    domain: "" is ai.onnx.  inputs: None where an optional input is left out.  outputs: a Value with an empty name
    where an optional output is left out.  device_configurations: serialised NodeDeviceConfigurationProto, kept as is.
    """

    __slots__ = (
        "attributes",
        "device_configurations",
        "doc",
        "domain",
        "inputs",
        "metadata",
        "name",
        "op_type",
        "outputs",
        "overload",
    )

    def __init__(
        self,
        op_type: str,
        inputs: Iterable[Value | None],
        outputs: Iterable[Value],
        attributes: dict[str, Attr] | None = None,
        *,
        domain: str = "",
        name: str = "",
        doc: str = "",
        metadata: dict[str, str] | None = None,
        overload: str = "",
        device_configurations: Sequence[bytes] = (),
    ) -> None:
        self.op_type, self.domain, self.overload = op_type, "" if domain == "ai.onnx" else domain, overload
        self.inputs: list[Value | None] = list(inputs)
        self.outputs: list[Value] = list(outputs)
        self.attributes: dict[str, Attr] = {} if attributes is None else attributes
        self.name, self.doc = name, doc
        self.metadata: dict[str, str] = {} if metadata is None else metadata
        self.device_configurations = tuple(device_configurations)
        for index, value in enumerate(self.outputs):
            value.producer, value.index = self, index

    def graphs(self) -> list[Graph]:
        """The subgraphs in its attributes, in attribute order."""
        return [g for a in self.attributes.values() for g in a.graphs()]

    def reads(self) -> Iterator[Value]:
        """Every value it needs: its inputs, and what its subgraphs take from outside."""
        yield from (v for v in self.inputs if v is not None)
        for graph in self.graphs():
            yield from graph.free_values()

    def describe(self) -> str:
        """For messages: ``node 'layer1/conv' (Conv)``, or by its first output when it has no name."""
        made = next((v.name for v in self.outputs if v.name), "")
        op = f"{self.domain}::{self.op_type}" if self.domain else self.op_type
        return f"node {self.name!r} ({op})" if self.name else f"the {op} node that makes {made!r}"

    def __repr__(self) -> str:
        from interchange.graph.printing import node_text

        return node_text(self)


class Graph:
    """Nodes in order, with inputs, outputs and constants.

    initializers: the constants by name; one that is also in `inputs` is the default of that input.
    sparse_initializers: the same for sparse data.  quantization: for a value, its parameters by role
    (``SCALE_TENSOR`` -> value).
    """

    __slots__ = (
        "_names",
        "_names_key",
        "doc",
        "initializers",
        "inputs",
        "metadata",
        "name",
        "nodes",
        "outputs",
        "quantization",
        "sparse_initializers",
    )

    def __init__(
        self,
        name: str = "graph",
        inputs: Iterable[Value] = (),
        outputs: Iterable[Value] = (),
        nodes: Iterable[Node] = (),
        initializers: Iterable[Value] = (),
        *,
        doc: str = "",
        metadata: dict[str, str] | None = None,
    ) -> None:
        self.name, self.doc = name, doc
        self.inputs: list[Value] = list(inputs)
        self.outputs: list[Value] = list(outputs)
        self.nodes: list[Node] = list(nodes)
        self.initializers: dict[str, Value] = {v.name: v for v in initializers}
        self.sparse_initializers: dict[Value, SparseTensor] = {}
        self.quantization: list[tuple[Value, dict[str, Value]]] = []
        self.metadata: dict[str, str] = {} if metadata is None else metadata
        self._names = Names()
        self._names_key: tuple[int, ...] = ()

    # -- looking --------------------------------------------------------------------------------------------------
    def values(self) -> Iterator[Value]:
        """Every value this graph defines: inputs, constants, node outputs; each once, without its subgraphs'."""
        yield from self.inputs
        inputs = set(self.inputs)
        yield from (v for v in self.initializers.values() if v not in inputs)
        yield from (v for v in self.sparse_initializers if v not in inputs)
        for node in self.nodes:
            yield from (v for v in node.outputs if v.name)

    def all_graphs(self) -> Iterator[Graph]:
        """This graph and all its subgraphs, outer ones first."""
        yield self
        for node in self.nodes:
            for graph in node.graphs():
                yield from graph.all_graphs()

    def walk(self) -> Iterator[Node]:
        """Every node, a node before the nodes of its subgraphs."""
        for node in self.nodes:
            yield node
            for graph in node.graphs():
                yield from graph.walk()

    def uses(self) -> dict[Value, list[tuple[Node, int]]]:
        """For each value, the (node, input index) pairs that read it, in subgraphs too; graph outputs do not count."""
        found: dict[Value, list[tuple[Node, int]]] = {}
        for node in self.walk():
            for index, value in enumerate(node.inputs):
                if value is not None:
                    found.setdefault(value, []).append((node, index))
        return found

    def free_values(self) -> list[Value]:
        """The values of outer graphs that this graph, or a subgraph of it, reads; in order of first use, each once."""
        defined = set(self.values())
        free: dict[Value, None] = {}
        for node in self.nodes:
            free.update((v, None) for v in node.reads() if v not in defined)
        free.update((v, None) for v in self.outputs if v not in defined)
        return list(free)

    # -- changing -------------------------------------------------------------------------------------------------
    def append(self, node: Node) -> Node:
        """Add a node at the end."""
        current = self._names_key == self._key()
        self.nodes.append(node)
        if current:
            self._names.taken.update([node.name, *(v.name for v in node.outputs)])
            self._names_key = self._key()
        return node

    def add_initializer(self, name: str, data: Any, *, doc: str = "", metadata: dict[str, str] | None = None) -> Value:
        """Add a constant from a Tensor or an array, under a name that is free (`unique_name`)."""
        tensor = data if isinstance(data, Tensor) else Tensor.of(data, name=name)
        value = Value(name, tensor.dtype, tensor.shape, const=tensor, doc=doc, metadata=metadata)
        current = self._names_key == self._key()
        self.initializers[name] = value
        if current:
            self._names.taken.add(name)
            self._names_key = self._key()
        return value

    def replace_uses(self, old: Value, new: Value, *, outputs: bool = False) -> int:
        """Make every node that reads `old`, in subgraphs too, read `new`; with `outputs`, the graph's outputs as well.

        Returns the number of places. Outputs are left by default: replacing one changes the model's signature.
        """
        places = 0
        for node in self.walk():
            for index, value in enumerate(node.inputs):
                if value is old:
                    node.inputs[index] = new
                    places += 1
        if outputs:
            places += self.outputs.count(old)
            self.outputs = [new if v is old else v for v in self.outputs]
        return places

    def unique_name(self, prefix: str) -> str:
        """`prefix`, or ``prefix_1``, ``prefix_2``...: a name that no value and no node here or in a subgraph has.

        It is taken from then on. Constant time while the graph grows by `append` and `add_initializer`.
        """
        if self._names_key != self._key():
            values = (v.name for g in self.all_graphs() for v in g.values())
            self._names = Names([*values, *(n.name for n in self.walk())])
            self._names_key = self._key()
        return self._names.free(prefix)

    def _key(self) -> tuple[int, ...]:
        return len(self.nodes), len(self.inputs), len(self.initializers), len(self.sparse_initializers)

    def toposort(self) -> bool:
        """Put the nodes, of subgraphs too, in an order in which values are made before they are used.

        Keeps the present order where it can. Returns whether anything moved. Raises FileError IX314 for a cycle.
        """
        changed = [graph.toposort() for node in self.nodes for graph in node.graphs()]
        position = {node: i for i, node in enumerate(self.nodes)}
        needs = [
            {v.producer: None for v in node.reads() if v.producer is not None and v.producer in position}
            for node in self.nodes
        ]
        if all(position[p] < i for i, producers in enumerate(needs) for p in producers):
            return any(changed)
        done: set[Node] = set()
        order: list[Node] = []
        open_: dict[Node, None] = {}  # the path being followed
        stack: list[tuple[Node, bool]] = [(node, False) for node in reversed(self.nodes)]
        while stack:
            node, made = stack.pop()
            if made:
                del open_[node]
                done.add(node)
                order.append(node)
            elif node in open_:
                loop = [n.describe() for n in list(open_)[list(open_).index(node) :]]
                raise FileError(
                    "IX314",
                    f"graph {self.name!r} has a cycle: nodes wait for each other",
                    where=node.describe(),
                    found=" <- ".join(loop[:6]) + (" ..." if len(loop) > 6 else ""),
                    expected="nodes that can be put in an order",
                    fix="break the cycle; what repeats belongs into a Loop or Scan",
                )
            elif node not in done:
                open_[node] = None
                stack.append((node, True))
                stack.extend((p, False) for p in reversed(needs[position[node]]) if p not in done)
        self.nodes = order
        return True

    def __str__(self) -> str:
        from interchange.graph.printing import graph_text

        return graph_text(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: {len(self.nodes)} nodes>"


class Function(Graph):
    """An operator defined by nodes, local to a model. A `Graph` without constants, called by (domain, name, overload).

    attributes: names of the attributes without a default.  defaults: the others.  opsets: what its own nodes mean.
    """

    __slots__ = ("attributes", "defaults", "domain", "opsets", "overload")

    def __init__(
        self,
        domain: str,
        name: str,
        inputs: Iterable[Value] = (),
        outputs: Iterable[Value] = (),
        nodes: Iterable[Node] = (),
        *,
        overload: str = "",
        attributes: Iterable[str] = (),
        defaults: dict[str, Attr] | None = None,
        opsets: dict[str, int] | None = None,
        doc: str = "",
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(name, inputs, outputs, nodes, doc=doc, metadata=metadata)
        self.domain, self.overload = domain, overload
        self.attributes: list[str] = list(attributes)
        self.defaults: dict[str, Attr] = {} if defaults is None else defaults
        self.opsets: dict[str, int] = {} if opsets is None else opsets

    @property
    def key(self) -> FunctionKey:
        """What a node calls it by: (domain, name, overload)."""
        return self.domain, self.name, self.overload


class ModelIR:
    """A model: its graph, its local functions, and what operators mean (`opsets`: domain -> version, "" is ai.onnx).

    training_info, configuration: serialised TrainingInfoProto and DeviceConfigurationProto, kept as they are.
    """

    __slots__ = (
        "configuration",
        "doc",
        "domain",
        "functions",
        "graph",
        "ir_version",
        "metadata",
        "model_version",
        "opsets",
        "producer_name",
        "producer_version",
        "training_info",
    )

    def __init__(
        self,
        graph: Graph,
        opsets: dict[str, int] | None = None,
        *,
        functions: Iterable[Function] = (),
        ir_version: int = 10,
        producer_name: str = "",
        producer_version: str = "",
        domain: str = "",
        model_version: int = 0,
        doc: str = "",
        metadata: dict[str, str] | None = None,
    ) -> None:
        self.graph = graph
        self.opsets: dict[str, int] = {"": 21} if opsets is None else opsets
        self.functions: dict[FunctionKey, Function] = {f.key: f for f in functions}
        self.ir_version = ir_version
        self.producer_name, self.producer_version, self.domain = producer_name, producer_version, domain
        self.model_version, self.doc = model_version, doc
        self.metadata: dict[str, str] = {} if metadata is None else metadata
        self.training_info: tuple[bytes, ...] = ()
        self.configuration: tuple[bytes, ...] = ()

    def all_graphs(self) -> Iterator[Graph]:
        """The graph, the functions, and all subgraphs of both."""
        for body in (self.graph, *self.functions.values()):
            yield from body.all_graphs()

    def walk(self) -> Iterator[Node]:
        """Every node of the graph, the functions, and all subgraphs."""
        for body in (self.graph, *self.functions.values()):
            yield from body.walk()

    def __str__(self) -> str:
        from interchange.graph.printing import model_text

        return model_text(self)

    def __repr__(self) -> str:
        return f"<ModelIR {self.graph.name!r}: {len(self.graph.nodes)} nodes, {len(self.functions)} functions>"
