"""A server in this process: the engine and its doors on an event loop of their own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from interchange.dtypes import Array
from interchange.errors import UsageError
from interchange.protocol.errors import ServingError
from interchange.serving.access import Access
from interchange.serving.app import App
from interchange.serving.engine import Engine
from interchange.serving.settings import Settings

if TYPE_CHECKING:
    from interchange.serving.grpc import GrpcDoor
    from interchange.serving.http.door import HttpDoor
    from interchange.serving.lifecycle import Lifecycle

T = TypeVar("T")


class Doors:
    """An engine with its repository and its doors, on the running loop.

    app: what the doors work on.  http_port, grpc_port: where they listen; None where there is no such door.
    """

    def __init__(self, source: str | os.PathLike[str], settings: Settings) -> None:
        from interchange.serving.lifecycle import Lifecycle
        from interchange.serving.operations import Operations

        self.settings = settings
        engine = Engine(settings)
        self.lifecycle: Lifecycle = Lifecycle(engine, Path(source))
        self.app = App(settings, engine, Access(settings), Operations(engine, self.lifecycle, settings))
        self.http: HttpDoor | None = None
        self.grpc: GrpcDoor | None = None
        self.http_port: int | None = None
        self.grpc_port: int | None = None
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Load the models and listen. Raises UsageError IX860 where a package is missing, IX861 for a port in use."""
        await self.lifecycle.start()
        settings = self.settings
        tls = None
        if settings.http_port is not None or settings.uds is not None:
            from interchange.serving.http.door import HttpDoor

            self.http = HttpDoor(self.app, tls=tls)
            if settings.http_port is not None:
                self.http_port = await self.http.start(settings.host, settings.http_port)
            if settings.uds is not None:
                await self.http.start_unix(settings.uds)
        if settings.grpc_port is not None:
            from interchange.serving.grpc import GrpcDoor

            self.grpc = GrpcDoor(self.app)
            self.grpc_port = await self.grpc.start(settings.host, settings.grpc_port)
        if settings.watch_seconds is not None:
            self._watching = asyncio.create_task(self.lifecycle.watch())

    async def close(self) -> None:
        """Answer what is under way, then stop."""
        if self._watching is not None:
            self._watching.cancel()
        self.app.draining = True
        seconds = self.settings.stop_seconds
        await asyncio.gather(*(d.stop(seconds) for d in (self.http, self.grpc) if d is not None))
        await self.app.engine.close(ServingError("IX645", "the server is going down", retry_after=1))


class Server:
    """A server in this process, on a thread of its own while the `with` block runs.

        with Server("models/", http_port=0, grpc_port=None) as server:
            server.infer("iris", x=array)
            print(server.url)

    source: a model file, or a folder of models.  settings: see `Settings`; overrides: single ones of them.
    """

    def __init__(self, source: str | os.PathLike[str], settings: Settings | None = None, **overrides: Any) -> None:
        self.source = Path(source)
        self.settings = replace(settings or Settings(), **overrides)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._doors: Doors | None = None
        self._stop: asyncio.Event | None = None

    # -- as a context -------------------------------------------------------------------------------------------------
    def start(self) -> Server:
        """Load the models and listen; returns when it is ready. Raises what `Doors.open` raises."""
        ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=_event_loop().run, args=(self._serve(ready),), name="interchange-serving"
        )
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
        doors = Doors(self.source, self.settings)
        try:
            await doors.open()
        except BaseException as error:
            await doors.close()
            ready.set_exception(error)
            return
        self._doors = doors
        ready.set_result(None)
        await self._stop.wait()
        await doors.close()

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
        return f"{scheme}://{self.settings.host}:{self.doors.http_port}"

    @property
    def grpc_address(self) -> str:
        """Where gRPC is spoken: ``127.0.0.1:8001``."""
        return f"{self.settings.host}:{self.doors.grpc_port}"

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the engine or of its operations on their loop, and wait for it."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def infer(
        self, model: str, /, *, version: str = "", outputs: Sequence[str] | None = None, **inputs: Any
    ) -> dict[str, Array]:
        """The outputs of a model, without a network. Raises as `Engine.infer` does."""
        return self.call(self.doors.app.engine.infer(model, inputs, version=version, outputs=outputs))


def _event_loop() -> Any:
    """uvloop, or asyncio where it is not installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio
    return uvloop
