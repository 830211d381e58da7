"""Writes what the installed ONNX Runtime can run (CPU) into a file: ``python dump.py out.json.gz``; ``make runtimes``.

Runs under every release from 1.17, and needs nothing beside onnxruntime and numpy: no onnx, no interchange. The tables
are the runtime's own; what they do not say, or say wrongly (the opsets and IR versions that the loader accepts), is
found out by loading models of one node, which are encoded by hand. Equal packages give equal bytes.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Json = Any
PROVIDER = "CPUExecutionProvider"
# what only the runtime's own optimiser writes: no model that a user has contains it
INTERNAL = ("com.microsoft.nchwc", "com.ms.internal.nhwc")
UNBOUNDED = 2**31 - 1
_HIGHEST_TRIED = 64  # far beyond every opset and IR version there is


def dump() -> dict[str, Json]:
    """Everything that is written, as plain data; `interchange.schemas.runtimes` says what each part means."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    onnxruntime.set_default_logger_severity(4)
    types = _Types()
    schemas = sorted(state.get_all_operator_schema(), key=lambda s: (s.domain, s.name, s.since_version))
    schemas = [s for s in schemas if s.domain not in INTERNAL]
    domains = sorted({s.domain for s in schemas})
    return {
        "version": onnxruntime.__version__,
        "build": _build(onnxruntime),
        "ir": _highest(lambda version: _loads(ir_version=version)),
        "opsets": {domain: _highest_opset(domain) for domain in domains},
        "schemas": _by_operator((s, _schema(s, types)) for s in schemas),
        "kernels": _by_operator((k, row) for k, row in _kernels(state, types)),
        "types": types.lists(),
    }


class _Types:
    """Lists of type texts, each written once."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[str, ...], int] = {}

    def number(self, texts: Any) -> int:
        return self.numbers.setdefault(tuple(sorted(map(_text, texts))), len(self.numbers))

    def lists(self) -> list[str]:
        return [";".join(texts) for texts in self.numbers]


def _text(type_: str) -> str:
    """A type as schemas write it: a kernel's map(int64,tensor(float)) is their map(int64, float)."""
    return re.sub(r"map\((\w+),\s*tensor\((\w+)\)\)", r"map(\1, \2)", type_)


def _build(onnxruntime: Any) -> str:
    """The commit it was built from; the flags of the build say where that was, and nothing to us."""
    found = re.search(r"git-commit-id=(\w+)", onnxruntime.get_build_info())
    return found[1] if found else ""


def _by_operator(rows: Any) -> dict[str, dict[str, list[Json]]]:
    table: dict[str, dict[str, list[Json]]] = {}
    for item, row in rows:
        table.setdefault(item.domain, {}).setdefault(getattr(item, "name", None) or item.op_name, []).append(row)
    return table


def _schema(schema: Any, types: _Types) -> Json:
    """[since, deprecated, inputs, outputs, {type variable: types}, attributes]"""
    return [
        schema.since_version,
        int(schema.deprecated),
        [_formal(f) for f in schema.inputs],
        [_formal(f) for f in schema.outputs],
        {c.type_param_str: types.number(c.allowed_type_strs) for c in schema.type_constraints},
        " ".join(sorted(schema.attributes)),
    ]


def _formal(formal: Any) -> str:
    """``name type``, with a mark: ``?`` optional, ``*`` variadic, ``+`` variadic of one type."""
    option = formal.option.name.lower()
    mark = {"single": "", "optional": "?", "variadic": "+" if formal.isHomogeneous else "*"}[option]
    return f"{formal.name} {formal.typeStr}{mark}"


def _kernels(state: Any, types: _Types) -> list[tuple[Any, Json]]:
    """(kernel, [first version, last or 0 for an open end, {type variable or formal: types}])"""
    found = []
    for kernel in state.get_all_opkernel_def():
        if kernel.provider == PROVIDER and kernel.domain not in INTERNAL:
            first, last = kernel.version_range
            constraints = {name: types.number(texts) for name, texts in sorted(kernel.type_constraints.items())}
            found.append((kernel, [first, 0 if last >= UNBOUNDED else last, constraints]))
    found.sort(key=lambda pair: (pair[0].domain, pair[0].op_name, json.dumps(pair[1])))
    return found


# -- what the loader accepts ------------------------------------------------------------------------------------------
def _highest(accepts: Callable[[int], bool]) -> int:
    """The highest version from 1 on that is accepted; 0 if all are."""
    highest = max((v for v in range(1, _HIGHEST_TRIED) if accepts(v)), default=1)
    return 0 if highest == _HIGHEST_TRIED - 1 else highest


def _highest_opset(domain: str) -> int:
    return _highest(lambda version: _loads(domain=domain, version=version))


def _loads(ir_version: int = 8, domain: str = "", version: int = 13) -> bool:
    """Whether a model of one Relu loads, with that IR version and opset import."""
    import onnxruntime

    imports = {"": 13, domain: version}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(_model(ir_version, imports), options, providers=[PROVIDER])
    except Exception:  # each release refuses with classes of its own
        return False
    return True


def _model(ir_version: int, imports: dict[str, int]) -> bytes:
    """A ModelProto: ``y = Relu(x)`` over float[1]."""
    tensor = _varint(1, 1) + _bytes(2, _bytes(1, _varint(1, 1)))  # elem_type float; shape of one dimension, 1
    value = {n: _bytes(1, n.encode()) + _bytes(2, _bytes(1, tensor)) for n in "xy"}
    node = _bytes(1, b"x") + _bytes(2, b"y") + _bytes(4, b"Relu")
    graph = _bytes(1, node) + _bytes(2, b"g") + _bytes(11, value["x"]) + _bytes(12, value["y"])
    opsets = b"".join(_bytes(8, _bytes(1, d.encode()) + _varint(2, v)) for d, v in imports.items())
    return _varint(1, ir_version) + _bytes(7, graph) + opsets


def _varint(field: int, value: int) -> bytes:
    assert value < 128
    return bytes([field << 3, value])


def _bytes(field: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([field << 3 | 2, len(content)]) + content


def write(path: Path) -> None:
    """The dump as a compressed file, the same bytes each time."""
    text = json.dumps(dump(), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
