"""The HTTP door: who is connected, what was read before, the clock that connections are held against."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from contextlib import suppress
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from interchange.protocol.errors import ServingError
from interchange.serving.http.connection import Connection
from interchange.serving.http.heads import Head

if TYPE_CHECKING:
    from interchange.serving.app import App

_REMEMBERED_HEADS = 1024
_LONGEST_REMEMBERED = 2048  # bytes
BACKLOG = 1024  # connections that wait to be accepted
_FIRST_REQUEST = 1.0  # seconds that a client which has just connected has for its request when the server stops
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
        self.incoming = 0  # bytes of bodies that are not complete
        self._tick()

    async def listen(self, sock: socket.socket) -> asyncio.Server:
        """Serve a socket that is bound, TCP or Unix; it is closed with the server that is returned."""
        if sock.family != socket.AF_UNIX:
            server = await self.loop.create_server(lambda: Connection(self), sock=sock, ssl=self.tls, backlog=BACKLOG)
        else:  # nobody listens on the way to a Unix socket; whoever made its path removes it
            keep: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
            server = await self.loop.create_unix_server(lambda: Connection(self), sock=sock, backlog=BACKLOG, **keep)
        self._servers.append(server)
        return server

    async def take(self, sock: socket.socket) -> None:
        """Serve the connections that wait at a listening socket, which accepts no more after them."""
        tls = None if sock.family == socket.AF_UNIX else self.tls
        with suppress(OSError):  # BlockingIOError: there are no more
            while True:
                connection, _ = sock.accept()
                connection.setblocking(False)
                await self.loop.connect_accepted_socket(lambda: Connection(self), connection, ssl=tls)

    def reconfigure(self) -> None:
        """Forget what was found out about requests: who may ask, what the limits are."""
        self.settings = self.app.settings
        self.heads.clear()

    def stop_listening(self) -> None:
        """Take no new connections; those there are end with their next answer."""
        for server in self._servers:
            server.close()
        self.app.draining = True

    async def stop(self, seconds: float) -> int:
        """Wait until every request under way is answered, at most so long; then close what is left.

        A connection that waits for nothing is closed at once, a new one when its first request does not come soon.
        Returns how many connections had to be closed before their answer.
        """
        self.stop_listening()
        begin = self.loop.time()
        while self.connections and self.loop.time() < begin + seconds:
            await asyncio.sleep(0.01)
            settled = self.loop.time() > begin + _FIRST_REQUEST
            for connection in list(self.connections):
                idle = not connection.busy and connection.head is None and not connection.pending
                if idle and (connection.received or settled):
                    connection.transport.close()
        left = list(self.connections)
        for connection in left:
            connection.transport.abort()
        self._timer.cancel()
        return len(left)

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
        self.receive(connection, -connection.held)
        self._lingering.pop(connection, None)
        self.app.connections = len(self.connections)

    def receive(self, connection: Connection, size: int) -> None:
        """Count what has come of a body that is not complete. Raises ServingError IX659 for too much in all."""
        connection.held += size
        self.incoming += size
        if size > 0 and self.incoming > self.settings.max_incoming and self.incoming > connection.held:
            raise ServingError(
                "IX659",
                "too much is being received at once",
                found=f"{self.incoming} bytes of requests that are not complete",
                expected=f"{self.settings.max_incoming} at most",
                fix="send it again a little later; the operator can raise max_incoming or add workers",
                retry_after=1,
            )

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
        connection.pending, connection.body, connection.chunks = b"", None, None
        self.receive(connection, -connection.held)
        connection.last = self.clock
        self._lingering[connection] = self.clock + self.settings.slow_seconds

    def _tick(self) -> None:
        """Once a second: the date, and connections that took too long."""
        self._timer = self.loop.call_later(1.0, self._tick)
        self.clock = self.loop.time()
        self.common_head = f"server: interchange\r\ndate: {formatdate(usegmt=True)}\r\n"
        self.binary_head = (
            f"HTTP/1.1 200 OK\r\n{self.common_head}content-type: application/octet-stream\r\n"
            "inference-header-content-length: "
        ).encode()
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
