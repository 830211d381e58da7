"""Data: that each constant holds the bytes its type and shape need, in the file or beside it."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from interchange.checker.context import Context, Scope, listed
from interchange.checker.report import Where
from interchange.checker.rule import Problem, Problems, rule
from interchange.dtypes import bits, from_onnx, name_of
from interchange.errors import FileError
from interchange.graph.external import check_location
from interchange.graph.reading import Reader
from interchange.graph.tensor import Tensor

_SMALL = 1 << 20  # bytes of a tensor whose values are looked at
_HASHED = 64 << 20  # bytes of a data file whose checksum is computed
_KEYS = (2, 3, 4, 5, 6, 7, 8, 12, 13)  # TensorProto.DataType: integers and string

# TensorProto or SparseTensorProto, place, name for messages, its raw data if left out
Place = tuple[Any, Where, str, memoryview | None]


def _training(ctx: Context) -> Iterator[Scope]:
    """The graphs of training_info: no rule on nodes looks there, but loaders read their data all the same."""
    for number, info in enumerate(ctx.model.training_info):
        for name in ("initialization", "algorithm"):
            yield Scope(getattr(info, name), ctx.file, f"training_info[{number}].{name}", ctx.opsets)


def _tensors(ctx: Context, wanted: Callable[[Any, memoryview | None], bool]) -> Iterator[Place]:
    """The wanted ones of all constants of a model. wanted: of a TensorProto and its raw data if that was left out."""
    training = list(_training(ctx))
    for scope in (*ctx.scopes, *training):
        if not scope.is_function:
            for i, tensor in enumerate(scope.proto.initializer):
                window = ctx.windows.get(i) if scope is ctx.main else None
                if wanted(tensor, window):
                    yield tensor, scope.place(tensor.name), f"initializer {tensor.name!r}", window
            for sparse in scope.proto.sparse_initializer:
                yield sparse, scope.place(sparse.values.name), f"sparse initializer {sparse.values.name!r}", None
        else:
            for attribute in scope.proto.attribute_proto:
                for tensor in _held(attribute):
                    yield tensor, scope.place(), f"attribute {attribute.name!r} of {scope.path}", None
    for form in (*ctx.forms, *(form for scope in training for form in dict.fromkeys(scope.forms))):
        for attribute in form.first.proto.attribute:
            for tensor in _held(attribute):
                if _is_sparse(tensor) or wanted(tensor, None):
                    for node in form.nodes:
                        yield tensor, node.where(), f"attribute {attribute.name} of node {node.label}", None


def _is_sparse(tensor: Any) -> bool:
    return bool(tensor.DESCRIPTOR.name == "SparseTensorProto")


def _held(attribute: Any) -> list[Any]:
    """The tensors in an attribute."""
    single = [getattr(attribute, f) for f in ("t", "sparse_tensor") if attribute.HasField(f)]
    return [*single, *attribute.tensors, *attribute.sparse_tensors]


def _problems(ctx: Context, code: str) -> Problems:
    for error, where in ctx.data_errors:
        if _RULE_OF.get(error.code, "IX530") == code:
            yield Problem(
                error.message if error.where is None else f"{error.where}: {error.message}",
                where,
                found=error.found or "",
                expected=error.expected or "",
                why="the weight cannot be read",
                fix=error.fix or "",
            )


_RULE_OF = {"IX312": "IX531", "IX304": "IX532", "IX305": "IX533", "IX306": "IX534", "IX311": "IX558"}


def data_errors(ctx: Context) -> list[tuple[FileError, Where]]:
    """What the reader of model files says of each tensor: one look for all rules below."""
    found = []
    for tensor, where, what, window in _tensors(ctx, _may_be_wrong):
        reader = reader_of(ctx)
        try:
            if _is_sparse(tensor):
                reader.sparse(tensor, what).positions(what)
            else:
                _check_bools(reader.tensor(tensor, what, window), what)
        except _NotHereError:
            continue
        except FileError as error:
            found.append((error, where))
    return found


_PLAIN = {1: 4, 6: 4, 7: 8, 10: 2, 11: 8, 16: 2}  # FLOAT, INT32, INT64, FLOAT16, DOUBLE, BFLOAT16: bytes of an element
_RAW = ({1, 2, 8, 9}, {1, 2, 8}, {2, 8, 9}, {2, 8})  # numbers of the fields of a tensor in raw data, scalar or left out


def _may_be_wrong(tensor: Any, window: memoryview | None) -> bool:
    """Whether there is more to look at than raw data of the length that its shape needs, which most weights are."""
    width = _PLAIN.get(tensor.data_type)
    if width is None or {field.number for field, _ in tensor.ListFields()} not in _RAW:
        return True
    dims = tensor.dims
    size = len(tensor.raw_data) if window is None else len(window)
    return size != width * math.prod(dims) or min(dims, default=0) < 0 or len(dims) > 64


def _check_bools(tensor: Tensor, what: str) -> None:
    """Raise FileError IX313 for a bool that is neither 0 nor 1; the typed field is the reader's."""
    if name_of(tensor.dtype) == "bool" and tensor.nbytes <= _SMALL:
        largest = int(tensor.numpy().view(np.uint8).max(initial=0))
        if largest > 1:
            raise FileError(
                "IX313",
                "the data of a tensor is not what its type says",
                where=what,
                found=f"a bool stored as {largest}",
                expected="0 or 1",
                fix="export the model again",
            )


class _NotHereError(Exception):
    """The data of a tensor stands in a file, and the model in none."""


