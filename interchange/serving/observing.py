"""What a door tells of each request that was answered: to the access log, to traces."""

from __future__ import annotations

import itertools
import os
import re
from time import perf_counter_ns
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from interchange.serving.calls import Call

_PROCESS = os.urandom(8).hex()  # the first half of the ids that this process makes; the second half counts
_numbers = itertools.count(1)
_SANE = re.compile(r"[!-~]{1,128}")  # visible ASCII: what goes into a log and back into a header


class Exchange:
    """One request and its answer. A door makes one only where `App.observers` is not empty.

    id: of `request_id`.  method, path: as asked, without the query.  protocol: "http" or "grpc".
    received: nanoseconds of `perf_counter_ns`.  client: its address.  traceparent: the W3C header, as it came.
    model, version: once they are known.  call: the inference, if it was one.
    status: of HTTP, or gRPC's number.  code: that of the error, None without one.  received_bytes, sent_bytes: bodies.
    """

    __slots__ = (
        "call", "client", "code", "id", "method", "model", "path", "protocol", "received", "received_bytes",
        "sent_bytes", "status", "traceparent", "version",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        path: str,
        *,
        id: str | None = None,
        client: str = "",
        traceparent: str | None = None,
        received: int = 0,
        received_bytes: int = 0,
        protocol: str = "http",
    ) -> None:
        self.method, self.path, self.protocol, self.client, self.traceparent = (
            method,
            path,
            protocol,
            client,
            traceparent,
        )
        self.id = request_id(id)
        self.received = received or perf_counter_ns()
        self.received_bytes, self.sent_bytes = received_bytes, 0
        self.status = 0
        self.model = self.version = ""
        self.code: str | None = None
        self.call: Call | None = None


class Observer(Protocol):
    """Somebody who is told of every request when its answer was handed to the connection, on the loop's thread."""

    def finished(self, exchange: Exchange) -> None:
        """Take note. Never raises, never waits."""

    def close(self) -> None:
        """Nothing comes any more."""


def request_id(given: str | None) -> str:
    """The X-Request-Id that a client sent where it is fit for a log line, else a new one of 32 hexadecimal digits."""
    return given if given is not None and _SANE.fullmatch(given) else f"{_PROCESS}{next(_numbers):016x}"
