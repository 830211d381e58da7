"""One of two models as it is compared: its graph, and what the graph does not hold of the file."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interchange.comparing.report import Facts
from interchange.graph.core import ModelIR, Value
from interchange.graph.opening import no_source, read
from interchange.graph.proto import from_proto
from interchange.graph.reading import read_type

if TYPE_CHECKING:
    import onnx

Source = Any  # str, path, bytes, onnx.ModelProto or ModelIR


@dataclass(frozen=True, slots=True)
class Side:
    """A model to compare.

    outputs: as they are declared (a graph has one type for an output that is an input too).  unread: declarations that
    say nothing about a value which a node makes, and how often.
    unknown: what identifies the message if it has fields which this release of onnx does not know.
    disordered: whether a node stands before one that it reads from, which runtimes refuse.
    """

    file: str
    ir: ModelIR
    outputs: list[Value]
    unread: Counter[bytes] = field(default_factory=Counter)
    unknown: bytes = b""
    disordered: bool = False

    def facts(self) -> Facts:
        """For the reader."""
        data = [v.const for g in self.ir.all_graphs() for v in g.initializers.values() if v.const is not None]
        opsets = ", ".join(f"{d or 'opset'} {v}" for d, v in self.ir.opsets.items())
        return Facts(self.file, opsets, sum(1 for _ in self.ir.walk()), len(data), sum(t.size for t in data))


def open_side(source: Source, name: str, trust_links: bool) -> Side:
    """Read a model. name: what to call one without a path. Raises FileError as `interchange.graph.files.load`."""
    if isinstance(source, ModelIR):
        return Side(name, source, source.graph.outputs)
    if isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)):
        if isinstance(source, (bytearray, memoryview)):
            source = bytes(source)
        written = read(source)
        proto = written.proto  # without unknown fields
        unknown = b"" if written.exact else _unknown(type(proto).FromString(written.head))
        ir = from_proto(proto, written.folder, windows=written.windows, trust_links=trust_links)
        name = name if isinstance(source, bytes) else os.fspath(source)
    elif hasattr(source, "SerializeToString") and hasattr(source, "graph"):
        proto, ir, unknown = source, from_proto(source), _unknown(source)
    else:
        raise no_source(source)
    outputs = [_declared(v) for v in proto.graph.output]
    return Side(name, ir, outputs, Counter(_unread(proto)), unknown, _disordered(proto))


def _declared(proto: onnx.ValueInfoProto) -> Value:
    dtype, shape, kept = read_type(proto.type, proto.name) if proto.HasField("type") else (None, None, None)
    metadata = {e.key: e.value for e in proto.metadata_props}
    return Value(proto.name, dtype, shape, doc=proto.doc_string, metadata=metadata, type_proto=kept)


def _unread(model: onnx.ModelProto) -> Iterator[bytes]:
    """The declarations that `graph.reading` leaves out: of constants, of what a graph only hands through, of names that
    nothing has, and all but the last of several for one value. Names that may be changed are left out of them."""
    bodies: list[Any] = [model.graph, *model.functions]
    for body in bodies:  # grows
        bodies += [g for n in body.node for a in n.attribute for g in (a.g, *a.graphs) if g.ListFields()]
    graphs = [b for b in bodies if hasattr(b, "initializer")]
    made = [{o for n in b.node for o in n.output if o} for b in bodies]
    known = {*(n for names in made for n in names), *(n for f in model.functions for n in f.input)}
    known |= {n for g in graphs for n in (*(v.name for v in g.input), *(t.name for t in g.initializer))}
    known |= {s.values.name for g in graphs for s in g.sparse_initializer}
    for body, own in zip(bodies, made, strict=True):
        is_graph = hasattr(body, "initializer")
        infos = [*body.value_info, *(body.output if is_graph else ())]
        last = {v.name: at for at, v in enumerate(infos)}
        read = own if is_graph else own.union(body.input)
        for at, info in enumerate(infos):
            of_signature = body is model.graph and at >= len(body.value_info)
            if not of_signature and (at != last[info.name] or info.name not in read):
                bare = type(info)()
                bare.CopyFrom(info)
                if info.name in known:
                    bare.ClearField("name")
                yield bare.SerializeToString(deterministic=True)


def _disordered(model: onnx.ModelProto) -> bool:
    bodies: list[Any] = [model.graph, *model.functions]
    for body in bodies:  # grows
        position = {name: at for at, node in enumerate(body.node) for name in node.output if name}
        for at, node in enumerate(body.node):
            inner = [g for a in node.attribute for g in (a.g, *a.graphs) if g.ListFields()]
            bodies += inner
            reads = set(node.input)
            for graph in inner:  # grows
                inner += [g for n in graph.node for a in n.attribute for g in (a.g, *a.graphs) if g.ListFields()]
                reads |= {name for n in graph.node for name in n.input}
            if any(position.get(name, -1) >= at for name in reads):
                return True
    return False


def _unknown(proto: onnx.ModelProto) -> bytes:
    known = type(proto)()
    known.CopyFrom(proto)
    known.DiscardUnknownFields()
    if proto.ByteSize() == known.ByteSize():
        return b""
    return hashlib.sha256(proto.SerializeToString(deterministic=True)).digest()
