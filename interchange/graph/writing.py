"""ModelIR -> ModelProto. See `proto.to_proto`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from interchange.dtypes import string, to_onnx
from interchange.errors import FileError
from interchange.graph.core import Attr, AttrType, Function, Graph, ModelIR, Node, Value
from interchange.graph.reading import ATTR_FIELD, read_type
from interchange.graph.tensor import SparseTensor, Tensor, encode

if TYPE_CHECKING:
    import onnx

# (initializer, its TensorProto) -> whether the data went elsewhere and must not be put into the proto
Place = Callable[[Tensor, "onnx.TensorProto"], bool]

_FLOAT32_MAX = float(np.finfo(np.float32).max)


class _Scope:
    """The names of one graph: all of them, and which values are made already."""

    def __init__(self, outer: _Scope | None, where: str) -> None:
        self.outer, self.where = outer, where
        self.names: dict[str, Value] = {}
        self.made: set[Value] = set()

    def define(self, values: Iterable[Value]) -> None:
        for value in values:
            if not value.name or self.names.setdefault(value.name, value) is not value:
                _bad_name(value, self.where, "no name" if not value.name else f"two values named {value.name!r}")

    def name_of(self, value: Value, where: str) -> str:
        """The name by which `value` is read here; proves that a reader of the file finds the same value."""
        scope: _Scope | None = self
        while scope is not None:
            found = scope.names.get(value.name)
            if found is value:
                if value in scope.made:
                    return value.name
                break
            if found is not None:
                _bad_name(value, where, f"two values named {value.name!r} in graphs that are nested")
            scope = scope.outer
        made = "it is made later" if scope is not None else "no input, initializer or node output of this graph"
        raise FileError(
            "IX310",
            f"value {value.name!r} is used, but nothing makes it before",
            where=where,
            found=made,
            expected="every value made before it is used",
            fix="call toposort() on the graph, or add what makes the value",
        )


class Writer:
    """Writes one model."""

    def __init__(self, place: Place | None = None) -> None:
        self.place = place

    # -- model --------------------------------------------------------------------------------------------------------
    def model(self, model: ModelIR) -> onnx.ModelProto:
        """The whole model."""
        import onnx

        proto = onnx.ModelProto()
        with _Fits("the model"):
            proto.ir_version = model.ir_version
            for field in ("producer_name", "producer_version", "domain", "model_version"):
                if value := getattr(model, field):
                    setattr(proto, field, value)
            if model.doc:
                proto.doc_string = model.doc
            _write_entries(proto.metadata_props, model.metadata)
            _write_opsets(proto.opset_import, model.opsets)
        self.graph(model.graph, proto.graph, None)
        for function in model.functions.values():
            self.function(function, proto.functions.add())
        for data in model.training_info:
            proto.training_info.add().ParseFromString(data)
        for data in model.configuration:
            proto.configuration.add().ParseFromString(data)
        return proto

    def function(self, function: Function, proto: onnx.FunctionProto) -> None:
        """One local function."""
        where = f"function {function.domain}::{function.name}"
        scope = _Scope(None, where)
        scope.define(function.values())
        scope.made.update(function.inputs)
        with _Fits(where):
            proto.name, proto.domain = function.name, function.domain
            if function.overload:
                proto.overload = function.overload
            if function.doc:
                proto.doc_string = function.doc
            proto.input.extend(v.name for v in function.inputs)
            proto.attribute.extend(function.attributes)
            _write_entries(proto.metadata_props, function.metadata)
            _write_opsets(proto.opset_import, function.opsets)
        for name in sorted(function.defaults):
            self.attribute(name, function.defaults[name], proto.attribute_proto.add(), scope, where)
        for node in function.nodes:
            self.node(node, proto.node.add(), scope)
        proto.output.extend(scope.name_of(v, f"output of {where}") for v in function.outputs)
        for value in function.values():
            if _has_info(value):
                write_value(value, proto.value_info.add())

    # -- graph --------------------------------------------------------------------------------------------------------
    def graph(self, graph: Graph, proto: onnx.GraphProto, outer: _Scope | None) -> None:
        """A graph or subgraph; outer: the scope around it."""
        where = f"graph {graph.name!r}"
        scope = _Scope(outer, where)
        scope.define(graph.values())
        constants = [*graph.initializers.values(), *graph.sparse_initializers]
        scope.made.update(graph.inputs, constants)
        with _Fits(where):
            proto.name = graph.name
            if graph.doc:
                proto.doc_string = graph.doc
            _write_entries(proto.metadata_props, graph.metadata)
        for value in graph.inputs:
            write_value(value, proto.input.add())
        for value in graph.initializers.values():
            if value.const is None:
                raise FileError(
                    "IX319",
                    f"initializer {value.name!r} has no data",
                    where=where,
                    found="Value.const is None",
                    expected="a Tensor",
                    fix="add it with graph.add_initializer(name, data)",
                )
            self.tensor(value.const, proto.initializer.add(), value.name, external=True)
        for value, sparse in graph.sparse_initializers.items():
            self.sparse(sparse, proto.sparse_initializer.add(), value.name)
        for node in graph.nodes:
            self.node(node, proto.node.add(), scope)
        for value in graph.outputs:
            write_value(value, proto.output.add(), scope.name_of(value, f"output of {where}"))
        told = {*graph.inputs, *graph.outputs}
        held = set(constants)
        for value in graph.values():
            if value not in told and (value.doc or value.metadata if value in held else _has_info(value)):
                write_value(value, proto.value_info.add())
        for value, roles in graph.quantization:
            place = f"quantization annotation of {value.name!r}"
            entry = proto.quantization_annotation.add()
            entry.tensor_name = scope.name_of(value, place)
            _write_entries(
                entry.quant_parameter_tensor_names, {role: scope.name_of(v, place) for role, v in roles.items()}
            )

    def node(self, node: Node, proto: onnx.NodeProto, scope: _Scope) -> None:
        """One node; its outputs count as made from then on."""
        where = node.describe()
        with _Fits(where):
            proto.op_type = node.op_type
            if node.domain:
                proto.domain = node.domain
            if node.name:
                proto.name = node.name
            if node.overload:
                proto.overload = node.overload
            if node.doc:
                proto.doc_string = node.doc
            if node.metadata:
                _write_entries(proto.metadata_props, node.metadata)
        proto.input.extend("" if v is None else scope.name_of(v, where) for v in node.inputs)
        proto.output.extend(v.name for v in node.outputs)
        for name in sorted(node.attributes):
            self.attribute(name, node.attributes[name], proto.attribute.add(), scope, where)
        for data in node.device_configurations:
            proto.device_configurations.add().ParseFromString(data)
        scope.made.update(node.outputs)

    def attribute(self, name: str, attr: Attr, proto: onnx.AttributeProto, scope: _Scope, where: str) -> None:
        """One attribute, with its type always stated."""
        where = f"attribute {name!r} of {where}"
        with _Fits(where, "IX315"):
            proto.name = name
            proto.type = int(attr.type)  # type: ignore[assignment]
            if attr.doc:
                proto.doc_string = attr.doc
            if attr.ref is not None:
                proto.ref_attr_name = attr.ref
                return
            field = ATTR_FIELD[attr.type]
            items = attr.value if attr.type.is_list else [attr.value]
            single = AttrType[attr.type.name[:-1]] if attr.type.is_list else attr.type
            match single:
                case AttrType.TENSOR | AttrType.GRAPH | AttrType.SPARSE_TENSOR | AttrType.TYPE_PROTO:
                    for item in items:
                        target = getattr(proto, field).add() if attr.type.is_list else getattr(proto, field)
                        target.SetInParent()
                        if single is AttrType.TENSOR:
                            self.tensor(item, target, item.name)
                        elif single is AttrType.GRAPH:
                            self.graph(item, target, scope)
                        elif single is AttrType.SPARSE_TENSOR:
                            self.sparse(item, target, item.values.name)
                        else:
                            target.ParseFromString(item)
                    return
                case AttrType.STRING:
                    items = [s if isinstance(s, bytes) else s.encode() for s in items]
                case AttrType.FLOAT:
                    for item in items:
                        if math.isfinite(item) and abs(item) > _FLOAT32_MAX:
                            raise ValueError(f"{item!r} does not fit float32")
            if attr.type.is_list:
                getattr(proto, field).extend(items)
            else:
                setattr(proto, field, items[0])

    # -- data ---------------------------------------------------------------------------------------------------------
    def sparse(self, sparse: SparseTensor, proto: onnx.SparseTensorProto, name: str) -> None:
        """A sparse tensor; its name is the name of its values."""
        self.tensor(sparse.values, proto.values, name)
        self.tensor(sparse.indices, proto.indices, sparse.indices.name)
        proto.dims.extend(sparse.dims)

    def tensor(self, tensor: Tensor, proto: onnx.TensorProto, name: str, external: bool = False) -> None:
        """A tensor as raw data (strings: string_data), or placed elsewhere by `place`."""
        proto.dims.extend(tensor.shape)
        proto.data_type = to_onnx(tensor.dtype)
        if name:
            proto.name = name
        if tensor.doc:
            proto.doc_string = tensor.doc
        if tensor.metadata:
            _write_entries(proto.metadata_props, tensor.metadata)
        if tensor.dtype == string:
            proto.string_data.extend(encode(s) for s in tensor.numpy().flat)
        elif not (external and self.place is not None and self.place(tensor, proto)):
            proto.raw_data = bytes(tensor.raw())


def write_value(value: Value, proto: onnx.ValueInfoProto, name: str | None = None) -> None:
    """The ValueInfoProto of a value; what is unknown is left out."""
    with _Fits(f"value {value.name!r}"):
        proto.name = value.name if name is None else name
        if value.doc:
            proto.doc_string = value.doc
        if value.metadata:
            _write_entries(proto.metadata_props, value.metadata)
        if value.type_proto is not None:
            proto.type.ParseFromString(value.type_proto)
            if read_type(proto.type, value.name)[:2] == (value.dtype, value.shape):
                return
            proto.type.Clear()  # it was changed after it was read
        if value.dtype is not None:
            proto.type.tensor_type.elem_type = to_onnx(value.dtype)
        if value.shape is not None:
            shape = proto.type.tensor_type.shape
            shape.SetInParent()
            for dim in value.shape:
                target = shape.dim.add()
                if isinstance(dim, str):
                    target.dim_param = dim
                elif dim is not None:
                    target.dim_value = dim


def _has_info(value: Value) -> bool:
    return bool(value.dtype is not None or value.shape is not None or value.type_proto or value.doc or value.metadata)


def _write_entries(field: Any, entries: Mapping[str, str]) -> None:
    for key, value in entries.items():
        field.add(key=key, value=value)


def _write_opsets(field: Any, opsets: Mapping[str, int]) -> None:
    for domain, version in opsets.items():
        field.add(domain=domain, version=version)


def _bad_name(value: Value, where: str, found: str) -> None:
    raise FileError(
        "IX311",
        f"the name {value.name!r} does not tell which value is meant",
        where=where,
        found=found,
        expected="a name for each value, which no other value has in its scope",
        fix="rename one, or run interchange.graph.passes.unique_names(model)",
    )


class _Fits:
    """Turns what protobuf raises for a value that a field cannot hold into a FileError that says where."""

    def __init__(self, where: str, code: str = "IX319") -> None:
        self.where, self.code = where, code

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (TypeError, ValueError, AttributeError)) and not isinstance(error, FileError):
            raise FileError(
                self.code,
                "a value does not fit the file format",
                where=self.where,
                found=str(error),
                expected="int64 numbers, float32 numbers, text that is Unicode",
                fix="correct the value",
            ) from None
