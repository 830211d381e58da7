"""A model file as it is written: opened once, measured, looked at as bytes, and only then parsed."""

from __future__ import annotations

import itertools
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from interchange.errors import FileError
from interchange.graph.external import map_file
from interchange.graph.kinds import kind_of
from interchange.graph.limits import DEFAULT, Limits
from interchange.graph.scan import scan, too_many
from interchange.graph.wire import MalformedError, split

if TYPE_CHECKING:
    import onnx

_LONG = 1 << 14  # bytes of a declaration, or axes of a tensor, that are looked at before anything else is
_MAPPED_ABOVE = 1 << 20  # bytes from which a model file is mapped instead of read


class Written(NamedTuple):
    """A model as it is written; nothing of it is checked.

    proto: the message, without the raw data of large initializers of the main graph.  windows: that data, which stays
    in the file, by position of the initializer.  folder: that of its data files, None for bytes.  head: the bytes
    that `proto` was parsed from.  exact: whether they say nothing that `proto` does not, for all that can be told at
    once (`scan` tells).
    """

    proto: onnx.ModelProto
    windows: dict[int, memoryview]
    folder: Path | None
    head: bytes
    exact: bool = True


def read(source: str | os.PathLike[str] | bytes | memoryview, limits: Limits = DEFAULT) -> Written:
    """Read a model file, or the bytes of one.

    Raises FileError IX301 (nothing there), IX302 (not an ONNX model; found: what it is, and from where on), IX303 (more
    than `limits` allow).
    """
    if isinstance(source, (bytes, memoryview)):
        return parse(memoryview(source), "the bytes", None, limits)
    if not isinstance(source, (str, os.PathLike)):
        raise no_source(source)
    path = Path(source)
    return parse(open_file(path)[0], str(path), path.parent, limits)


def in_memory(proto: onnx.ModelProto) -> Written:
    """A model that is a message already."""
    return Written(proto, {}, None, b"")


def no_source(found: object) -> FileError:
    """The error for what is neither a path nor a model."""
    return FileError(
        "IX302",
        "this is not an ONNX model",
        found=f"{type(found).__module__}.{type(found).__qualname__}".removeprefix("builtins."),
        expected="a path, the bytes of a file, a ModelProto or a ModelIR",
        fix="give the path of the .onnx file; a model that is no file yet has to be exported first",
    )


def identity(source: object) -> tuple[int, int] | None:
    """What tells one saved model from the next at the same path; None for what is no path, or has no file."""
    try:
        status = os.stat(source) if isinstance(source, (str, os.PathLike)) else None
    except (OSError, ValueError):
        return None
    if status is None:
        return None
    return status.st_ino, status.st_mtime_ns


def open_file(path: Path) -> tuple[memoryview, tuple[int, int]]:
    """(content, identity of the file). Raises FileError IX301."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise _not_there(path, _folder_kind(path) if stat.S_ISDIR(status.st_mode) else "not a regular file")
            small = status.st_size <= _MAPPED_ABOVE
            data = memoryview(os.read(fd, status.st_size)) if small else map_file(fd)
            return data, (status.st_ino, status.st_mtime_ns)
        finally:
            os.close(fd)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _not_there(path, getattr(error, "strerror", None) or str(error)) from None


def _folder_kind(path: Path) -> str:
    return "a TensorFlow SavedModel folder" if (path / "saved_model.pb").exists() else "a folder"


def _not_there(path: Path, found: str) -> FileError:
    models = sorted(p.name for p in path.parent.glob("*.onnx"))[:5] if path.parent.is_dir() else []
    near = f"; here are: {', '.join(models)}" if models else ""
    return FileError(
        "IX301",
        f"there is no model file {str(path)!r}",
        where=str(path),
        found=found,
        expected="the path of an .onnx file",
        fix=f"correct the path{near}",
    )


def parse(data: memoryview, where: str, folder: Path | None, limits: Limits = DEFAULT) -> Written:
    """The model in `data`. where: for messages. Raises FileError IX302, IX303."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    if len(data) > limits.file:
        raise too_many(where, f"{len(data)} bytes", f"at most {limits.file} (the limit `file`)")
    proto = onnx.ModelProto()
    windows: dict[int, memoryview] = {}
    try:
        head, windows = split(data)
        if len(head) // 2 > limits.parts:  # a message takes two bytes at least: count them where they could be too many
            scan(head, limits, where)
        proto.ParseFromString(head)
    except (MalformedError, DecodeError) as error:
        raise _no_model(data, where, str(error), limits) from None
    except FileError as error:
        if error.code == "IX302":
            raise _no_model(data, where, "", limits) from None
        raise
    _count(proto, limits, where)
    if not (proto.HasField("graph") and proto.ir_version):
        raise _no_model(data, where, f"{len(data)} bytes without a graph or an IR version", limits)
    proto.DiscardUnknownFields()
    return Written(proto, windows, folder, head, exact=proto.ByteSize() == len(head))


def _count(proto: onnx.ModelProto, limits: Limits, where: str) -> None:
    """Raise FileError IX303 for more of something than is read: whoever reads makes an object of each of them."""

    def within(limit: str, found: int) -> None:
        most = getattr(limits, limit)
        if found > most:
            raise too_many(where, f"{found} {limit}", f"at most {most} (the limit `{limit}`)")

    nodes = attributes = tensors = values = 0
    within("metadata", len(proto.metadata_props))
    within("metadata", len(proto.opset_import))
    graphs = len(proto.functions) + 2 * len(proto.training_info)
    within("graphs", graphs)
    ahead: list[Any] = [proto.graph, *proto.functions]
    ahead += (graph for t in proto.training_info for graph in (t.initialization, t.algorithm))
    while ahead:
        graph = ahead.pop()
        nodes += len(graph.node)
        within("nodes", nodes)
        values += len(graph.input) + len(graph.output) + len(graph.value_info)
        within("metadata", len(graph.metadata_props))
        if graph.DESCRIPTOR.name == "GraphProto":
            tensors += len(graph.initializer) + len(graph.sparse_initializer)
            values += len(graph.quantization_annotation)
            declared = itertools.chain(graph.input, graph.output, graph.value_info)
            axes = [len(v.type.tensor_type.shape.dim) for v in declared if v.ByteSize() > _LONG]
            axes += [n for t in graph.initializer if (n := len(t.dims)) > _LONG]
            within("rank", max(axes, default=0))  # a few too many are the finding of a rule
        within("values", values)
        within("metadata", max([len(n.metadata_props) for n in graph.node], default=0))
        held = [len(n.attribute) for n in graph.node]
        attributes += sum(held)
        within("attributes", attributes)
        for node in itertools.compress(graph.node, held):
            for attribute in node.attribute:
                tensors += len(attribute.tensors) + len(attribute.sparse_tensors)
                one, more = attribute.HasField("g"), len(attribute.graphs)
                if one or more:
                    graphs += one + more
                    within("graphs", graphs)
                    ahead += [*attribute.graphs, *([attribute.g] if one else [])]
        within("tensors", tensors)


def _no_model(data: memoryview, where: str, problem: str, limits: Limits) -> FileError:
    kind, fix = kind_of(data, where)
    if not kind and len(data) and "without a graph" not in problem:
        try:
            scan(data, limits, where)
        except FileError as error:  # says from which byte on
            return error
    return FileError(
        "IX302",
        "this is not an ONNX model",
        where=where,
        found=kind or (problem if len(data) else "an empty file"),
        expected="a complete ONNX model (a serialised ModelProto)",
        fix=fix or ("get the file again" if len(data) else "the writing was interrupted: export or copy it again"),
    )
