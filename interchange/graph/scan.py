"""The wire format of a model file, read by itself: how many messages there are, and what is odd about them.

protobuf builds an object for each message it meets, merges what is given twice and skips what it does not know. This
walks the bytes (https://protobuf.dev/programming-guides/encoding/) with the descriptors of ONNX, without recursion and
without building anything. It is needed where a file is large, cannot be parsed, or says more than its parsed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from interchange.errors import FileError
from interchange.graph.limits import Limits
from interchange.graph.wire import MalformedError, read_varint

_MAX_ODD = 20  # oddities that are told

_WIRE = {1: 1, 2: 5, 6: 1, 7: 5, 9: 2, 11: 2, 12: 2, 15: 5, 16: 1}  # FieldDescriptor type -> wire type; others are 0


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something a parser passes over. kind: ``twice`` (a field that can be there once) or ``unknown`` (a field, or a
    form of one). place: ``graph.node[3].name``."""

    kind: str
    place: str


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    message: str  # the kind of message, "" for data
    repeated: bool
    wire: int  # the wire type; what is repeated may also be packed


@cache
def _messages() -> dict[str, dict[int, _Field]]:
    """Message -> number -> field, of all messages a model can hold."""
    import onnx

    found: dict[str, dict[int, _Field]] = {}
    ahead: list[Any] = [onnx.ModelProto.DESCRIPTOR]
    while ahead:
        descriptor = ahead.pop()
        if descriptor.name in found:
            continue
        fields = found[descriptor.name] = {}
        for f in descriptor.fields:
            inner = f.message_type
            repeated = bool(f.is_repeated) if hasattr(f, "is_repeated") else f.label == f.LABEL_REPEATED
            fields[f.number] = _Field(f.name, inner.name if inner is not None else "", repeated, _WIRE.get(f.type, 0))
            if inner is not None:
                ahead.append(inner)
    return found


@dataclass(slots=True)
class _Open:
    """A message that is being walked. seen: numbers of its fields so far, counted."""

    end: int
    name: str
    field: str
    seen: dict[int, int]


def scan(data: bytes | memoryview, limits: Limits, where: str) -> tuple[Oddity, ...]:
    """Walk a whole serialised ModelProto; what is odd about it.

    Raises FileError: IX302 with the place at which the bytes are no model any more, IX303 for more messages than
    `limits.parts` allows, or deeper ones than protobuf reads.
    """
    data, messages = memoryview(data), _messages()
    stack = [_Open(len(data), "ModelProto", "", {})]
    odd: dict[Oddity, None] = {}
    parts = at = 0
    while stack:
        top = stack[-1]
        if at == top.end:
            stack.pop()
            continue
        begin = at
        try:
            number, wire, content, at = _field(data, at, top.end)
        except MalformedError as error:
            raise _malformed(where, stack, begin, len(data), str(error)) from None
        field = messages[top.name].get(number)
        count = top.seen[number] = top.seen.get(number, 0) + 1
        if field is None or not (wire == field.wire or (wire == 2 and field.repeated)):
            _note(odd, "unknown", stack, f"field {number}")
            continue
        if count == 2 and not field.repeated:
            _note(odd, "twice", stack, field.name)
        if field.message and content is not None:
            parts += 1
            if parts > limits.parts:
                raise too_many(where, f"more than {limits.parts} parts", f"at most {limits.parts} (the limit `parts`)")
            if len(stack) >= 100:
                raise too_many(where, "messages nested 100 deep", "what protobuf reads: less than 100")
            stack.append(_Open(at, field.message, f"{field.name}[{count - 1}]" if field.repeated else field.name, {}))
            at = content
    return tuple(odd)


def too_many(where: str, found: str, expected: str) -> FileError:
    """The error for a model that is larger than a limit."""
    return FileError(
        "IX303",
        "the model is larger than what is read from a file that nobody vouches for",
        where=where,
        found=found,
        expected=expected,
        fix="if the model is yours, raise the limit: check(model, limits={...}), or --limit NAME=NUMBER",
    )


def _note(odd: dict[Oddity, None], kind: str, stack: list[_Open], name: str) -> None:
    if len(odd) < _MAX_ODD:
        odd[Oddity(kind, _path(stack, name))] = None


def _path(stack: list[_Open], name: str = "") -> str:
    return ".".join(p for p in (*(m.field for m in stack), name) if p)


def _field(data: memoryview, at: int, end: int) -> tuple[int, int, int | None, int]:
    """(number, wire type, start of the content if it has a length, end) of the field at `at`."""
    tag, at = read_varint(data, at, end)
    number, kind = tag >> 3, tag & 7
    content = None
    match kind:
        case 2:
            length, content = read_varint(data, at, end)
            at = content + length
        case 0:
            _, at = read_varint(data, at, end)
        case 1 | 5:
            at += 8 if kind == 1 else 4
        case _:
            raise MalformedError(f"wire type {kind}, which is not used in such files")
    if number == 0:
        raise MalformedError("a field without a number")
    if at > end:
        raise MalformedError(f"a field that ends {at - end} bytes later than what it stands in")
    return number, kind, content, at


def _malformed(where: str, stack: list[_Open], at: int, size: int, problem: str) -> FileError:
    place = _path(stack)
    inside = f" in {place}" if place else ""
    return FileError(
        "IX302",
        "this is not an ONNX model",
        where=where,
        found=f"{size} bytes that are no model from byte {at} on{inside}: {problem}",
        expected="a complete ONNX model (a serialised ModelProto)",
        fix="the file is cut short or damaged: get it again",
    )
