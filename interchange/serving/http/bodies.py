"""Bodies: put together from chunks, and unpacked, never beyond a limit."""

from __future__ import annotations

import re
import zlib

from interchange.protocol.errors import ServingError

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_MAX_LINE = 256
_MAX_CHUNKS = 65_536  # a megabyte in chunks of 16 bytes
_PACKED = {"gzip": 31, "deflate": 15}  # zlib's window bits


class Chunks:
    """A body in chunks, as it arrives. done: all of it is in `body`; what came behind it is in `rest`."""

    def __init__(self, limit: int) -> None:
        self.body = bytearray()
        self.rest = b""
        self.done = False
        self._limit, self._lines = limit, 0
        self._expect = "size"  # what comes next: size, data, end (of the line behind the data), trailer
        self._left = 0  # bytes of the chunk that are still to come
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        """Read on. Raises ServingError IX652 (too large), IX658 (no chunks)."""
        data, at = self._buffer + data, 0
        while not self.done:
            if self._expect == "data":
                part = data[at : at + self._left]
                self.body += part
                at += len(part)
                self._left -= len(part)
                if self._left:
                    break
                self._expect = "end"
            end = data.find(b"\n", at, at + _MAX_LINE)
            if end < 0:
                if len(data) - at >= _MAX_LINE or (self._expect == "end" and data[at : at + 1] not in (b"", b"\r")):
                    raise _no_chunks(data[at : at + 40])
                break
            line, at = data[at : end + 1], end + 1
            if line[-2:] != b"\r\n":
                raise _no_chunks(line[:40])
            self._read_line(line[:-2])
        self._buffer = data[at:]
        if self.done:
            self.rest = self._buffer

    def _read_line(self, line: bytes) -> None:
        self._lines += 1
        if self._lines > 2 * _MAX_CHUNKS:
            raise ServingError(
                "IX652",
                "the body comes in too many chunks",
                found=f"more than {_MAX_CHUNKS}",
                expected=f"at most {_MAX_CHUNKS}",
                fix="send larger chunks, or a Content-Length",
            )
        match self._expect:
            case "trailer":
                self.done = not line
            case "end" if not line:
                self._expect = "size"
            case "size" if match := _SIZE.fullmatch(line):
                self._left = int(match[1], 16)
                if len(self.body) + self._left > self._limit:
                    raise too_large(len(self.body) + self._left, self._limit)
                self._expect = "data" if self._left else "trailer"
            case _:
                raise _no_chunks(line[:40])


def _no_chunks(found: bytes) -> ServingError:
    return ServingError(
        "IX658",
        "this is no body in chunks",
        found=repr(found)[1:],
        expected="for each chunk its size in hexadecimal digits, its data, a line end",
        fix="use an HTTP library, or send a Content-Length",
    )


def too_large(found: int, limit: int) -> ServingError:
    """The error for a body above the limit."""
    return ServingError(
        "IX652",
        "the body is too large",
        found=f"{found} bytes",
        expected=f"at most {limit} bytes",
        fix="split the request; the operator can raise max_body",
    )


def unpacked(body: bytes | bytearray, encoding: str, limit: int) -> bytes:
    """A body that was compressed. Raises ServingError IX652 (too large), IX653 (unknown encoding), IX630 (damaged)."""
    bits = _PACKED.get(encoding)
    if bits is None:
        raise ServingError(
            "IX653",
            "the body has an encoding that is not taken",
            found=encoding[:80],
            expected="gzip or deflate, or none",
            fix="send it without Content-Encoding",
        )
    reader = zlib.decompressobj(bits)
    try:
        data = reader.decompress(body, limit + 1)
        damaged = None if reader.eof and not reader.unused_data else "it ends too early, or something follows it"
    except zlib.error as error:
        data, damaged = b"", str(error)
    if len(data) > limit:
        raise too_large(len(data), limit)
    if damaged:
        raise ServingError(
            "IX630",
            f"the body is no {encoding} data",
            found=damaged,
            expected=f"{encoding} data",
            fix="compress it again",
        )
    return data


def packed(body: bytes, accepted: str) -> tuple[bytes, str]:
    """A body as small as the client takes it: compressed, and the name of the encoding; or as it is, and nothing."""
    for name, bits in _PACKED.items():
        if name in accepted and f"{name};q=0" not in accepted.replace(" ", ""):
            writer = zlib.compressobj(1, wbits=bits)
            return writer.compress(body) + writer.flush(), name
    return body, ""
