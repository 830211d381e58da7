"""The HTTP door: who is connected, what was read before, the clock that connections are held against."""

from __future__ import annotations

import asyncio
import socket
import ssl
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING

from interchange.protocol.errors import ServingError
from interchange.serving.http.connection import Connection
from interchange.serving.http.heads import Head

if TYPE_CHECKING:
    from interchange.serving.app import App

_REMEMBERED_HEADS = 1024
_LONGEST_REMEMBERED = 2048  # bytes
_LINGER = 2.0  # seconds without a byte from a client that was refused, in which it may read why
_REFUSED_AT_ONCE = 64  # connections above the limit that are told so; more are dropped


class HttpDoor:
    """Listens for HTTP/1.1 on the engine's loop.

    heads: the parsed heads of requests by their bytes.  clock: seconds, moved once a second.
    """

    def __init__(self, app: App, *, tls: ssl.SSLContext | None = None) -> None:
        self.app, self.settings, self.tls = app, app.settings, tls
        self.loop = asyncio.get_running_loop()
        self.heads: dict[bytes, Head] = {}
        self.connections: set[Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._lingering: dict[Connection, float] = {}
        self._tick()

    async def listen(self, sock: socket.socket) -> None:
        """Serve a socket that is bound, TCP or Unix."""
        unix = sock.family == socket.AF_UNIX
        make = self.loop.create_unix_server if unix else self.loop.create_server
        tls = None if unix else self.tls  # nobody listens on a Unix socket
        self._servers.append(await make(lambda: Connection(self), sock=sock, ssl=tls, backlog=1024))

    async def start(self, host: str, port: int) -> int:
        """Bind and serve; returns the port."""
        server = await self.loop.create_server(
            lambda: Connection(self), host, port, ssl=self.tls, backlog=1024, reuse_address=True
        )
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def start_unix(self, path: Path) -> None:
        """The same at a path."""
        self._servers.append(await self.loop.create_unix_server(lambda: Connection(self), str(path), backlog=1024))

    def reconfigure(self) -> None:
        """Forget what was found out about requests: who may ask, what the limits are."""
        self.settings = self.app.settings
        self.heads.clear()

    def stop_listening(self) -> None:
        """Take no new connections; those that wait for nothing are closed, the others after their answer."""
        for server in self._servers:
            server.close()
        self.app.draining = True
        for connection in list(self.connections):
            if not connection.busy and connection.head is None and not connection.pending:
                connection.transport.close()

    async def stop(self, seconds: float) -> None:
        """Wait until every request under way is answered, at most so long; then close what is left."""
        self.stop_listening()
        end = self.loop.time() + seconds
        while self.connections and self.loop.time() < end:
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.transport.abort()
        self._timer.cancel()

    # -- for connections ----------------------------------------------------------------------------------------------
    def enter(self, connection: Connection) -> bool:
        """Count a connection; False when there is no room for it."""
        self.connections.add(connection)
        self.app.connections = len(self.connections)
        return len(self.connections) <= self.settings.max_connections

    @property
    def crowded(self) -> bool:
        """Whether there are so many that no more can be told that there are too many."""
        return len(self.connections) > self.settings.max_connections + _REFUSED_AT_ONCE

    def leave(self, connection: Connection) -> None:
        """It has gone."""
        self.connections.discard(connection)
        self._lingering.pop(connection, None)
        self.app.connections = len(self.connections)

    def read_head(self, raw: bytes) -> Head:
        """Parse a head, and remember it. Raises ServingError IX658."""
        head = Head(raw)
        if len(raw) <= _LONGEST_REMEMBERED:
            if len(self.heads) >= _REMEMBERED_HEADS:
                self.heads.clear()
            self.heads[raw] = head
        return head

    def keep_no_longer(self, connection: Connection) -> None:
        """The connection ends with its next answer; what still comes is read and dropped, so that it can be read."""
        connection.closing = connection.discarding = True
        connection.pending = b""
        connection.last = self.clock
        self._lingering[connection] = self.clock + self.settings.slow_seconds

    def _tick(self) -> None:
        """Once a second: the date, and connections that took too long."""
        self._timer = self.loop.call_later(1.0, self._tick)
        self.clock = self.loop.time()
        self.common_head = f"server: interchange\r\ndate: {formatdate(usegmt=True)}\r\n"
        self.json_head = (
            f"HTTP/1.1 200 OK\r\n{self.common_head}content-type: application/json\r\ncontent-length: ".encode()
        )
        for connection, end in list(self._lingering.items()):
            if self.clock >= end or self.clock - connection.last > _LINGER:
                connection.transport.abort()
        for connection in list(self.connections):
            self._look_at(connection)

    def _look_at(self, connection: Connection) -> None:
        slow = connection.since and self.clock - connection.since > self.settings.slow_seconds
        if slow and connection.stuck:
            connection.transport.abort()
        elif slow and not connection.closing:
            connection.answer_error(
                ServingError(
                    "IX657",
                    "the request came too slowly",
                    found="no complete request",
                    expected=f"a request within {self.settings.slow_seconds:g} s",
                    fix="send it at once, or in smaller parts",
                ),
                close=True,
            )
        elif not connection.busy and not connection.since and self.clock - connection.last > self.settings.idle_seconds:
            connection.transport.close()
