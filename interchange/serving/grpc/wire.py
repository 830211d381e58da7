"""The few lines of protobuf's wire format that keep tensors from being copied.

A request is cut into its tensors' bytes, which are looked at where they lie, and the rest, which protobuf reads; an
answer is put together in the same way. What is cut is also counted: millions of empty messages of two bytes each would
be gigabytes of objects.
"""

from __future__ import annotations

from interchange.protocol.errors import ServingError
from interchange.serving.grpc.messages import not_a_message

MAX_FIELDS = 4096  # of one request: inputs, outputs, parameters, tensors
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def cut(data: bytes, number: int, name: str) -> tuple[bytes, list[memoryview]]:
    """A message without the bytes fields of one number, and these, in their order.

    Raises ServingError IX630 for what is no message, IX652 for one of too many fields.
    """
    view = memoryview(data)
    found: list[memoryview] = []
    rest: list[memoryview] = []
    tag = number << 3 | _BYTES
    at = kept = count = 0  # kept: where that begins which was not cut out
    end = len(data)
    try:
        while at < end:
            count += 1
            if count > MAX_FIELDS:
                raise _too_many(name)
            begin = at
            key, at = _varint(data, at)
            kind = key & 7
            if kind == _BYTES:
                length, at = _varint(data, at)
                at += length
                if key == tag and at <= end:
                    found.append(view[at - length : at])
                    if kept < begin:
                        rest.append(view[kept:begin])
                    kept = at
            elif kind == _VARINT:
                _, at = _varint(data, at)
            elif kind in (_FIXED64, _FIXED32):
                at += 8 if kind == _FIXED64 else 4
            else:
                raise not_a_message(name, f"a field of wire type {kind}")
    except IndexError:
        at = end + 1
    if at > end:
        raise not_a_message(name, f"{end} bytes that end within a field")
    if not found:
        return data, found
    if kept < end:
        rest.append(view[kept:])
    return b"".join(rest), found


def field(number: int, length: int) -> bytes:
    """What stands before a bytes field."""
    return _written(number << 3 | _BYTES) + _written(length)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place behind it. Raises IndexError where the data end."""
    value = data[at]
    at += 1
    if value < 0x80:
        return value, at
    value &= 0x7F
    for shift in range(7, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise IndexError


def _written(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _too_many(name: str) -> ServingError:
    return ServingError(
        "IX652",
        f"this {name} has too many parts",
        found=f"more than {MAX_FIELDS}",
        expected=f"at most {MAX_FIELDS} inputs, outputs, parameters and tensors",
        fix="split the request",
    )
