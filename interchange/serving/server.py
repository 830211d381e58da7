"""A server in this process: the engine and its doors on an event loop of their own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from interchange.dtypes import Array
from interchange.errors import UsageError
from interchange.serving.configuration import checked
from interchange.serving.doors import Doors, Sockets
from interchange.serving.listening import address_of, bind, bind_unix, event_loop, remove_unix
from interchange.serving.settings import Settings

T = TypeVar("T")


class Server:
    """A server in this process, on a thread of its own while the `with` block runs.

        with Server("models/", http_port=0, grpc_port=None) as server:
            server.infer("iris", x=array)
            print(server.url)

    source: a model file, or a folder of models.  settings: see `Settings`; overrides: single ones of them.
    Raises ConfigurationError IX673 and IX674 for settings that make no sense.
    """

    def __init__(self, source: str | os.PathLike[str], settings: Settings | None = None, **overrides: Any) -> None:
        self.source = Path(source)
        self.settings = checked(replace(settings or Settings(), **overrides))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._doors: Doors | None = None
        self._stop: asyncio.Event | None = None

    def run(self) -> int:
        """Serve in processes of their own until SIGTERM or SIGINT, as ``interchange serve`` does. On the main thread.

        Returns 0, or 1 when not everything could be answered in time. Raises what `start` raises.
        """
        from interchange.serving.workers.supervisor import Supervisor

        return asyncio.run(Supervisor(self.source, self.settings).run())

    # -- as a context -------------------------------------------------------------------------------------------------
    def start(self) -> Server:
        """Load the models and listen; returns when it is ready.

        Raises ConfigurationError IX676 where it cannot listen, and what `Doors` raises.
        """
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=event_loop().run, args=(self._serve(ready),), name="interchange-serving")
        self._thread.start()
        try:
            ready.result()
        except BaseException:
            self._thread.join()
            raise
        return self

    def stop(self) -> None:
        """Answer what is under way, then stop."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join()
        self._loop = self._thread = None

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _serve(self, ready: Future[None]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        settings = replace(self.settings, workers=1)  # this one
        sockets = Sockets(grpc_port=settings.grpc_port)
        doors = None
        try:
            if settings.http_port is not None:
                sockets.http = bind(settings.host, settings.http_port)
            if settings.uds is not None:
                sockets.unix = bind_unix(settings.uds, settings.uds_mode)
            doors = Doors(self.source, settings, sockets)
            await doors.open()
        except BaseException as error:
            ready.set_exception(error)
            if doors is not None:
                await doors.close(0)
            for sock in (*sockets.http, *([sockets.unix] if sockets.unix is not None else ())):
                sock.close()
            if sockets.unix is not None and settings.uds is not None:
                remove_unix(settings.uds)
            return
        self._doors = doors
        ready.set_result(None)
        await self._stop.wait()
        await doors.close(settings.stop_seconds)
        if settings.uds is not None:
            remove_unix(settings.uds)
        self._doors = None

    # -- while it runs ------------------------------------------------------------------------------------------------
    @property
    def doors(self) -> Doors:
        """The running engine and its doors. Raises UsageError IX862 when it does not run."""
        if self._doors is None:
            raise UsageError(
                "IX862",
                "the server does not run",
                found="a Server that was not started",
                expected="with Server(...) as server, or server.start()",
                fix="start it first",
            )
        return self._doors

    @property
    def url(self) -> str:
        """Where HTTP is spoken: ``http://127.0.0.1:8000``."""
        scheme = "https" if self.settings.tls_certificate else "http"
        return f"{scheme}://{address_of(self.settings.host, self.doors.http_port or 0)}"

    @property
    def grpc_address(self) -> str:
        """Where gRPC is spoken: ``127.0.0.1:8001``."""
        return address_of(self.settings.host, self.doors.grpc_port or 0)

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the engine or of its operations on their loop, and wait for it."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def infer(
        self, model: str, /, *, version: str = "", outputs: Sequence[str] | None = None, **inputs: Any
    ) -> dict[str, Array]:
        """The outputs of a model, without a network. Raises as `Engine.infer` does."""
        return self.call(self.doors.app.engine.infer(model, inputs, version=version, outputs=outputs))
