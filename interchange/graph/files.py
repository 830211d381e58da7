"""Models in files: `load` maps weights and reads none, `save` leaves the old model or the new one, never a mixture.

A saved model is one .onnx file, or that and one data file whose name holds the hash of its content
(``model.3f2a91c0b7de.data``): the graph names the very weights it was saved with. The same graph gives the same bytes.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from interchange.dtypes import string
from interchange.errors import FileError
from interchange.graph.atomic import NewFile, mode_of, sync_folder
from interchange.graph.core import ModelIR
from interchange.graph.external import map_file
from interchange.graph.proto import from_proto, to_proto
from interchange.graph.tensor import Tensor
from interchange.graph.wire import MalformedError, split

if TYPE_CHECKING:
    import onnx

EXTERNAL_ABOVE = 16 << 20  # bytes of weights from which `save` puts them into a file of their own
SMALLEST_EXTERNAL = 1 << 10  # bytes; smaller tensors (shapes, axes) stay in the graph, where shape inference sees them
PAGE = 4096  # alignment of a tensor in the data file, so that it can be mapped by itself
MAX_PROTO = 2**31 - 1  # bytes protobuf can hold
_MAPPED_ABOVE = 1 << 20  # bytes from which a model file is mapped instead of read

# what people pass for an ONNX model, by how it begins
_KINDS = (
    (b"PK\x03\x04", "a zip archive (a PyTorch .pt/.pth checkpoint, a .keras file, an .npz)"),
    (b"\x89HDF\r\n", "an HDF5 file (a Keras .h5 model)"),
    (b"\x80", "a Python pickle (an older PyTorch or scikit-learn file)"),
    (b"GGUF", "a GGUF file"),
    (b"ORTM", "a model in ONNX Runtime's own .ort format"),
    (b"\x93NUMPY", "a NumPy .npy array"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"version https://git-lfs", "a Git LFS pointer: the model itself was not fetched"),
    (b"<", "an HTML or XML page (a download that failed?)"),
)


# -- loading ----------------------------------------------------------------------------------------------------------
def load(
    source: str | os.PathLike[str] | bytes | IO[bytes],
    *,
    base_dir: str | os.PathLike[str] | None = None,
    trust_links: bool = False,
) -> ModelIR:
    """The model in a file, in bytes, or in an open binary file.

    Weights are mapped into memory and read when they are used; keep the files in place while the model is.
    base_dir: the folder of external data; by default that of the path.  trust_links: see `external.Folder`.
    Raises FileError IX301 (nothing there), IX302 (not an ONNX model), IX304 to IX306 (external data), IX310 to IX318.
    """
    if isinstance(source, bytes):
        return _parse(memoryview(source), "the bytes", base_dir, trust_links)
    if not isinstance(source, (str, os.PathLike)):
        if not hasattr(source, "read"):
            raise no_source(source)
        return _parse(memoryview(source.read()), "the stream", base_dir, trust_links)
    path = Path(source)
    while True:
        data, identity = _open(path)
        try:
            return _parse(data, str(path), path.parent if base_dir is None else base_dir, trust_links)
        except FileError as error:
            # somebody saved a new model between our look at the graph and at its data: look again
            if error.code != "IX305" or _open(path)[1] == identity:
                raise


def read(source: str | os.PathLike[str] | bytes) -> tuple[onnx.ModelProto, dict[int, memoryview], Path | None]:
    """(the model as it is written, the raw data left out of it, the folder of its data files); nothing is checked.

    The raw data of large initializers of the main graph stays in the file: windows into it, by position of the
    initializer. `proto.from_proto` takes both. Raises FileError IX301 (nothing there), IX302 (not an ONNX model).
    """
    if isinstance(source, bytes):
        return *_read_proto(memoryview(source), "the bytes"), None
    if not isinstance(source, (str, os.PathLike)):
        raise no_source(source)
    path = Path(source)
    return *_read_proto(_open(path)[0], str(path)), path.parent


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


def _open(path: Path) -> tuple[memoryview, tuple[int, int]]:
    """(content, identity of the file)."""
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


def _parse(data: memoryview, where: str, base_dir: str | os.PathLike[str] | None, trust_links: bool) -> ModelIR:
    proto, windows = _read_proto(data, where)
    return from_proto(proto, base_dir, windows=windows, trust_links=trust_links)


def _read_proto(data: memoryview, where: str) -> tuple[onnx.ModelProto, dict[int, memoryview]]:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    proto = onnx.ModelProto()
    windows: dict[int, memoryview] = {}
    found = ""
    try:
        head, windows = split(data)
        proto.ParseFromString(head)
    except (MalformedError, DecodeError) as error:
        found = f"{len(data)} bytes that do not parse: {error}"
    if not found and not (proto.HasField("graph") and proto.ir_version):
        found = f"{len(data)} bytes without a graph or an IR version" if len(data) else "an empty file"
    if found:
        kind = _kind(bytes(data[:64]))
        fix = "give the .onnx file itself; other formats have to be exported first" if kind else "get the file again"
        raise FileError(
            "IX302",
            "this is not an ONNX model",
            where=where,
            found=kind or found,
            expected="a complete ONNX model (a serialised ModelProto)",
            fix=fix if len(data) else "the writing was interrupted, or nothing was written: export the model again",
        )
    return proto, windows


def _kind(head: bytes) -> str:
    for magic, kind in _KINDS:
        if head.startswith(magic):
            return kind
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model"
    if head[8:9] == b"{" and len(head) > 8:
        return "a safetensors file: weights without a graph"
    text = head.removeprefix(b"\xef\xbb\xbf")
    if text and all(32 <= b < 127 or b in b"\t\r\n" for b in text):
        return f"text: {text[:40].decode()!r}"
    return ""


# -- saving -----------------------------------------------------------------------------------------------------------
def serialize(model: ModelIR) -> bytes:
    """The model as the bytes of one .onnx file. Raises FileError IX308 above 2 GiB, and what `to_proto` raises."""
    _check_size(model, above=0, external=False)
    return _to_bytes(to_proto(model))


def save(model: ModelIR, path: str | os.PathLike[str], *, external: bool | Literal["auto"] = "auto") -> list[Path]:
    """Write a model; returns the files, the model first.

    external: whether weights (of `SMALLEST_EXTERNAL` bytes and more) go into a data file beside the model; "auto":
    when they take more than `EXTERNAL_ABOVE` bytes together. Weights are streamed, not copied; they may be mapped
    from the very files that are replaced. The data file of the model that was there before is removed afterwards.
    Raises FileError IX307 when the disk or the system refuses (then the old model is still there, and whole),
    IX308 for what does not fit into 2 GiB, and what `to_proto` raises.
    """
    with Draft(model, path, external=external) as draft:
        draft.write()
        return draft.commit()


class Draft:
    """A model on its way to a file, so that it can be proven between being written and standing in its place.

    `write` puts the weights beside the target under a name of their own, `commit` everything in its place; what has not
    come so far when the `with` block ends is removed. proto: the model as it is written, without weights that go into a
    data file.  nbytes: of all weights.  path: None keeps it in memory. Raises what `save` raises.
    """

    def __init__(
        self, model: ModelIR, path: str | os.PathLike[str] | None, *, external: bool | Literal["auto"] = "auto"
    ) -> None:
        if path is None:
            external = False
        elif not isinstance(path, (str, os.PathLike)) or "\0" in str(path):
            raise FileError(
                "IX307",
                "the model could not be written",
                found=repr(path),
                expected="the path of a file",
                fix="give a path such as model.onnx",
            )
        self.path = path
        self.target = None if path is None else Path(os.path.realpath(path))
        self.nbytes = sum(t.nbytes for t in _weights(model))
        outside = self.nbytes > EXTERNAL_ABOVE if external == "auto" else external
        _check_size(model, above=SMALLEST_EXTERNAL, external=outside)
        self._layout = _Layout()
        self.proto = to_proto(model, place=self._layout.place if outside else None)
        self._data: NewFile | None = None
        self._graph: NewFile | None = None

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, *exc: object) -> None:
        for new in (self._data, self._graph):
            if new is not None:
                new.discard()

    @property
    def folder(self) -> Path | None:
        """Where its weights are, if they are not inside."""
        return None if self._data is None else self._data.path.parent

    def note(self, key: str, value: str) -> bytes:
        """Add to the metadata what was found out about the model; returns its bytes with that."""
        self.proto.metadata_props.add(key=key, value=value)
        return _to_bytes(self.proto)

    def write(self) -> bytes:
        """Write the weights; returns the model's bytes, which refer to them by a name in `folder`."""
        if self._layout.chunks and self.target is not None:
            with self._refusal():
                self._data = NewFile(self.target.parent, self._layout.stream(), mode_of(self.target))
            self._layout.name(self._data.path.name)
        return _to_bytes(self.proto)

    def commit(self) -> list[Path]:
        """Put the written model in its place, notes included; returns the files, the model first."""
        target = self.target
        if target is None:
            return []
        written = [target]
        with self._refusal():
            mode = mode_of(target)
            old = _data_files(target) or set()
            if self._data is not None:
                name = f"{_stem(target)}.{self._data.sha256[:12]}.data"
                written.append(target.parent / name)
                self._layout.name(name)
            self._graph = NewFile(target.parent, [_to_bytes(self.proto)], mode)
            if self._data is None:
                self._graph.move_to(target)
            else:
                is_new = not os.path.lexists(written[1])
                self._data.move_to(written[1])
                try:
                    sync_folder(target.parent)
                    self._graph.move_to(target)
                except BaseException:
                    if is_new:
                        _remove(target, {name})
                    raise
        with self._refusal("the new model is there, but a power cut could still undo it: save again"):
            sync_folder(target.parent)
            _remove(target, old)
        return written

    @contextlib.contextmanager
    def _refusal(self, state: str = "what was there before is unchanged") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FileError(
                "IX307",
                f"the model could not be written to {str(self.path)!r}",
                where=str(self.path),
                found=error.strerror or str(error),
                expected="a folder that exists, may be written to, and has room for the old and the new model",
                fix=f"free some space or choose another folder; {state}",
            ) from None


