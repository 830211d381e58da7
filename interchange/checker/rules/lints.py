"""Lints: what is allowed, and seldom meant. They are notes, and are looked for when they are asked for."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any

from interchange.checker.context import Context, Scope, listed, plural
from interchange.checker.rule import Problem, Problems, rule
from interchange.checker.rules.tensors import reader_of
from interchange.dtypes import from_onnx, is_float, nbytes
from interchange.graph.tensor import Tensor

_FLOAT64 = 11  # TensorProto.DOUBLE
_INLINE = 1 << 16  # bytes of a constant in a node
_SHARED = 1 << 10  # bytes of weights that are worth sharing
_OLD = 13  # opset from which operators take their axes as inputs, and runtimes fuse
_UNDONE = {"Cast": "to", "Transpose": "perm", "Reshape": "", "Squeeze": "", "Unsqueeze": "", "Identity": ""}


@rule("IX588", "note", "Nodes whose results nothing reads", lint=True)
def dead(ctx: Context) -> Problems:
    for scope in ctx.scopes:
        kept = scope.used | set(scope.outputs)
        left = [scope.node(i) for i, names in enumerate(scope.outputs_of) if kept.isdisjoint(names)]
        if left:
            yield Problem(
                f"{plural(len(left), 'node')} {'computes' if len(left) == 1 else 'compute'} what nothing reads",
                left[0].where(),
                found=", ".join(f"{n.label} ({n.op})" for n in left[:8]),
                expected="nodes that an output depends on",
                why="runtimes drop them while they load; the file and the load take longer",
                fix="interchange check --fix removes them",
            )


@rule("IX589", "note", "Work that is undone at once", lint=True)
def undone(ctx: Context) -> Problems:
    for node in ctx.nodes_of(*_UNDONE):
        name = node.proto.input[0] if node.proto.input else ""
        makers = node.scope.makers.get(name, [])
        maker = node.scope.node(makers[0]) if makers else None
        if maker is None or maker.key != node.key:
            continue
        if node.key[1] == "Cast" and not _widens(ctx, node.scope, maker.proto):
            continue  # rounding in between is work that is not undone
        yield Problem(
            f"node {node.label} follows node {maker.label}: the second {node.key[1]} alone does",
            node.where(name),
            found=f"{node.key[1]} of {node.key[1]}",
            expected=f"one {node.key[1]}, or none",
            why="each of them walks over all of the data",
            fix="let it read what the first one reads",
        )


def _widens(ctx: Context, scope: Scope, cast: Any) -> bool:
    """Whether a Cast keeps every value: float16 to float32, int8 to int64, ..."""
    import numpy as np

    kind = ctx.inferred.types.get(scope, {}).get(cast.input[0])
    before = from_onnx(kind.tensor_type.elem_type) if kind is not None else None
    after = next((from_onnx(a.i) for a in cast.attribute if a.name == "to"), None)
    return before is not None and after is not None and np.can_cast(before, after, "safe")


@rule("IX561", "note", "Arithmetic in float64", lint=True)
def float64(ctx: Context) -> Problems:
    for scope, types in ctx.inferred.types.items():
        wide = [
            i
            for i, names in enumerate(scope.outputs_of)
            for n in names[:1]
            if n in types and types[n].tensor_type.elem_type == _FLOAT64
        ]
        if wide:
            node = scope.node(wide[0])
            yield Problem(
                f"{plural(len(wide), 'node')} {'computes' if len(wide) == 1 else 'compute'} in float64",
                node.where(node.proto.output[0]),
                found=", ".join(f"{n.label} ({n.op})" for n in map(scope.node, wide[:5])),
                expected="float32, as models are trained and run",
                why="twice the memory, half the speed, and many operators have no kernel for it",
                fix="look for the first constant or cast of float64: it spreads from there",
            )


@rule("IX592", "note", "A large constant inside of a node", lint=True)
def inline(ctx: Context) -> Problems:
    for node in ctx.nodes_of("Constant"):
        for attribute in node.proto.attribute:
            size = _bytes_of(attribute.t) if attribute.HasField("t") else 0
            if size > _INLINE:
                yield Problem(
                    f"node {node.label} holds {size} bytes",
                    node.where(next(iter(node.proto.output), "")),
                    found=f"an attribute of {size} bytes",
                    expected="an initializer, which can stand in a data file",
                    why="it is copied each time the model is read, and cannot be mapped or shared",
                    fix="make it an initializer",
                )


@rule("IX593", "note", "Weights that are there twice", lint=True)
def duplicated(ctx: Context) -> Problems:
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, tensor in _weights(ctx):
        if _bytes_of(tensor) >= _SHARED:
            groups.setdefault((tensor.data_type, tuple(tensor.dims)), []).append(i)
    for same in groups.values():
        found: dict[bytes, list[str]] = {}
        for i in same if len(same) > 1 else ():
            weight = _read(ctx, i)
            found.setdefault(hashlib.sha256(weight.raw()).digest(), []).append(ctx.model.graph.initializer[i].name)
        for names in found.values():
            if len(names) > 1:
                yield Problem(
                    f"{len(names)} initializers hold the same {_bytes_of(ctx.model.graph.initializer[same[0]])} bytes",
                    ctx.main.place(names[0]),
                    found=listed(names),
                    expected="one initializer, which all of them read",
                    why="the file is larger, and so is the memory of each process that loads it",
                    fix="share the weight before the export",
                )


def _weights(ctx: Context) -> Iterator[tuple[int, Any]]:
    """(position, TensorProto) of the initializers of the main graph that can be read."""
    broken = {where.value for _, where in ctx.data_errors}
    for i, tensor in enumerate(ctx.model.graph.initializer):
        if tensor.name not in broken and (tensor.data_location != 1 or ctx.folder is not None):
            yield i, tensor


def _read(ctx: Context, position: int) -> Tensor:
    tensor = ctx.model.graph.initializer[position]
    return reader_of(ctx).tensor(tensor, tensor.name, ctx.windows.get(position))


def _bytes_of(tensor: Any) -> int:
    dtype = from_onnx(tensor.data_type)
    return 0 if dtype is None or min(tensor.dims, default=0) < 0 else nbytes(dtype, math.prod(tensor.dims))


@rule("IX520", "note", "Open sizes without a name", lint=True)
def unnamed_sizes(ctx: Context) -> Problems:
    given = set(ctx.main.initializers)
    for value in ctx.model.graph.input:
        open_axes = [i for i, d in enumerate(value.type.tensor_type.shape.dim) if d.WhichOneof("value") is None]
        if open_axes and value.name not in given:
            yield Problem(
                f"input {value.name!r} has open sizes without a name",
                ctx.main.place(value.name),
                found=f"axis {', '.join(map(str, open_axes))}",
                expected="a name, such as batch: equal names are equal sizes",
                why="nobody can tell which sizes of the inputs belong together; runtimes plan no memory",
                fix="name them (dim_param) where the model is exported",
            )


@rule("IX594", "note", "A form that is out of date", lint=True)
def outdated(ctx: Context) -> Problems:
    opset = ctx.opsets.get("", _OLD)
    if opset < _OLD:
        yield Problem(
            f"the model is of opset {opset}",
            ctx.where,
            found=f"opset {opset}",
            expected=f"opset {_OLD} or later",
            why="operators of that time mean other things than today's (Softmax flattens); runtimes fuse them less",
            fix="export it again for opset 21",
        )
    if ctx.model.ir_version >= 4:
        both = sorted(set(ctx.main.inputs) & set(ctx.main.initializers) - _state(ctx))
        if both:
            yield Problem(
                f"{plural(len(both), 'weight')} can be overridden by callers",
                ctx.main.place(both[0]),
                found=f"{listed(both)}: both input and initializer",
                expected="initializers alone, as of IR version 4",
                why="runtimes cannot fold or prepack a weight that a caller may replace",
                fix="remove them from the inputs, unless they are meant as defaults",
            )


def _state(ctx: Context) -> set[str]:
    """Inputs with a value on purpose: state that interchange exported."""
    from interchange.graph.notes import read_note

    notes = {e.key: e.value for e in ctx.model.metadata_props}
    return {str(part.get("name")) for part in read_note(notes, "state", []) if isinstance(part, dict)}


@rule("IX597", "note", "Nothing says what the model is", lint=True)
def undocumented(ctx: Context) -> Problems:
    missing = [what for what, text in _texts(ctx) if not text]
    if missing:
        yield Problem(
            "the model does not say what it is",
            ctx.where,
            found=f"no {', no '.join(missing)}",
            expected="a producer, and a text about the model",
            why="whoever finds the file has to guess what goes in and comes out",
            fix='export it with doc="..."',
        )


def _texts(ctx: Context) -> Iterator[tuple[str, str]]:
    yield "producer_name", ctx.model.producer_name
    yield "doc_string", ctx.model.doc_string or ctx.model.graph.doc_string


@rule("IX587", "warning", "Weights that are no numbers")
def not_numbers(ctx: Context) -> Problems:
    if not ctx.scan_weights:
        return
    import numpy as np

    for i, tensor in _weights(ctx):
        dtype = from_onnx(tensor.data_type)
        if dtype is None or not is_float(dtype):
            continue
        flat = _read(ctx, i).numpy().reshape(-1)
        parts = [flat[at : at + _AT_ONCE] for at in range(0, flat.size, _AT_ONCE)]
        nan = sum(int(np.isnan(part).sum()) for part in parts)
        infinite = sum(int(np.isinf(part).sum()) for part in parts)
        if nan or infinite:
            yield Problem(
                f"initializer {tensor.name!r} holds what is no number",
                ctx.main.place(tensor.name),
                found=f"{nan} NaN and {infinite} infinite of {flat.size} values",
                expected="numbers",
                why="every result that depends on it is NaN or infinite",
                fix="the training diverged, or the file is damaged: take an earlier checkpoint",
            )


_AT_ONCE = 1 << 22  # elements: weights are mapped, and read piece by piece
