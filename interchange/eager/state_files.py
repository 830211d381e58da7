"""Files of state, in the safetensors format: named tensors and nothing that runs.

    save({"model": net, "optimizer": opt, "step": 300}, "run.safetensors")
    load("run.safetensors", into={"model": net, "optimizer": opt})

What trains is saved bit by bit: a run that stops and continues from its file is the run that never stopped.

The format (github.com/huggingface/safetensors, docs/source/index.mdx): 8 bytes with the length of a JSON header, little
endian; the header ``{name: {"dtype", "shape", "data_offsets"}}``; the bytes of the tensors, without holes or overlaps.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from interchange.dtypes import BY_NAME, Array, name_of
from interchange.eager.state import State, Stateful, values_of
from interchange.eager.tensor import Tensor, to_array, wrap
from interchange.errors import FileError, OperatorError, user_line

# element types by the format's names
_TYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8e4m3fn": "F8_E4M3",
    "float8e5m2": "F8_E5M2",
    "float8e8m0": "F8_E8M0",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
    "complex64": "C64",
}
_DTYPES = {word: BY_NAME[name] for name, word in _TYPES.items()}


def save(
    state: Stateful | Mapping[str, Any], path: str | os.PathLike[str], *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write state to a file, atomically: after an error, a full disk or a kill the old file is whole.

    state: a Module, Optimizer, Generator, schedule or DataLoader; or a mapping of names to these, to tensors, arrays,
    numbers and further mappings, whose names are joined with dots. A shared parameter is written once.
    metadata: texts to keep with it. The same state gives the same bytes.

    Raises FileError: IX342 when it cannot be written, IX343 for an element type or a name that cannot be kept.
    """
    tensors: dict[str, Array] = {}
    for name, array in _flat(state, ""):
        if name in tensors or name == "__metadata__":
            raise _cannot_keep(f"the name {name!r} twice, or reserved", "different names", "rename an entry")
        if name_of(array.dtype) not in _TYPES:
            fix = "convert it with .astype(...); texts go into metadata="
            raise _cannot_keep(f"{name}: {name_of(array.dtype)}", ", ".join(_TYPES), fix)
        tensors[name] = array
    texts = dict(metadata or {})
    if not all(isinstance(t, str) for pair in texts.items() for t in pair):
        raise _cannot_keep("metadata that is no text", "texts as keys and values", "convert numbers with str()")
    _write(Path(path), _chunks(tensors, texts))


