"""Writes the registry's data files from the installed onnx and onnxruntime: ``python -m interchange.schemas.dump``.

The registry must not import onnx (it costs more than the whole of interchange), so what onnx says is shipped as data.
Equal packages give equal bytes. `rows` is also what the test compares with the shipped data.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from interchange.schemas.data import FOLDER, OPTIONS

Json = Any
# internal to the runtime's optimiser (com.ms.internal.nhwc, com.microsoft.nchwc): no model that a user writes has them
RUNTIME_DOMAINS = ("com.microsoft",)


def installed_versions() -> dict[str, str]:
    """The installed packages which the data comes from."""
    import onnx
    import onnxruntime

    return {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}


def schemas() -> list[Any]:
    """All schemas of the installed onnx, and of the runtime's own domains."""
    import onnx
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime

    own = [s for s in runtime.get_all_operator_schema() if s.domain in RUNTIME_DOMAINS]
    return sorted([*onnx.defs.get_all_schemas_with_history(), *own], key=lambda s: (s.domain, s.name, s.since_version))


def row(schema: Any) -> Json:
    """One schema as the structural file holds it, type constraints spelled out."""
    return [
        schema.since_version,
        int(schema.deprecated) + 2 * int(_has_function(schema)),
        [_formal(f, i, schema.min_input) for i, f in enumerate(schema.inputs)],
        [_formal(f, i, schema.min_output) for i, f in enumerate(schema.outputs)],
        [_attribute(a) for _, a in sorted(schema.attributes.items())],
        [[c.type_param_str, sorted(c.allowed_type_strs)] for c in schema.type_constraints],
        [schema.min_input, schema.max_input, schema.min_output, schema.max_output],
    ]


def rows(found: Iterable[Any]) -> dict[str, dict[str, list[Json]]]:
    """domain -> operator -> its versions, oldest first."""
    table: dict[str, dict[str, list[Json]]] = {}
    for schema in found:
        table.setdefault(schema.domain, {}).setdefault(schema.name, []).append(row(schema))
    return table


def docs(found: Iterable[Any]) -> dict[str, dict[str, dict[str, Json]]]:
    """domain -> operator -> version -> [text, texts of the inputs, of the outputs, {attribute: text}]."""
    table: dict[str, dict[str, dict[str, Json]]] = {}
    for s in found:
        texts = [
            _text(s.doc),
            [_text(f.description) for f in s.inputs] if hasattr(s, "inputs") else [],
            [_text(f.description) for f in s.outputs],
            {name: _text(a.description) for name, a in sorted(s.attributes.items())},
        ]
        table.setdefault(s.domain, {}).setdefault(s.name, {})[str(s.since_version)] = texts
    return table


def _text(doc: str | bytes | None) -> str:
    text = doc.decode() if isinstance(doc, bytes) else doc or ""
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    return "\n".join(lines).strip()


def _has_function(schema: Any) -> bool:
    # ONNX Runtime does not expose it for its own operators
    return bool(getattr(schema, "has_function", False) or getattr(schema, "has_context_dependent_function", False))


def _formal(formal: Any, index: int, least: int) -> Json:
    option = OPTIONS.index(formal.option.name.lower())
    if hasattr(formal, "type_str"):
        return [formal.name, formal.type_str, option, int(formal.is_homogeneous), formal.min_arity]
    # ONNX Runtime does not expose min_arity: it follows from the fewest inputs of the whole operator
    arity = max(0, least - index) if OPTIONS[option] == "variadic" else 1
    return [formal.name, formal.typeStr, option, int(formal.isHomogeneous), arity]


def _attribute(attribute: Any) -> Json:
    import onnx

    default = getattr(attribute, "default_value", None)
    if default is None:  # ONNX Runtime's: the same message, serialised
        default = onnx.AttributeProto.FromString(attribute._default_value)
    entry = [attribute.name, attribute.type.name.lower(), int(attribute.required)]
    return [*entry, _default(default)] if default.type else entry


def _default(proto: Any) -> Json:
    import onnx

    value = onnx.helper.get_attribute_value(proto)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float):
        return _short(value)
    if isinstance(value, int):
        return value
    return [v.decode() if isinstance(v, bytes) else _short(v) if isinstance(v, float) else int(v) for v in value]


def _short(value: float) -> float:
    """The shortest decimal which is the same float32: 1e-05, not 9.999999747378752e-06."""
    import numpy as np

    return float(str(np.float32(value)))


def _share_type_lists(table: Mapping[str, Mapping[str, list[Json]]]) -> list[list[str]]:
    """Replaces each constraint's list of types by an index into the returned list of distinct ones."""
    distinct: dict[tuple[str, ...], int] = {}
    for operators in table.values():
        for versions in operators.values():
            for version in versions:
                for constraint in version[5]:
                    constraint[1] = distinct.setdefault(tuple(constraint[1]), len(distinct))
    return [list(texts) for texts in distinct]


def _write(path: Path, content: Json) -> None:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


def main(folder: Path = FOLDER) -> None:
    """Writes both data files into `folder`."""
    found = schemas()
    table = rows(found)
    types = _share_type_lists(table)
    _write(folder / "operators.json.gz", {"from": installed_versions(), "types": types, "operators": table})
    _write(folder / "docs.json.gz", docs(found))
    for name in ("operators.json.gz", "docs.json.gz"):
        print(f"{name}: {(folder / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
