"""Leaving the weights out of a model file before protobuf sees it.

protobuf copies every byte it parses, and stops at 2 GiB. Weights that stand inside the .onnx file are found here by
walking the wire format (https://protobuf.dev/programming-guides/encoding/), three levels deep and without recursion,
and become windows into the file; the rest, which is small, is parsed as usual.
"""

from __future__ import annotations

from collections.abc import Iterator

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # ModelProto.graph, GraphProto.initializer, TensorProto.raw_data
_SMALLEST = 4096  # bytes of raw data that are worth a window


class MalformedError(ValueError):
    """The bytes are not protobuf."""


def split(data: memoryview) -> tuple[bytes, dict[int, memoryview]]:
    """(the model without its large initializers' raw data, that data by position of the initializer in the graph).

    What is not plain to read is left as it is: protobuf then says what is wrong. Raises MalformedError for two graphs,
    which parsers would merge.
    """
    try:
        graphs = [f for f in _fields(data, 0, len(data)) if f[0] == _GRAPH]
    except MalformedError:
        return bytes(data), {}
    if len(graphs) > 1:
        raise MalformedError("two graphs in one model")
    if not graphs:
        return bytes(data), {}
    _, begin, start, end = graphs[0]
    windows: dict[int, memoryview] = {}
    pieces: list[bytes | memoryview] = []
    done, position = start, -1  # bytes of the graph up to `done` are in `pieces`
    try:
        for number, tag, first, last in _fields(data, start, end):
            if number != _INITIALIZER:
                continue
            position += 1
            if last - first < _SMALLEST:
                continue
            raw = [f for f in _fields(data, first, last) if f[0] == _RAW_DATA]
            if len(raw) != 1 or raw[0][3] - raw[0][2] < _SMALLEST:
                continue
            _, cut, window, after = raw[0]
            windows[position] = data[window:after]
            body = bytes(data[first:cut]) + bytes(data[after:last])
            pieces += [data[done:tag], _tag(_INITIALIZER), _varint(len(body)), body]
            done = last
    except MalformedError:
        return bytes(data), {}
    pieces.append(data[done:end])
    graph = b"".join(pieces)
    return b"".join([data[:begin], _tag(_GRAPH), _varint(len(graph)), graph, data[end:]]), windows


def _fields(data: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(field number or -1 where it is not length-delimited, start of its tag, start and end of its content)."""
    while at < end:
        begin = at
        tag, at = read_varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        start = at
        if kind == 2:
            length, start = read_varint(data, at, end)
            at = start + length
        elif kind == 0:
            _, at = read_varint(data, at, end)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise MalformedError(f"wire type {kind}")
        if at > end or number == 0:
            raise MalformedError("a field runs over the end")
        yield number if kind == 2 else -1, begin, start, at


def read_varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """(number, position after it). Raises MalformedError where none ends before `end`."""
    if at < end and data[at] < 0x80:  # most are this short
        return data[at], at + 1
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise MalformedError("a number runs over the end")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(number: int) -> bytes:
    return _varint(number << 3 | 2)
