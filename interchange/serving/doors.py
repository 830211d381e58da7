"""The engine of one process with everything around it: repository, doors, observers."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from interchange.protocol.errors import ServingError
from interchange.serving.access import Access
from interchange.serving.access_log import AccessLog
from interchange.serving.app import App
from interchange.serving.engine import Engine
from interchange.serving.listening import address_of, cannot_listen, require_packages, tls_context, tls_files
from interchange.serving.settings import Settings

if TYPE_CHECKING:
    from interchange.serving.grpc import GrpcDoor
    from interchange.serving.http.door import HttpDoor
    from interchange.serving.observing import Observer


@dataclass
class Sockets:
    """Where a process listens. http: bound, of all workers; `own` is the place of this one's.  unix: shared by all.

    grpc_port: None for no such door.  shared: other processes listen at the same ports.
    """

    http: list[socket.socket] = field(default_factory=list)
    own: int = 0
    unix: socket.socket | None = None
    grpc_port: int | None = None
    shared: bool = False


class Doors:
    """An engine with its repository and its doors, on the running loop.

    app: what the doors work on.  http_port, grpc_port: where they listen; None where there is no such door.
    """

    def __init__(self, source: str | os.PathLike[str], settings: Settings, sockets: Sockets) -> None:
        """Raises ServingError IX668 when nothing can be served from `source`, ConfigurationError IX677 for TLS files,
        UsageError IX860 and IX863 where a package is missing, OSError when the access log cannot be opened."""
        from interchange.serving.lifecycle import Lifecycle
        from interchange.serving.operations import Operations

        self.settings, self.sockets = settings, sockets
        engine = Engine(settings)
        self.lifecycle = Lifecycle(engine, Path(source))
        self.app = App(settings, engine, Access(settings), Operations(engine, self.lifecycle, settings))
        self.app.observers = _observers(settings)
        self.http: HttpDoor | None = None
        self.grpc: GrpcDoor | None = None
        self.http_port: int | None = sockets.http[0].getsockname()[1] if sockets.http else None
        self._listening: dict[int, asyncio.Server] = {}
        self._watching: asyncio.Task[None] | None = None
        require_packages(settings)
        if sockets.http or sockets.unix is not None:
            from interchange.serving.http.door import HttpDoor

            self.http = HttpDoor(self.app, tls=tls_context(settings))
        if sockets.grpc_port is not None:
            from interchange.serving.grpc import GrpcDoor

            self.grpc = GrpcDoor(self.app, tls_files(settings))

    @property
    def grpc_port(self) -> int | None:
        """Where gRPC is spoken."""
        return self.sockets.grpc_port

    async def open(self) -> None:
        """Load the models and listen. Raises ConfigurationError IX676 where it cannot."""
        await self.lifecycle.start()
        sockets = self.sockets
        if sockets.http:
            await self.accept(sockets.own)
        if sockets.unix is not None:
            assert self.http is not None
            await self.http.listen(sockets.unix.dup())
        if self.grpc is not None:
            assert sockets.grpc_port is not None
            try:
                sockets.grpc_port = await self.grpc.start(
                    self.settings.host, sockets.grpc_port, reuse_port=sockets.shared
                )
            except OSError as error:
                self.grpc = None
                raise cannot_listen(address_of(self.settings.host, sockets.grpc_port), "grpc_port", error) from None
        self._watch()

    async def accept(self, number: int) -> None:
        """Take the connections that come to one of the sockets."""
        if number not in self._listening and self.http is not None:
            self._listening[number] = await self.http.listen(self.sockets.http[number].dup())

    def leave(self, number: int) -> None:
        """Leave them to the worker whose socket it is."""
        if number in self._listening:
            self._listening.pop(number).close()

    async def reconfigure(self, settings: Settings) -> None:
        """Go by other settings from now on. Those of the ports, of TLS and of traces stay; see `Supervisor.reload`."""
        before, self.app.observers = self.app.observers, _observers(settings)
        for observer in before:
            observer.close()
        self.settings = self.app.settings = self.app.operations.settings = settings
        self.app.access = Access(settings)
        if self.http is not None:
            self.http.reconfigure()
        self._watch()
        await self.lifecycle.refresh(settings)

    async def refresh(self) -> None:
        """Look at the repository now, and begin a new access log if the old one was moved."""
        for observer in self.app.observers:
            if isinstance(observer, AccessLog):
                observer.reopen()
        await self.lifecycle.refresh()

    async def close(self, seconds: float, *, last: bool = True) -> int:
        """Stop listening, answer what is under way within `seconds`, then stop. Returns how many were not answered.

        last: nobody accepts at these sockets after us, so what waits there is taken as well.
        """
        if self._watching is not None:
            self._watching.cancel()
        self.app.draining = True
        sockets = [*self.sockets.http, *([self.sockets.unix] if self.sockets.unix is not None else ())]
        if self.http is not None:
            self.http.stop_listening()
            for sock in sockets if last else ():
                await self.http.take(sock)
        for sock in sockets:
            sock.close()
        stops = [d.stop(seconds) for d in (self.http, self.grpc) if d is not None]
        unanswered = sum(n or 0 for n in await asyncio.gather(*stops))
        gone = ServingError("IX645", "the server is going down", retry_after=1)
        with suppress(TimeoutError):  # a run that does not stop is left to itself
            async with asyncio.timeout(max(seconds, 1.0)):
                await self.lifecycle.close()
                await self.app.engine.close(gone)
        for observer in self.app.observers:
            observer.close()
        return unanswered

    def _watch(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        if self.settings.watch_seconds is not None:
            self._watching = asyncio.get_running_loop().create_task(self.lifecycle.watch())


def _observers(settings: Settings) -> tuple[Observer, ...]:
    made: list[Observer] = []
    if settings.access_log is not None:
        made.append(AccessLog(settings.access_log))
    if settings.otlp_endpoint is not None:
        from interchange.serving.tracing import Tracing

        made.append(Tracing(settings.otlp_endpoint))
    return tuple(made)