def _remove(target: Path, names: set[str]) -> None:
    """Remove data files which the model that is at `target` now does not need."""
    needed = _data_files(target) if names else None
    if needed is None:
        return
    for name in names - needed:
        with contextlib.suppress(OSError):  # a leftover is no failure
            os.unlink(target.parent / name)


def _weights(model: ModelIR) -> Iterator[Tensor]:
    for graph in model.all_graphs():
        yield from (v.const for v in graph.initializers.values() if v.const is not None)


def _check_size(model: ModelIR, above: int, external: bool) -> None:
    """Raise FileError IX308 if what stays in the graph file cannot fit into it."""
    inside = sum(t.nbytes for t in _weights(model) if not (external and t.nbytes >= above))
    if inside > MAX_PROTO:
        raise _too_large(f"{inside:,} bytes of weights in one file")


def _too_large(found: str) -> FileError:
    return FileError(
        "IX308",
        "the model does not fit into one .onnx file",
        found=found,
        expected=f"at most {MAX_PROTO:,} bytes: the limit of protobuf",
        fix="save it to a path with external=True; large constants must be initializers, not attributes",
    )


def _to_bytes(proto: onnx.ModelProto) -> bytes:
    from google.protobuf.message import EncodeError

    try:
        data: bytes = proto.SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:
        raise _too_large(str(error)) from None
    return data