def _chunks(tensors: Mapping[str, Array], texts: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """The bytes of a file: the widest elements first, so that all are aligned.

    Written here, and not by the safetensors package: its bytes change from run to run, and it needs them all in memory.
    """
    order = sorted(tensors, key=lambda n: (-tensors[n].dtype.itemsize, n))
    header: dict[str, Any] = {"__metadata__": dict(sorted(texts.items()))} if texts else {}
    end = 0
    for name in order:
        start, end = end, end + tensors[name].nbytes
        word = _TYPES[name_of(tensors[name].dtype)]
        header[name] = {"dtype": word, "shape": list(tensors[name].shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in order:
        array = np.ascontiguousarray(tensors[name])
        if array.dtype.kind in "iufc":  # the others have elements of one byte, or the machine's order
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        yield array.reshape(-1).view(np.uint8).data


def _flat(state: Any, prefix: str) -> Iterator[tuple[str, Array]]:
    """(name, array) of all that `state` holds."""
    if isinstance(state, Mapping):
        for key, value in state.items():
            if not isinstance(key, str) or not key:
                raise _cannot_keep(f"the name {key!r}", "texts as names", "convert it with str()")
            yield from _flat(value, f"{prefix}.{key}" if prefix else key)
        return
    if isinstance(state, Stateful):
        from interchange.eager.nn.module import Module

        if isinstance(state, Module):
            values = values_of(state.named_variables(remove_duplicate=True))
        else:
            values = state.state_dict()
        for name, value in values.items():
            yield f"{prefix}.{name}" if prefix else name, value._data
        return
    if not isinstance(state, (Tensor, np.ndarray, np.generic, bool, int, float, list, tuple)) or not prefix:
        raise _cannot_keep(
            f"{prefix or 'the state'}: a {type(state).__name__}",
            "modules, optimisers, generators, tensors, arrays, numbers, and mappings of them",
            "keep texts in metadata=",
        )
    yield prefix, _array(state)


def _array(value: Any) -> Array:
    if isinstance(value, float):  # a Python float is kept whole
        return np.array(value, np.float64)
    return value._data if isinstance(value, Tensor) else to_array(value)


def _cannot_keep(found: str, expected: str, fix: str) -> FileError:
    return FileError("IX343", "a state file cannot keep this", found=found, expected=expected, fix=fix)


def _write(path: Path, chunks: Iterator[bytes | memoryview]) -> None:
    from interchange.graph.atomic import NewFile, mode_of, sync_folder

    try:
        new = NewFile(path.parent, chunks, mode_of(path))
        try:
            new.move_to(path)
        except BaseException:
            new.discard()
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise FileError(
            "IX342",
            "the state file cannot be written",
            where=path.name,
            found=error.strerror or str(error),
            expected="a folder that exists, with space and permission",
            fix="choose another path; the file that was there is unchanged",
        ) from error


def load(path: str | os.PathLike[str], into: Any = None, *, strict: bool = True) -> State:
    """The tensors of a state file by name.

    into: what was saved, shaped as it was given to `save`: each object gets its own state back, bit by bit; numbers and
    tensors are in the result. All or nothing: when something does not fit, every object has the state it had before.
    strict=False: names in the file that nothing in `into` takes are left alone.

    Raises FileError: IX340 when the package safetensors is missing, IX341 when the file is no state file or is damaged,
    IX344 when it cannot be read; OperatorError IX121 when its content does not fit `into`.
    """
    state, _ = _read(Path(path))
    if into is not None:
        _restore(into, state, strict)
    return state


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The texts that `save` was given. Raises FileError as `load` does."""
    return _read(Path(path))[1]


def _read(path: Path) -> tuple[State, dict[str, str]]:
    """The tensors and the texts of a file, parsed by the safetensors package: strictly, also what is hostile."""
    try:
        from safetensors import SafetensorError, deserialize, safe_open
    except ImportError:
        raise FileError(
            "IX340",
            "state files are read with the package safetensors, which is not installed",
            where=path.name,
            found="no module safetensors",
            expected="pip install 'interchange[safetensors]'",
            fix="install the extra",
        ) from None
    try:
        entries = deserialize(path.read_bytes())  # type: ignore[no-untyped-call, unused-ignore]
        with safe_open(os.fspath(path), framework="numpy") as file:
            texts = file.metadata() or {}
        return {name: _tensor(name, entry) for name, entry in entries}, texts
    except (SafetensorError, ValueError) as error:
        raise FileError(
            "IX341",
            "this is no state file, or it is damaged",
            where=path.name,
            found=str(error),
            expected="a safetensors file",
            fix="load it with what wrote it, or take an older copy",
        ) from None
    except OSError as error:
        raise FileError(
            "IX344",
            "the state file cannot be read",
            where=path.name,
            found=error.strerror or str(error),
            expected="a file",
            fix="check the path",
        ) from error


def _tensor(name: str, entry: Mapping[str, Any]) -> Tensor:
    """One tensor as the package gives it. Raises ValueError for elements that are none of ONNX's."""
    dtype, data = _DTYPES.get(entry["dtype"]), entry["data"]
    if dtype is None:
        raise ValueError(f"{name!r} has elements of the type {entry['dtype']!r}")
    if dtype.kind == "b" and (np.frombuffer(data, np.uint8) > 1).any():
        raise ValueError(f"{name!r} has truth values other than 0 and 1")
    little = dtype.newbyteorder("<") if dtype.kind in "iufc" else dtype
    return wrap(np.frombuffer(data, little).astype(dtype, copy=False).reshape(entry["shape"]))


def _restore(into: Any, state: State, strict: bool) -> None:
    """Load each object's part. If one does not take it, those before it get back what they had."""
    before: list[tuple[Stateful, State]] = []
    taken: set[str] = set()
    try:
        for prefix, target in _parts(into, ""):
            if not isinstance(target, Stateful):
                taken.add(prefix)
                continue
            start = f"{prefix}." if prefix else ""
            own = {n: v for n, v in state.items() if n.startswith(start)}
            taken.update(own)
            before.append((target, target.state_dict()))
            target.load_state_dict({n[len(start) :]: v for n, v in own.items()})
        if strict and not state.keys() <= taken:
            raise OperatorError(
                "IX121",
                "the file holds more than there is to load it into",
                where=user_line(),
                found=", ".join(sorted(state.keys() - taken)),
                expected="what was given to save",
                fix="name the other objects in `into`, or pass strict=False",
            )
    except BaseException:
        for target, old in before:
            target.load_state_dict(old)
        raise


def _parts(into: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """(name, object) of what `save` would write."""
    if not isinstance(into, Mapping):
        yield prefix, into
        return
    for key, value in into.items():
        yield from _parts(value, f"{prefix}.{key}" if prefix else str(key))


__all__ = ["load", "read_metadata", "save"]
