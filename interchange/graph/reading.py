"""ModelProto -> ModelIR. See `proto.from_proto`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from interchange.dtypes import DType, bits, bool_, from_onnx, name_of, nbytes, string
from interchange.errors import FileError
from interchange.graph.core import Attr, AttrType, Function, Graph, ModelIR, Node, Shape, Value
from interchange.graph.naming import Alike
from interchange.graph.tensor import SparseTensor, Tensor, check_shape

if TYPE_CHECKING:
    import onnx

# gives the bytes of an external tensor: (its external_data entries, bytes it needs, place for messages) -> window
External = Callable[[Mapping[str, str], int, str], memoryview]
Scope = dict[str, Value]

ATTR_FIELD = {
    AttrType.FLOAT: "f",
    AttrType.INT: "i",
    AttrType.STRING: "s",
    AttrType.TENSOR: "t",
    AttrType.GRAPH: "g",
    AttrType.SPARSE_TENSOR: "sparse_tensor",
    AttrType.TYPE_PROTO: "tp",
    AttrType.FLOATS: "floats",
    AttrType.INTS: "ints",
    AttrType.STRINGS: "strings",
    AttrType.TENSORS: "tensors",
    AttrType.GRAPHS: "graphs",
    AttrType.SPARSE_TENSORS: "sparse_tensors",
    AttrType.TYPE_PROTOS: "type_protos",
}
_FIELD_ATTR = {field: kind for kind, field in ATTR_FIELD.items()}
_ATTR_FRAME = {"name", "ref_attr_name", "doc_string", "type"}
_DATA_FIELDS = {
    "float_data",
    "int32_data",
    "string_data",
    "int64_data",
    "double_data",
    "uint64_data",
    "raw_data",
    "external_data",
}
_TYPED = {"float_data": np.float32, "int64_data": np.int64, "double_data": np.float64, "uint64_data": np.uint64}
_FIELD_OF = {
    "float32": "float_data",
    "complex64": "float_data",
    "float64": "double_data",
    "complex128": "double_data",
    "int64": "int64_data",
    "uint32": "uint64_data",
    "uint64": "uint64_data",
    "string": "string_data",
}  # the others are in int32_data


class Reader:
    """Reads one model. external: gives the bytes of external tensors. windows: raw data of the main graph's
    initializers, by position, which was left out of the proto."""

    def __init__(self, external: External, windows: Mapping[int, memoryview]) -> None:
        self.external, self.windows = external, windows

    # -- model --------------------------------------------------------------------------------------------------------
    def model(self, proto: onnx.ModelProto) -> ModelIR:
        """The whole model."""
        import onnx

        newest = int(onnx.IR_VERSION)
        if not proto.HasField("graph") or not 1 <= proto.ir_version <= newest:
            found = f"IR version {proto.ir_version}" if proto.HasField("graph") else "no graph"
            newer = proto.HasField("graph") and proto.ir_version > newest
            raise FileError(
                "IX317",
                "this is not a model that can be read",
                where="the model",
                found=found,
                expected=f"a graph, and an IR version from 1 to {newest} (the newest of onnx {onnx.__version__})",
                fix="update the onnx package" if newer else "check that the file is a complete ONNX model",
            )
        _check_text("the model", proto.producer_name, proto.producer_version, proto.domain, proto.doc_string)
        model = ModelIR(
            self.graph(proto.graph, (), function=False, main=True),
            _opsets(proto.opset_import, "the model"),
            ir_version=proto.ir_version,
            producer_name=proto.producer_name,
            producer_version=proto.producer_version,
            domain=proto.domain,
            model_version=proto.model_version,
            doc=proto.doc_string,
            metadata=_metadata(proto.metadata_props, "the model"),
        )
        for function in map(self.function, proto.functions):
            if function.key in model.functions:
                _duplicate("function", f"{function.domain}::{function.name}", "the model")
            model.functions[function.key] = function
        model.training_info = tuple(_bytes(t) for t in proto.training_info)
        model.configuration = tuple(_bytes(c) for c in proto.configuration)
        return model

    def function(self, proto: onnx.FunctionProto) -> Function:
        """One local function."""
        where = f"function {proto.domain}::{proto.name}"
        _check_text(where, proto.domain, proto.name, proto.overload, proto.doc_string, *proto.input, *proto.attribute)
        info = {v.name: v for v in proto.value_info}
        scope: Scope = {}
        function = Function(
            "" if proto.domain == "ai.onnx" else proto.domain,
            proto.name,
            [_define(scope, _value(n, info.get(n)), where) for n in proto.input],
            overload=proto.overload,
            attributes=proto.attribute,
            defaults={a.name: self.attribute(a, (), where, function=True) for a in proto.attribute_proto},
            opsets=_opsets(proto.opset_import, where),
            doc=proto.doc_string,
            metadata=_metadata(proto.metadata_props, where),
        )
        function.nodes = self.nodes(proto.node, (scope,), info, where, function=True)
        function.outputs = [_resolve(n, (scope,), f"output of {where}") for n in proto.output]
        function.toposort()
        return function

    # -- graph --------------------------------------------------------------------------------------------------------
    def graph(self, proto: onnx.GraphProto, outer: tuple[Scope, ...], *, function: bool, main: bool = False) -> Graph:
        """A graph or subgraph; outer: the names it may read, innermost first."""
        where = f"graph {proto.name!r}"
        _check_text(where, proto.name, proto.doc_string)
        scope: Scope = {}
        info = {v.name: v for v in proto.value_info}
        info.update((v.name, v) for v in proto.output)
        graph = Graph(proto.name, doc=proto.doc_string, metadata=_metadata(proto.metadata_props, where))
        graph.inputs = [_define(scope, _value(v.name, v), where) for v in proto.input]
        for position, t in enumerate(proto.initializer):
            tensor = self.tensor(t, f"initializer {t.name!r}", self.windows.get(position) if main else None)
            value = self.constant(t.name, tensor.dtype, tensor.shape, scope, info, where)
            if value.const is not None:
                _duplicate("initializer", t.name, where)
            value.const = tensor
            graph.initializers[t.name] = value
        for s in proto.sparse_initializer:
            sparse = self.sparse(s, f"sparse initializer {s.values.name!r}")
            value = self.constant(s.values.name, sparse.values.dtype, sparse.dims, scope, info, where)
            if value.const is not None or value in graph.sparse_initializers:
                _duplicate("initializer", s.values.name, where)
            graph.sparse_initializers[value] = sparse
        scopes = (scope, *outer)
        graph.nodes = self.nodes(proto.node, scopes, info, where, function=function)
        graph.outputs = [_resolve(v.name, scopes, f"output of {where}") for v in proto.output]
        for q in proto.quantization_annotation:
            place = f"quantization annotation of {q.tensor_name!r}"
            roles = _metadata(q.quant_parameter_tensor_names, place)
            params = {role: _resolve(name, scopes, place) for role, name in roles.items()}
            graph.quantization.append((_resolve(q.tensor_name, scopes, place), params))
        graph.toposort()
        return graph

    def constant(
        self, name: str, dtype: DType, shape: tuple[int, ...], scope: Scope, info: Mapping[str, Any], where: str
    ) -> Value:
        """The value of an initializer: a graph input of that name (the initializer is its default), or a new one."""
        if name in scope:
            return scope[name]
        value = _value(name, info.get(name))
        value.dtype, value.shape = dtype, shape
        return _define(scope, value, where)

    def nodes(
        self,
        protos: Iterable[onnx.NodeProto],
        scopes: tuple[Scope, ...],
        info: Mapping[str, onnx.ValueInfoProto],
        where: str,
        *,
        function: bool,
    ) -> list[Node]:
        """The nodes of a graph: first all they make, then all they read, so that their order does not matter."""
        made: list[tuple[onnx.NodeProto, Node]] = []
        for p in protos:
            _check_text(where, p.op_type, p.domain, p.name, p.overload, p.doc_string, *p.output)
            outputs = [Value("") if not n else _define(scopes[0], _value(n, info.get(n)), where) for n in p.output]
            made.append((p, Node(p.op_type, (), outputs, domain=p.domain, name=p.name, overload=p.overload)))
        for p, node in made:
            place = node.describe()
            node.inputs = [_resolve(n, scopes, place) if n else None for n in p.input]
            for a in p.attribute:
                if a.name in node.attributes:
                    _duplicate("attribute", a.name, place)
                node.attributes[a.name] = self.attribute(a, scopes, place, function=function)
            if p.doc_string:
                node.doc = p.doc_string
            if p.metadata_props:
                node.metadata = _metadata(p.metadata_props, place)
            if p.device_configurations:
                node.device_configurations = tuple(_bytes(c) for c in p.device_configurations)
        return [node for _, node in made]

    def attribute(self, proto: onnx.AttributeProto, scopes: tuple[Scope, ...], where: str, *, function: bool) -> Attr:
        """One attribute; function: inside a function body, where it may refer to an attribute of the function."""
        where = f"attribute {proto.name!r} of {where}"
        _check_text(where, proto.name, proto.ref_attr_name, proto.doc_string)
        fields = [f.name for f, _ in proto.ListFields() if f.name not in _ATTR_FRAME]
        number = int(proto.type) or (int(_FIELD_ATTR[fields[0]]) if len(fields) == 1 else 0)
        try:
            kind = AttrType(number)
        except ValueError:
            _bad_attribute(where, f"type number {number}, values in {fields or 'no field'}", "a type and its value")
        if proto.ref_attr_name:
            if fields or not function:
                found = f"a reference to {proto.ref_attr_name!r}" + (f" and a value in {fields}" if fields else "")
                _bad_attribute(where, found, "a reference only inside a function, and then without a value")
            return Attr(kind, None, proto.ref_attr_name, proto.doc_string)
        field = ATTR_FIELD[kind]
        missing = not fields and kind in (AttrType.TENSOR, AttrType.GRAPH, AttrType.SPARSE_TENSOR, AttrType.TYPE_PROTO)
        if missing or any(f != field for f in fields):
            _bad_attribute(where, f"values in {fields or 'no field'}", f"type {kind.name}, a value in {field!r} alone")
        readers: dict[str, Callable[[Any], Any]] = {
            "f": float,
            "i": int,
            "s": _text,
            "t": lambda t: self.tensor(t, where),
            "g": lambda g: self.graph(g, scopes, function=function),
            "sparse_tensor": lambda s: self.sparse(s, where),
            "tp": _bytes,
        }
        read = readers[ATTR_FIELD[AttrType[kind.name[:-1]]] if kind.is_list else field]
        value = getattr(proto, field)
        return Attr(kind, [read(v) for v in value] if kind.is_list else read(value), doc=proto.doc_string)

    # -- data ---------------------------------------------------------------------------------------------------------
    def sparse(self, proto: onnx.SparseTensorProto, where: str) -> SparseTensor:
        """A sparse tensor; whether its indices fit is seen when they are used (`SparseTensor.positions`)."""
        dims = check_shape(proto.dims, where)
        return SparseTensor(self.tensor(proto.values, where), self.tensor(proto.indices, where), dims)

    def tensor(self, proto: onnx.TensorProto, where: str, window: memoryview | None = None) -> Tensor:
        """A tensor, its size proven against its type; window: its raw data, when that is not in the proto."""
        dtype = from_onnx(proto.data_type)
        if dtype is None:
            _unknown_dtype(proto.data_type, where)
        _check_text(where, proto.name, proto.doc_string)
        shape = check_shape(proto.dims, where)
        metadata = _metadata(proto.metadata_props, where) if proto.metadata_props else None
        fields = [f.name for f, _ in proto.ListFields() if f.name in _DATA_FIELDS]
        external = proto.data_location == 1
        if window is not None:
            fields.append("raw_data")
        if len(fields) > 1 or proto.HasField("segment") or external != (fields == ["external_data"]):
            found = " and ".join(fields + ["segment"] * proto.HasField("segment")) or "no data"
            found += f", data_location {'EXTERNAL' if external else 'DEFAULT'}"
            _bad_data(where, found, "the data in one place only: runtimes choose differently between two")
        if external or fields == ["raw_data"]:
            if external:
                entries = _metadata(proto.external_data, where)
                window = self.external(entries, nbytes(dtype, math.prod(shape)), where)
            raw = proto.raw_data if window is None else window
            return Tensor.from_raw(raw, dtype, shape, proto.name, proto.doc_string, metadata, where)
        array = _typed_array(proto, dtype, shape, fields[0] if fields else None, where)
        return Tensor(dtype, shape, array=array, name=proto.name, doc=proto.doc_string, metadata=metadata)


def _typed_array(proto: onnx.TensorProto, dtype: DType, shape: tuple[int, ...], field: str | None, where: str) -> Any:
    """The array in the typed field of a TensorProto. Formula: the comments of TensorProto's fields in onnx.proto."""
    expected = _FIELD_OF.get(name_of(dtype), "int32_data")
    if field not in (None, expected):
        _bad_data(where, f"{name_of(dtype)} data in {field}", f"{expected} or raw_data")
    items = getattr(proto, expected)
    count, width = math.prod(shape), bits(dtype)
    per_item = 8 // width if width in (2, 4) else 1
    need = -(-count // per_item) * (2 if dtype.kind == "c" else 1)
    if len(items) != need:
        _bad_data(where, f"{len(items)} items in {expected}", f"{need} items for {name_of(dtype)}{list(shape)}")
    if dtype == string:
        strings = np.empty(count, object)
        strings[:] = [s.decode("utf-8", "surrogateescape") for s in items]
        return strings.reshape(shape)
    if expected != "int32_data":
        array = np.array(items, _TYPED[expected])
        if dtype.kind == "c":
            return array.view(dtype).reshape(shape)
        if dtype.itemsize < array.itemsize and array.size and array.max() >= 2**32:
            _bad_data(where, f"the item {array.max()}", "items that fit uint32")
        return array.astype(dtype, copy=False).reshape(shape)
    array = np.array(items, np.int32)
    if dtype.itemsize < 4:
        width = 8 if width in (2, 4) else width
        low, high = (0, 1) if dtype == bool_ else (-(1 << (width - 1)), (1 << width) - 1)
        if array.size and (array.min() < low or array.max() > high):
            _bad_data(where, f"items from {array.min()} to {array.max()}", f"items from {low} to {high}")
    if per_item > 1:
        packed = array.astype(np.uint8).tobytes()
        return Tensor.from_raw(packed, dtype, shape, where=where).numpy()
    return array.astype(f"u{dtype.itemsize}").view(dtype).reshape(shape)


def _value(name: str, info: onnx.ValueInfoProto | None) -> Value:
    if info is None:
        return Value(name)
    _check_text(f"value {name!r}", name, info.doc_string)
    dtype, shape, kept = read_type(info.type, name) if info.HasField("type") else (None, None, None)
    metadata = _metadata(info.metadata_props, f"value {name!r}") if info.metadata_props else None
    return Value(name, dtype, shape, doc=info.doc_string, metadata=metadata, type_proto=kept)


def read_type(proto: onnx.TypeProto, name: str) -> tuple[DType | None, Shape | None, bytes | None]:
    """(dtype, shape, type_proto) of a Value; dtype and shape are those of a tensor, else None."""
    if proto.WhichOneof("value") != "tensor_type":
        return None, None, proto.SerializeToString(deterministic=True) if proto.ListFields() else None
    tensor = proto.tensor_type
    dtype = from_onnx(tensor.elem_type)
    if dtype is None and tensor.elem_type:
        _unknown_dtype(tensor.elem_type, f"value {name!r}")
    shape: list[int | str | None] | None = None
    denoted = bool(proto.denotation)
    if tensor.HasField("shape"):
        shape = []
        for dim in tensor.shape.dim:
            match dim.WhichOneof("value"):
                case "dim_value" if dim.dim_value >= 0:  # some exporters write -1 for "unknown"
                    shape.append(dim.dim_value)
                case "dim_param" if dim.dim_param:
                    _check_text(f"value {name!r}", dim.dim_param)
                    shape.append(dim.dim_param)
                case _:
                    shape.append(None)
            denoted = denoted or bool(dim.denotation)
    kept = proto.SerializeToString(deterministic=True) if denoted else None
    return dtype, None if shape is None else tuple(shape), kept


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _check_text(where: str, *texts: str) -> None:
    """Raise FileError IX302 for text that is not UTF-8: protobuf hands it out as bytes."""
    for text in texts:
        if type(text) is not str:
            raise FileError(
                "IX302",
                "the model holds text that is not UTF-8",
                where=where,
                found=repr(text)[:80],
                expected="UTF-8 in every name, doc string and metadata entry",
                fix="the file is damaged, or its writer broke the format: get it again or export it again",
            )


def _bytes(message: Any) -> bytes:
    data: bytes = message.SerializeToString(deterministic=True)
    return data


def _metadata(entries: Iterable[onnx.StringStringEntryProto], where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in entries:
        _check_text(where, entry.key, entry.value)
        if entry.key in found:
            _duplicate("key", entry.key, f"metadata of {where}")
        found[entry.key] = entry.value
    return found


def _opsets(imports: Iterable[onnx.OperatorSetIdProto], where: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in imports:
        _check_text(where, entry.domain)
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        if found.setdefault(domain, entry.version) != entry.version:
            raise FileError(
                "IX316",
                f"domain {domain or 'ai.onnx'!r} is imported in two versions",
                where=where,
                found=f"versions {found[domain]} and {entry.version}",
                expected="one version: it decides what the operators mean",
                fix="keep the one the model was made for",
            )
    return found


def _define(scope: Scope, value: Value, where: str) -> Value:
    if not value.name:
        raise FileError(
            "IX311",
            "an input or initializer has no name",
            where=where,
            found="an empty name",
            expected="a name that means one thing",
            fix="name it",
        )
    if value.name in scope:
        _duplicate("value", value.name, where)
    scope[value.name] = value
    return value


def _resolve(name: str, scopes: tuple[Scope, ...], where: str) -> Value:
    for scope in scopes:
        if name in scope:
            return scope[name]
    near = Alike(n for scope in scopes for n in scope).closest(name)
    raise FileError(
        "IX310",
        f"value {name!r} is used, but nothing makes it",
        where=where,
        found=f"no input, initializer or node output of that name{f'; there is {near!r}' if near else ''}",
        expected="every value made before it is used",
        fix="correct the name, or add what makes it",
    )


def _duplicate(kind: str, name: str, where: str) -> NoReturn:
    raise FileError(
        "IX311",
        f"two {kind}s have the name {name!r}",
        where=where,
        found=f"{name!r} twice",
        expected="a name that means one thing",
        fix="rename one of them",
    )


def _unknown_dtype(number: int, where: str) -> NoReturn:
    raise FileError(
        "IX312",
        "an element type is not known",
        where=where,
        found=f"TensorProto.DataType {number}",
        expected="an element type of ONNX",
        fix="state the type; if the file is newer than this release of interchange, update it",
    )


def _bad_attribute(where: str, found: str, expected: str) -> NoReturn:
    raise FileError(
        "IX318",
        "an attribute is malformed",
        where=where,
        found=found,
        expected=expected,
        fix="make the model again with onnx.helper.make_attribute, or export it again",
    )


def _bad_data(where: str, found: str, expected: str) -> NoReturn:
    raise FileError(
        "IX313",
        "the data of a tensor is not what its type says",
        where=where,
        found=found,
        expected=expected,
        fix="export the model again",
    )
