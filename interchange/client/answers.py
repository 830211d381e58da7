"""One HTTP answer, read as its bytes come, within bounds. Knows nothing of sockets."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import httptools
import numpy as np
import orjson

from interchange.client.errors import LostError, no_protocol, too_large
from interchange.dtypes import DType

MAX_HEAD = 1 << 16  # bytes before the body: status line, headers, and what interim answers (1xx) came before
_RAW = 1 << 16  # bytes of a body that are read past the parser, into their place


class Known(NamedTuple):
    """An answer that was read before, up to its tensors. Another one of the same bytes there means the same.

    start: its head, and its JSON.  head: bytes of the head.  tensors: name, dtype, shape and place of each.
    """

    start: bytes
    head: int
    headers: dict[bytes, bytes]
    tensors: tuple[tuple[str, DType, tuple[int, ...], int], ...]


Memory = dict[int, Known]  # by the length of the whole answer


class Answer:
    """A status, headers by their name in lower case, and a body that nobody else holds.

    whole: all bytes of it, where they came in one piece and nothing else with them.  known: the one that it repeats.
    """

    __slots__ = ("body", "headers", "known", "status", "whole")

    def __init__(
        self,
        status: int,
        headers: dict[bytes, bytes],
        body: memoryview,
        whole: bytes | None = None,
        known: Known | None = None,
    ) -> None:
        self.status, self.headers, self.body = status, headers, body
        self.whole, self.known = whole, known

    def json(self) -> Any:
        """The body as plain data. Raises ClientError IX684."""
        return json_of(self.body)

    def json_or_none(self) -> Any:
        """The body as plain data, if it is JSON."""
        try:
            return orjson.loads(self.body)
        except ValueError:
            return None

    def text(self) -> str:
        """The beginning of the body, for people."""
        return bytes(self.body[:2000]).decode("utf-8", "replace").strip()


def json_of(data: memoryview) -> Any:
    """Plain data. Numbers that JSON has not, NaN and Infinity, are read where a server writes them: some do.

    Raises ClientError IX684.
    """
    try:
        return orjson.loads(data)
    except ValueError as error:
        try:
            return json.loads(bytes(data))
        except (ValueError, RecursionError):
            shown = bytes(data[:80]).decode("utf-8", "replace")
            raise no_protocol(f"{shown!r}: {error}", "a JSON object") from None


class Reader:
    """Give it what comes; it says when the answer is whole.

    limit: bytes of one answer, with its head and framing.  memory: answers that were read before.
    keep: whether the connection may be used again afterwards.
    missing: bytes of the body that are still to come and may go directly into `rest`; 0 where that is not known.
    """

    __slots__ = (
        "_body", "_done", "_headed", "_headers", "_known", "_length", "_memory", "_parser", "_parts", "_status",
        "_whole", "keep", "limit", "missing", "received",
    )  # fmt: skip

    def __init__(self, limit: int, memory: Memory) -> None:
        self.limit, self._memory = limit, memory
        self.received = self.missing = 0
        self.keep = False
        self._known: Known | None = None
        self._whole: bytes | None = None

    def _begin(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._body: Any = None
        self._status, self._length = 0, -1
        self._headed = self._done = False

    # -- what the parser calls ----------------------------------------------------------------------------------------
    def on_message_begin(self) -> None:
        """Another answer behind the one that was asked for: nobody may trust this connection."""
        if self._done:
            self.keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        if not self._done:
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The head is whole."""
        if self._done:
            return
        parser = self._parser
        self._status = parser.get_status_code()
        if self._status >= 200:
            self._headed = True
            self.keep = parser.should_keep_alive()
            length = self._headers.get(b"content-length")
            if self._status not in (204, 304) and length is not None and b"transfer-encoding" not in self._headers:
                self._length = int(length)

    def on_body(self, data: bytes) -> None:
        """A part of the body, without its framing."""
        if not self._done:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        """The answer is whole; or it was an interim one (1xx), and the one that counts is still to come."""
        if self._headed:
            self._done = True
        else:
            self._headers.clear()

    # -- what the connection calls ------------------------------------------------------------------------------------
    def feed(self, data: bytes) -> bool:
        """Take what came; True when the answer is whole.

        Raises ClientError IX684 (no HTTP), IX685 (too large).
        """
        first = not self.received
        if first:
            known = self._memory.get(len(data))
            if known is not None and data.startswith(known.start):
                self._known, self._whole = known, data
                self.keep = True
                return True
            self._begin()
        self.received += len(data)
        if self.received > self.limit:
            raise too_large(self.limit)
        if self._body is not None:
            return self._feed_raw(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._done:
                shown = bytes(data[:40])
                raise no_protocol(f"{shown!r}: {error or type(error).__name__}", "an HTTP/1.1 answer") from None
            self.keep = False  # the answer is whole, and there is something behind it
        if self._done:
            if first and self.keep:
                self._whole = data
            return True
        if not self._headed:
            if self.received > MAX_HEAD:
                raise no_protocol(f"a head of more than {MAX_HEAD} bytes", f"a head of at most {MAX_HEAD} bytes")
            return False
        if self._length > self.limit:
            raise too_large(self.limit)
        if self._length >= _RAW:
            self._begin_raw()
        return False

    def _begin_raw(self) -> None:
        self._body = memoryview(np.empty(self._length, np.uint8))  # type: ignore[arg-type]
        self.missing = self._length
        for part in self._parts:
            self._feed_raw(part)

    def _feed_raw(self, data: bytes) -> bool:
        at = self._length - self.missing
        taken = data[: self.missing]
        if len(taken) < len(data):
            self.keep = False
        self._body[at : at + len(taken)] = taken
        self.missing -= len(taken)
        return self.missing == 0

    @property
    def rest(self) -> memoryview:
        """Where the next `missing` bytes belong."""
        rest: memoryview = self._body[self._length - self.missing :]
        return rest

    def filled(self, count: int) -> bool:
        """So many bytes were put into `rest`; True when the answer is whole."""
        self.missing -= count
        self.received += count
        return self.missing == 0

    def end(self) -> None:
        """No more bytes will come. Raises LostError where the answer needs them."""
        self.keep = False
        if not self.received or not self._headed:
            raise LostError(
                "it was closed before an answer began" if not self.received else "it was closed in the head"
            )
        if self._length >= 0 or b"transfer-encoding" in self._headers:
            raise LostError(f"it was closed within the body, after {self.received} bytes")

    @property
    def answer(self) -> Answer:
        """The whole of it."""
        known, whole = self._known, self._whole
        if known is not None and whole is not None:
            return Answer(200, known.headers, memoryview(whole)[known.head :], whole, known)
        body = self._body if self._body is not None else memoryview(bytearray().join(self._parts))
        return Answer(self._status, self._headers, body, whole)