def reader_of(ctx: Context) -> Reader:
    """Reads the constants of a model; those in data files only where its folder is known."""
    return Reader(ctx.folder.window if ctx.folder is not None else _nowhere, {})


def _nowhere(entries: Mapping[str, str], need: int, where: str) -> memoryview:
    check_location(entries.get("location", ""), where)
    raise _NotHereError


@rule("IX530", "error", "Data that does not fit its shape")
def payload(ctx: Context) -> Problems:
    yield from _problems(ctx, "IX530")


@rule("IX531", "error", "An unknown element type")
def element_type(ctx: Context) -> Problems:
    yield from _problems(ctx, "IX531")
    for scope in ctx.scopes:
        for kind, info in scope.infos():
            found = _unknown_type(info.type)
            if found:
                yield Problem(
                    f"{kind} {info.name!r} is declared with {found}",
                    scope.place(info.name),
                    found=found,
                    expected="an element type of ONNX; int or string for the keys of a map",
                    why="readers refuse the model",
                    fix="correct the declaration",
                )


def _unknown_type(declared: Any) -> str:
    """What a TypeProto has for an element type or a key, if that is none."""
    kind = declared.WhichOneof("value")
    while kind in ("sequence_type", "optional_type", "map_type"):
        inner = getattr(declared, kind)
        if kind == "map_type" and inner.key_type not in _KEYS:
            return f"a map whose keys have the type {inner.key_type}"
        declared = inner.value_type if kind == "map_type" else inner.elem_type
        kind = declared.WhichOneof("value")
    number = getattr(declared, kind).elem_type if kind in ("tensor_type", "sparse_tensor_type") else 0
    return f"the element type {number}" if number and from_onnx(number) is None else ""


@rule("IX532", "error", "A data file outside the folder")
def outside(ctx: Context) -> Problems:
    yield from _problems(ctx, "IX532")


@rule("IX533", "error", "A data file is missing")
def missing_file(ctx: Context) -> Problems:
    yield from _problems(ctx, "IX533")


@rule("IX534", "error", "A data file that does not fit")
def external_range(ctx: Context) -> Problems:
    yield from _problems(ctx, "IX534")


# -- how data outside of the file is described ------------------------------------------------------------------------
@rule("IX558", "warning", "External data that is described oddly")
def oddly_described(ctx: Context) -> Problems:
    for p in _problems(ctx, "IX558"):
        yield replace(p, severity="error")
    ranges: dict[str, list[tuple[int, int, str, Where]]] = {}
    for tensor, where, what in _external(ctx):
        entries = {e.key: e.value for e in tensor.external_data}
        unknown = [k for k in entries if k not in _ENTRIES and not k.startswith("prepacked")]
        if unknown:
            yield _odd(what, where, f"entries {listed(unknown)}", f"entries of {', '.join(_ENTRIES)}")
        location, start = os.path.normpath(entries.get("location", "")), entries.get("offset", "0")
        if location == os.path.basename(ctx.file):
            yield _odd(what, where, f"the location {location!r}, which is the model file itself", "a data file")
        elif start.isdecimal() and len(start) < 20:
            size = math.prod(tensor.dims) * (bits(dtype) if (dtype := from_onnx(tensor.data_type)) else 0) // 8
            ranges.setdefault(location, []).append((int(start), int(start) + size, what, where))
    for parts in ranges.values():
        last = (0, 0, "", Where())
        for part in sorted(parts, key=lambda p: p[:2]):
            if part[0] < last[1] and part[:2] != last[:2]:  # one range for two tensors is sharing
                found = f"bytes {part[0]} to {part[1]}; {last[2]} has {last[0]} to {last[1]}"
                yield _odd(part[2], part[3], found, "bytes of its own, or all of another's")
            last = max(last, part, key=lambda p: p[1])


_ENTRIES = ("location", "offset", "length", "checksum", "basepath")


def _odd(what: str, where: Where, found: str, expected: str) -> Problem:
    return Problem(
        f"{what}: its external data is described in a way that no exporter writes",
        where,
        found=found,
        expected=expected,
        why="readers differ in what they make of it; the file may be damaged or hostile",
        fix="get the model again from its source",
    )


def _external(ctx: Context) -> Iterator[tuple[Any, Where, str]]:
    """(TensorProto, place, name) of each tensor whose data stands in another file."""
    for tensor, where, what, _ in _tensors(ctx, lambda t, _: t.data_location == 1):
        for part in (tensor.values, tensor.indices) if _is_sparse(tensor) else (tensor,):
            if part.data_location == 1:
                yield part, where, what


@rule("IX559", "error", "A checksum that is not the data file's")
def checksum(ctx: Context) -> Problems:
    digests: dict[int, str] = {}  # by the mapping, which the folder keeps: a file can have many names
    for tensor, where, what in _external(ctx) if ctx.folder is not None else ():
        entries = {e.key: e.value for e in tensor.external_data}
        location, said = entries.get("location", ""), entries.get("checksum", "").lower()
        if not said:
            continue
        assert ctx.folder is not None
        try:
            data = ctx.folder.file(location, what)
        except FileError:
            continue  # the rules above say why
        if len(data) <= _HASHED:
            if id(data) not in digests:
                digests[id(data)] = hashlib.sha1(data, usedforsecurity=False).hexdigest()
            digest = digests[id(data)]
            if digest != said:
                yield Problem(
                    f"{what}: the data file {location!r} is not the one the model was saved with",
                    where,
                    found=f"SHA-1 {digest}",
                    expected=f"SHA-1 {said[:64]}",
                    why="the weights were changed, or belong to another model",
                    fix="copy both files again from one source",
                )
