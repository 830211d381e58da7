"""What a model takes and gives, as its file says: names, dtypes, shapes, bounds of sizes, guards, state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from interchange.dims import Guard, Shape
from interchange.dtypes import DType, name_of
from interchange.errors import InterchangeError
from interchange.graph.core import ModelIR, Value
from interchange.graph.notes import read_note
from interchange.graph.sizes import SizeNames
from interchange.runtime.errors import LoadError

Bounds = dict[str, tuple[int, int | None]]


@dataclass(frozen=True, slots=True)
class ValueSpec:
    """One input or output. ``str()`` is its line in the shape language: ``x: float32[batch, 3]``.

    optional: an input with a default (an initializer of the same name); it may be left out.
    kind: ``tensor``, or ONNX's text for another type, ``seq(tensor(float))``; such values are passed on as they are.
    ranked: False when the file does not say how many axes it has; `shape` is () then.
    """

    name: str
    dtype: DType
    shape: Shape
    optional: bool = False
    kind: str = "tensor"
    ranked: bool = True

    def __str__(self) -> str:
        if self.kind != "tensor":
            return f"{self.name}: {self.kind}"
        dims = f"[{', '.join(map(str, self.shape))}]" if self.ranked else ""
        return f"{self.name}: {name_of(self.dtype)}{dims}"


@dataclass(frozen=True, slots=True)
class Signature:
    """All of it.

    dims: the admissible (min, max) of each named size.  state: updated input -> the output with its next value.
    """

    inputs: dict[str, ValueSpec]
    outputs: dict[str, ValueSpec]
    dims: Bounds = field(default_factory=dict)
    guards: tuple[Guard, ...] = ()
    state: dict[str, str] = field(default_factory=dict)
    evidence: dict[str, Any] | None = None


def read_signature(model: ModelIR) -> Signature:
    """The signature of a model. Raises LoadError IX624 for metadata of ours that cannot be read."""
    try:
        bounds = {str(n): (int(low), _upper(high)) for n, (low, high) in read_note(model.metadata, "dims", {}).items()}
        guards = tuple(Guard.from_dict(g) for g in read_note(model.metadata, "guards", []))
        state = {str(e["name"]): str(e["output"]) for e in read_note(model.metadata, "state", [])}
        evidence = read_note(model.metadata, "evidence", None)
        names = SizeNames(bounds)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InterchangeError) as error:
        raise LoadError(
            "IX624",
            "the metadata that interchange wrote into the model is damaged",
            where="metadata_props",
            found=f"{type(error).__name__}: {error}",
            expected="interchange.guards, .dims, .state and .evidence as the exporter writes them",
            fix="export the model again, or remove the entries if the sizes of its inputs need no guarding",
        ) from None
    defaults = model.graph.initializers
    inputs = {v.name: _spec(v, names, optional=v.name in defaults) for v in model.graph.inputs}
    outputs = {v.name: _spec(v, names) for v in model.graph.outputs}
    dims = {n: bounds.get(n, (0, None)) for n in names.used}
    return Signature(inputs, outputs, dims, guards, state, evidence)


def _upper(high: Any) -> int | None:
    return None if high is None else int(high)


def _spec(value: Value, names: SizeNames, optional: bool = False) -> ValueSpec:
    if value.dtype is None:
        return ValueSpec(value.name, np.dtype(object), (), optional, _kind(value), ranked=False)
    if value.shape is None:
        return ValueSpec(value.name, value.dtype, (), optional, ranked=False)
    shape = tuple(names.dim(d, f"{value.name}_{axis}") for axis, d in enumerate(value.shape))
    return ValueSpec(value.name, value.dtype, shape, optional)


def _kind(value: Value) -> str:
    """ONNX's text for a type that is no tensor."""
    if not value.type_proto:
        return "untyped"
    import onnx

    proto = onnx.TypeProto()
    proto.ParseFromString(value.type_proto)
    return _type_text(proto)


def _type_text(proto: Any) -> str:
    which = proto.WhichOneof("value") or "untyped"
    if which in ("tensor_type", "sparse_tensor_type"):
        from interchange.dtypes import from_onnx

        dtype = from_onnx(getattr(proto, which).elem_type)
        inner = "undefined" if dtype is None else name_of(dtype)
        return f"{which.removesuffix('_type')}({inner})"
    if which == "map_type":
        from interchange.dtypes import from_onnx

        key = from_onnx(proto.map_type.key_type)
        return f"map({'undefined' if key is None else name_of(key)}, {_type_text(proto.map_type.value_type)})"
    if which in ("sequence_type", "optional_type"):
        inner = _type_text(getattr(proto, which).elem_type)
        return f"{'seq' if which == 'sequence_type' else 'optional'}({inner})"
    return which


def names_of(specs: Iterable[ValueSpec]) -> str:
    """The names of inputs or outputs, for messages."""
    return _some([s.name for s in specs], ", ") or "none"


def lines_of(specs: Iterable[ValueSpec]) -> str:
    """Inputs or outputs in the shape language, for messages."""
    return _some([str(s) for s in specs], "; ") or "none"


def _some(texts: Sequence[str], separator: str, limit: int = 12) -> str:
    more = f"{separator}and {len(texts) - limit} more" if len(texts) > limit else ""
    return separator.join(texts[:limit]) + more
