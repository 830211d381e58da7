"""Models in files: `load` maps weights and reads none, `save` leaves the old model or the new one, never a mixture.

A saved model is one .onnx file, or that and one data file whose name holds the hash of its content
(``model.3f2a91c0b7de.data``): the graph names the very weights it was saved with. The same graph gives the same bytes.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from interchange.dtypes import string
from interchange.errors import FileError
from interchange.graph.atomic import NewFile, mode_of, sync_folder
from interchange.graph.core import ModelIR
from interchange.graph.limits import DEFAULT, Limits
from interchange.graph.opening import Written, no_source, open_file, parse
from interchange.graph.proto import from_proto, to_proto
from interchange.graph.tensor import Tensor

if TYPE_CHECKING:
    import onnx

EXTERNAL_ABOVE = 16 << 20  # bytes of weights from which `save` puts them into a file of their own
SMALLEST_EXTERNAL = 1 << 10  # bytes; smaller tensors (shapes, axes) stay in the graph, where shape inference sees them
PAGE = 4096  # alignment of a tensor in the data file, so that it can be mapped by itself
MAX_PROTO = 2**31 - 1  # bytes protobuf can hold


# -- loading ----------------------------------------------------------------------------------------------------------
def load(
    source: str | os.PathLike[str] | bytes | IO[bytes],
    *,
    base_dir: str | os.PathLike[str] | None = None,
    trust_links: bool = False,
    limits: Limits = DEFAULT,
) -> ModelIR:
    """The model in a file, in bytes, or in an open binary file.

    Weights are mapped into memory and read when they are used; keep the files in place while the model is.
    base_dir: the folder of external data; by default that of the path.  trust_links: see `external.Folder`.
    Raises FileError IX301 (nothing there), IX302 (not an ONNX model), IX303 (beyond `limits`), IX304 to IX306
    (external data), IX310 to IX318.
    """
    if not isinstance(source, (str, os.PathLike)):
        if not isinstance(source, bytes) and not hasattr(source, "read"):
            raise no_source(source)
        name, data = ("the bytes", source) if isinstance(source, bytes) else ("the stream", source.read())
        return from_written(parse(memoryview(data), name, None, limits), base_dir, trust_links)
    path = Path(source)
    while True:
        content, identity = open_file(path)
        try:
            return from_written(parse(content, str(path), path.parent, limits), base_dir, trust_links)
        except FileError as error:
            # somebody saved a new model between our look at the graph and at its data: look again
            if error.code != "IX305" or open_file(path)[1] == identity:
                raise


def from_written(
    written: Written, base_dir: str | os.PathLike[str] | None = None, trust_links: bool = False
) -> ModelIR:
    """The graph of a model that `opening.read` has read; otherwise as `load`."""
    folder = written.folder if base_dir is None else base_dir
    return from_proto(written.proto, folder, windows=written.windows, trust_links=trust_links)


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
            old = _own_data_files(target) or set()
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
    needed = _own_data_files(target) if names else None
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
    from google.protobuf.message import EncodeError  # type: ignore[import-untyped]

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
        proto.external_data.add(key="location", value="data")  # until it is written and has its name
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


def _own_data_files(target: Path) -> set[str] | None:
    """The data files of our own making that the model at `target` refers to; None when that cannot be told."""
    pattern = re.compile(re.escape(_stem(target)) + r"\.[0-9a-f]{12}\.data")
    try:
        proto = parse(open_file(target)[0], "", None).proto
    except FileError as error:
        return set() if error.code == "IX302" or not os.path.lexists(target) else None
    return {name for name in data_files(proto) if pattern.fullmatch(name)}


def data_files(proto: onnx.ModelProto) -> set[str]:
    """The locations of a model's weights beside its file, as it names them; nothing of them is checked."""
    graphs, found = [proto.graph], set()
    while graphs:
        graph = graphs.pop()
        graphs += [g for n in graph.node for a in n.attribute for g in (a.g, *a.graphs) if g.ListFields()]
        found |= {e.value for t in graph.initializer for e in t.external_data if e.key == "location"}
    return found
