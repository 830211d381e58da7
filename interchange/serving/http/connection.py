"""One HTTP/1.1 connection: requests one after the other, answers in their order, limits on everything."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import orjson

from interchange.errors import InterchangeError
from interchange.protocol.errors import ServingError, body_of, http_status, reason_of
from interchange.serving.batching import our_mistake
from interchange.serving.calls import DONE
from interchange.serving.http.bodies import Chunks, packed, too_large, unpacked
from interchange.serving.http.heads import Head, check_begun, head_too_large
from interchange.serving.http.infer import HttpCall, begin
from interchange.serving.http.routes import Handler, Request, Response
from interchange.serving.observing import Exchange

if TYPE_CHECKING:
    from interchange.serving.http.door import HttpDoor

_END = b"\r\n\r\n"
_LINE_END = b"\r\n"
_PACK_FROM = 1024  # bytes; a smaller answer is not worth compressing
_READ_ANYWAY = 1 << 20  # a body of at most this size is read although its request is refused, to keep the connection
_REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 413: "Content Too Large", 415: "Unsupported Media Type", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented",
    503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip


class Connection(asyncio.Protocol):
    """A client. It is read no further while it waits for an answer: there is one request at a time.

    held: bytes of a body that is not complete yet.
    since: when the request that is not complete yet began to come, or the answer not to be taken, on the door's clock;
    0 for neither.  last: when something was last done.  ended: the client sends nothing more.
    """

    __slots__ = (
        "body", "busy", "call", "chunks", "closing", "discarding", "door", "ended", "head", "held", "last", "peer",
        "pending", "received", "received_bytes", "since", "stuck", "task", "transport",
    )  # fmt: skip

    def __init__(self, door: HttpDoor) -> None:
        self.door = door
        self.transport: Any = None
        self.peer = ""
        self.pending = b""  # bytes that were not looked at yet
        self.head: Head | None = None  # of the request that is under way
        self.body: bytearray | None = None
        self.chunks: Chunks | None = None
        self.call: HttpCall | None = None
        self.task: asyncio.Task[None] | None = None
        self.busy = self.closing = self.discarding = self.ended = self.stuck = False
        self.since = 0.0
        self.last = door.clock
        self.received = self.received_bytes = self.held = 0

    # -- what the loop says -------------------------------------------------------------------------------------------
    def connection_made(self, transport: Any) -> None:
        """A client has come."""
        self.transport = transport
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else "local"
        if not self.door.enter(self):
            if self.door.crowded:
                transport.abort()
                return
            self.answer_error(
                ServingError(
                    "IX659",
                    "too many connections",
                    found=f"{len(self.door.connections)} are open",
                    expected=f"{self.door.settings.max_connections} at most",
                    fix="reuse connections; the operator can raise max_connections or add workers",
                    retry_after=1,
                ),
                close=True,
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone: nothing is computed for it any more. What it asked of the repository is still done."""
        self.door.leave(self)
        self.closing = True
        if self.call is not None and self.call.state != DONE:
            self.call.served.cancel(self.call)
        self.call = None

    def eof_received(self) -> bool:
        """The client sends nothing more: it has gone, or it reads answers that take no waiting (True: not closed yet).

        Which of the two cannot be told, and nobody should compute for a client that has gone.
        """
        # TLS has no half of a connection
        if self.discarding or self.transport.get_extra_info("ssl_object") is not None:
            return False
        if not (self.busy or self.stuck or self.pending):
            self._refuse_half()
            return False
        self.ended = True
        # behind what was to run in this turn
        self.door.loop.call_soon(self._leave if self.busy or self.stuck else self._go_on)
        return True

    def _refuse_half(self) -> None:
        """Tell a client that has ended what it has not ended."""
        if self.head is not None or self.pending:
            self.pending, self.closing = b"", True
            self.answer_error(_ends_within())

    def _leave(self) -> None:
        """Once in each turn after the end, while there is something to answer."""
        if self.busy:
            self.transport.abort()
        elif not self.pending:
            self.transport.close()

    def pause_writing(self) -> None:
        """The client does not take its answer."""
        self.stuck, self.since = True, self.door.clock

    def resume_writing(self) -> None:
        """It takes it again."""
        self.stuck, self.since = False, 0.0
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """Something came."""
        if self.discarding:
            self.last = self.door.clock
            return
        if self.busy or self.stuck:
            self.pending += data
            if len(self.pending) > self.door.settings.max_head:
                self.transport.pause_reading()
            return
        self._read(self.pending + data if self.pending else data)

    # -- reading ------------------------------------------------------------------------------------------------------
    def _read(self, data: bytes) -> None:
        """Read on in the request that is under way, or begin the next one."""
        self.pending = b""
        try:
            if self.head is None:
                self._read_head(data)
            else:
                self._read_body(self.head, data)
        except InterchangeError as error:
            self.answer_error(error, close=True)
        except Exception as error:  # whatever it is, this client is told, and no other one notices
            self.answer_error(our_mistake(error), close=True)

    def _read_head(self, data: bytes) -> None:
        door = self.door
        if data[0] in _LINE_END:  # allowed before a request line
            data = data.lstrip(_LINE_END)
        end = data.find(_END) + 4
        if end < 4 or end > door.settings.max_head:
            if len(data) > door.settings.max_head:
                raise head_too_large(
                    f"more than {door.settings.max_head} bytes", f"at most {door.settings.max_head} bytes"
                )
            if data:
                check_begun(data)
                self.pending, self.since = data, self.since or door.clock
            return
        raw = data[:end]
        head = door.heads.get(raw)
        if head is None:
            head = door.read_head(raw)
        self.received = perf_counter_ns()
        length = head.length
        if length is not None and len(data) - end == length <= door.settings.max_body and head.error is None:
            self.since = 0.0  # the usual case: all of it is there
            self._begin(head, data[end:] if length else b"")
            return
        self._expect_body(head, data[end:])

    def _expect_body(self, head: Head, rest: bytes) -> None:
        limit = self.door.settings.max_body
        self.since = self.since or self.door.clock
        error = self._refused(head)
        too_long = head.length is not None and head.length > limit
        if too_long or (error is not None and (head.length is None or head.length > _READ_ANYWAY or head.expects)):
            self.head = head
            self.answer_error(error or too_large(head.length or 0, limit), close=True)
            return
        if head.expects and not rest:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.head = head
        self.body = bytearray() if head.length is not None else None
        self.chunks = Chunks(limit) if head.length is None else None
        self._read_body(head, rest)

    def _read_body(self, head: Head, data: bytes) -> None:
        self.door.receive(self, len(data))
        if self.chunks is not None:
            self.chunks.feed(data)
            if not self.chunks.done:
                return
            body, self.pending = bytes(self.chunks.body), self.chunks.rest
        else:
            assert self.body is not None
            assert head.length is not None
            missing = head.length - len(self.body)
            self.body += data[:missing]
            if len(data) < missing:
                return
            body, self.pending = bytes(self.body), data[missing:]
        self.body = self.chunks = None
        self.door.receive(self, -self.held)
        self.since = 0.0
        self._begin(head, body)

    def _refused(self, head: Head) -> ServingError | None:
        """Why a request may not go on; looked at once for all requests with this very head."""
        if head.error is not None:
            return head.error
        if not head.allowed:
            assert head.route is not None
            try:
                head.token = self.door.app.access.check(
                    head.headers.get("authorization"), head.route.right, head.params.get("model", "")
                )
            except ServingError as error:
                return error
            head.allowed = True
        return None

    # -- requests -----------------------------------------------------------------------------------------------------
    def _begin(self, head: Head, body: bytes) -> None:
        """A request is complete."""
        self.head = head
        self.busy = True
        self.received_bytes = len(body)
        refused = None if head.allowed else self._refused(head)
        if refused is not None:
            self.answer_error(refused)
            return
        try:
            if head.encoding and head.encoding != "identity":
                body = unpacked(body, head.encoding, self.door.settings.max_body)
            assert head.route is not None
            if head.route.handler is None:
                served = self.door.app.engine.choose(head.params["model"], head.params.get("version", ""))
                try:
                    begin(self, served, head, body, self.received)
                except InterchangeError as error:
                    served.statistics.failed(reason_of(error), perf_counter_ns() - self.received)
                    raise
            else:
                self.task = self.door.loop.create_task(self._handle(head.route.handler, head, body))
        except InterchangeError as error:
            self.answer_error(error)
        except Exception as error:  # whatever it is, this client is told, and no other one notices
            self.answer_error(our_mistake(error))

    async def _handle(self, handler: Handler, head: Head, body: bytes) -> None:
        request = Request(head.method, head.path, head.params, head.query, head.headers, body, head.token)
        try:
            response = await handler(self.door.app, request)
        except InterchangeError as error:
            self.answer_error(error)
        except Exception as error:  # as above
            self.answer_error(our_mistake(error))
        else:
            self.answer(response)

    def _go_on(self) -> None:
        """The next request, of which something may be there already."""
        if self.closing or self.busy or self.stuck or self.discarding:
            return
        if not self.ended:
            self.transport.resume_reading()
        if self.pending:
            self._read(self.pending)
        if self.ended:
            if not self.busy:
                self._refuse_half()
            self.door.loop.call_soon(self._leave)

    # -- answers ------------------------------------------------------------------------------------------------------
    def answer_json(self, body: bytes) -> None:
        """Answer an inference."""
        head = self.head
        assert head is not None
        if (len(body) >= _PACK_FROM and "accept-encoding" in head.headers) or not self._plain(head):
            self._write(200, "application/json", body, {})
            return
        self.transport.write(b"%b%d\r\n\r\n%b" % (self.door.json_head, len(body), body))
        self._done(200, len(body))

    def answer_binary(self, text: bytes, tensors: list[bytes]) -> None:
        """Answer an inference whose tensors are bytes behind the JSON."""
        body = b"".join((text, *tensors))
        if self.head is not None and self._plain(self.head):
            self.transport.write(
                b"%b%d\r\ncontent-length: %d\r\n\r\n%b" % (self.door.binary_head, len(text), len(body), body)
            )
            self._done(200, len(body))
            return
        self._write(200, "application/octet-stream", body, {"inference-header-content-length": str(len(text))})

    def answer(self, response: Response) -> None:
        """Answer with what a handler made."""
        self._write(response.status, response.content_type, response.body, response.headers)

    def answer_error(self, error: InterchangeError, *, close: bool = False) -> None:
        """Tell what is wrong. close: nothing more can be understood on this connection."""
        status = http_status(error)
        headers = {}
        if isinstance(error, ServingError) and error.retry_after is not None:
            headers["retry-after"] = str(max(1, round(error.retry_after)))
        if status == 401:
            headers["www-authenticate"] = "Bearer"
        if status == 405 and error.expected:
            headers["allow"] = error.expected
        if close:
            self.door.keep_no_longer(self)
        self._write(status, "application/json", orjson.dumps(body_of(error)), headers, error)

    def _plain(self, head: Head) -> bool:
        """Whether the usual head of an answer fits."""
        return head.keep_alive and not self.closing and not self.door.app.draining and head.request_id is None

    def _write(
        self, status: int, kind: str, body: bytes, headers: Mapping[str, str], error: InterchangeError | None = None
    ) -> None:
        if self.transport.is_closing():
            return
        head = self.head
        extra = dict(headers)
        if head is not None and len(body) >= _PACK_FROM and kind != "application/octet-stream":
            body, encoding = packed(body, head.headers.get("accept-encoding", ""))
            if encoding:
                extra["content-encoding"] = encoding
                extra["vary"] = "accept-encoding"
        if head is None or not head.keep_alive or self.door.app.draining:
            self.closing = True
        if self.closing:
            extra["connection"] = "close"
        if head is not None and head.request_id is not None:
            extra["x-request-id"] = head.request_id
        lines = "".join(f"{k}: {v}\r\n" for k, v in extra.items() if "\r" not in v and "\n" not in v)
        first = f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\n{self.door.common_head}content-type: {kind}\r\n"
        whole = f"{first}{lines}content-length: {len(body)}\r\n\r\n".encode("latin-1", "replace")
        bodiless = head is not None and head.method == "HEAD"
        self.transport.write(whole if bodiless else whole + body)
        self._done(status, len(body), error)

    def _done(self, status: int, size: int, error: InterchangeError | None = None) -> None:
        """An answer was written."""
        if self.door.app.observers:
            self._tell(status, size, error)
        self.busy = False
        self.last = self.door.clock
        self.call = self.task = self.head = None
        if self.closing:
            if self.ended or not self.discarding:
                self.transport.close()
        elif self.pending:
            self.door.loop.call_soon(self._go_on)
        elif self.ended:
            self.transport.close()

    def _tell(self, status: int, size: int, error: InterchangeError | None) -> None:
        head = self.head
        headers: Mapping[str, str] = {} if head is None else head.headers
        exchange = Exchange(
            "" if head is None else head.method,
            "" if head is None else head.path,
            id=headers.get("x-request-id"),
            client=self.peer,
            traceparent=headers.get("traceparent"),
            received=self.received,
            received_bytes=self.received_bytes,
        )
        exchange.status, exchange.sent_bytes = status, size
        exchange.code = None if error is None else error.code
        exchange.call = self.call
        if self.call is not None:
            exchange.model, exchange.version = self.call.served.name, self.call.served.version
        elif head is not None:
            exchange.model, exchange.version = head.params.get("model", ""), head.params.get("version", "")
        for observer in self.door.app.observers:
            observer.finished(exchange)


def _ends_within() -> ServingError:
    return ServingError(
        "IX658",
        "this is no HTTP/1.1 request",
        found="the end of the connection within a request",
        expected="as many bytes as Content-Length says, or a last chunk",
        fix="use an HTTP library",
    )