class _Layout:
    """Where each tensor goes in the data file. Names for one storage share one range."""

    def __init__(self) -> None:
        self.chunks: list[tuple[int, Tensor]] = []  # offset, data
        self.protos: list[Any] = []
        self._ranges: dict[object, int] = {}
        self._end = 0

    def place(self, tensor: Tensor, proto: onnx.TensorProto) -> bool:
        if tensor.dtype == string or tensor.nbytes < SMALLEST_EXTERNAL:
            return False
        key = tensor.storage()
        if key not in self._ranges:
            offset = -(-self._end // PAGE) * PAGE
            self._ranges[key] = offset
            self.chunks.append((offset, tensor))
            self._end = offset + tensor.nbytes
        proto.data_location = 1  # type: ignore[assignment]
        proto.external_data.add(key="location")
        proto.external_data.add(key="offset", value=str(self._ranges[key]))
        proto.external_data.add(key="length", value=str(tensor.nbytes))
        self.protos.append(proto)
        return True

    def name(self, location: str) -> None:
        for proto in self.protos:
            proto.external_data[0].value = location

    def stream(self) -> Iterator[bytes | memoryview]:
        at = 0
        for offset, tensor in self.chunks:
            yield bytes(offset - at)
            yield tensor.raw()
            at = offset + tensor.nbytes


def _stem(target: Path) -> str:
    """The model's name without .onnx, made safe as part of a location."""
    name = target.name.removesuffix(".onnx").encode("utf-8", "replace").decode()
    return re.sub(r'[\x00-\x1f\\/:*?"<>|]', "_", name)


def _data_files(target: Path) -> set[str] | None:
    """The data files of our own making that the model at `target` refers to; None when that cannot be told."""
    pattern = re.compile(re.escape(_stem(target)) + r"\.[0-9a-f]{12}\.data")
    try:
        proto, _ = _read_proto(_open(target)[0], "")
    except FileError as error:
        return set() if error.code == "IX302" or not os.path.lexists(target) else None
    graphs, found = [proto.graph], set()
    while graphs:
        graph = graphs.pop()
        graphs += [g for n in graph.node for a in n.attribute for g in (a.g, *a.graphs) if g.ListFields()]
        found |= {e.value for t in graph.initializer for e in t.external_data if e.key == "location"}
    return {name for name in found if pattern.fullmatch(name)}
