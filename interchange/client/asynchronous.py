"""The client for asyncio (uvloop too): the same calls, awaited. Many may be on their way at once."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from interchange.client.answers import Answer, Reader
from interchange.client.errors import ClientError, LostError, ended, late, unreachable
from interchange.client.retrying import Attempts
from interchange.client.steps import Caller, Request, Steps, asked_of, given_of, seconds
from interchange.client.tensors import model_path
from interchange.dtypes import Array
from interchange.errors import InterchangeError

T = TypeVar("T")


class AsyncClient:
    """A server, as one object, for the tasks of one event loop. The options, and what is raised, are `Client`'s."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = 60.0,
        connect_timeout: float = 5.0,
        retries: int = 3,
        max_answer: int = 1 << 30,
        connections: int = 16,
        tls: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._caller = Caller(url, token, timeout, retries, headers or {})
        self._connect_timeout, self._max_answer = seconds(connect_timeout), max_answer
        self._address = self._caller.address
        self._tls = (tls or ssl.create_default_context()) if self._address.tls else None
        self._idle: list[_Connection] = []
        self._kept = connections

    # -- the calls ----------------------------------------------------------------------------------------------------
    async def infer(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        version: str = "",
        outputs: Sequence[str] | None = None,
        priority: int = 0,
        timeout: float | None = None,
        id: str | None = None,
        binary: bool | None = None,
        **named: Any,
    ) -> dict[str, Array]:
        """As `Client.infer`. A call that is cancelled closes its connection, so that the server may stop as well."""
        asked = asked_of(model, version, outputs, priority, timeout, binary)
        return await self._run(self._caller.infer(asked, given_of(inputs, named), id), asked.timeout)

    async def metadata(self, model: str = "", version: str = "") -> dict[str, Any]:
        """As `Client.metadata`."""
        path = model_path(model, version) if model else "/v2"
        found: dict[str, Any] = await self._run(self._caller.get(path, model))
        return found

    async def config(self, model: str, version: str = "") -> dict[str, Any]:
        """As `Client.config`."""
        found: dict[str, Any] = await self._run(self._caller.get(f"{model_path(model, version)}/config", model))
        return found

    async def statistics(self, model: str = "", version: str = "") -> dict[str, Any]:
        """As `Client.statistics`."""
        path = model_path(model, version) if model else "/v2/models"
        found: dict[str, Any] = await self._run(self._caller.get(f"{path}/stats", model))
        return found

    async def live(self) -> bool:
        """As `Client.live`."""
        return await self._yes("/v2/health/live", "live")

    async def ready(self, model: str = "", version: str = "") -> bool:
        """As `Client.ready`."""
        return await self._yes(f"{model_path(model, version)}/ready" if model else "/v2/health/ready", "ready")

    async def index(self, ready: bool = False) -> list[dict[str, Any]]:
        """As `Client.index`."""
        found: list[dict[str, Any]] = await self._run(self._caller.index(ready))
        return found

    async def load(self, model: str) -> None:
        """As `Client.load`."""
        await self._run(self._caller.change(model, "load"))

    async def unload(self, model: str) -> None:
        """As `Client.unload`."""
        await self._run(self._caller.change(model, "unload"))

    async def close(self) -> None:
        """Close the connections that are kept. The client may be used again, on another loop too."""
        while self._idle:
            self._idle.pop().abort()
        await asyncio.sleep(0)  # so that the loop gets to know of it

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    # -- the doing ----------------------------------------------------------------------------------------------------
    async def _yes(self, path: str, key: str) -> bool:
        try:
            return await self._run(self._caller.yes(path, key))
        except ClientError as error:
            if error.passing or error.code == "IX682":
                return False
            raise

    async def _run(self, steps: Steps[T], timeout: float | None = None) -> T:
        timeout = timeout or self._caller.timeout
        deadline = time.monotonic() + timeout
        try:
            async with asyncio.timeout(timeout):
                request = next(steps)
                while True:
                    request = steps.send(await self._answer(request, deadline))
        except StopIteration as stop:
            found: T = stop.value
            return found
        except TimeoutError:
            raise late(str(self._address), timeout, "no whole answer") from None

    async def _answer(self, request: Request, deadline: float) -> Answer:
        attempts: Attempts | None = None
        while True:
            try:
                answer = await self._once(request)
            except ClientError as error:
                if not error.passing or (error.code == "IX683" and not request.repeat):
                    raise
                attempts = attempts or Attempts(self._caller.retries if request.patient else 0, deadline)
                wait = attempts.failed(error)
            else:
                if answer.status == 200:
                    return answer
                attempts = attempts or Attempts(self._caller.retries if request.patient else 0, deadline)
                found = attempts.after(answer)
                if found is None:
                    return answer
                wait = found
            await asyncio.sleep(wait)

    async def _once(self, request: Request) -> Answer:
        loop = asyncio.get_running_loop()
        while request.repeat and self._idle:
            kept = self._idle.pop()
            if kept.loop is not loop or kept.transport is None:
                kept.abort()  # another loop's, or closed by the server
                continue
            try:
                return await self._exchange(kept, request)
            except LostError:
                break  # the server closed it just now: a new one then
        try:
            async with asyncio.timeout(self._connect_timeout):
                connection = await self._connect(loop)
        except (OSError, UnicodeError) as error:
            raise unreachable(str(self._address), error) from None
        try:
            return await self._exchange(connection, request)
        except LostError as error:
            raise ended(str(self._address), str(error)) from None

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> _Connection:
        address = self._address
        if address.socket:
            _, connection = await loop.create_unix_connection(lambda: _Connection(loop), address.socket)
        else:
            _, connection = await loop.create_connection(
                lambda: _Connection(loop), address.host, address.port, ssl=self._tls
            )
        return connection

    async def _exchange(self, connection: _Connection, request: Request) -> Answer:
        """Raises LostError, ClientError IX684, IX685; the connection is closed then."""
        reader = Reader(self._max_answer, self._caller.memory)
        try:
            await connection.ask(request.parts, reader)
        except BaseException:
            connection.abort()
            raise
        if reader.keep and len(self._idle) < self._kept:
            self._idle.append(connection)
        else:
            connection.abort()
        return reader.answer


class _Connection(asyncio.Protocol):
    """One connection, on which one request at a time is asked."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.transport: Any = None  # None: it is closed
        self._reader: Reader | None = None
        self._whole: asyncio.Future[None] | None = None

    async def ask(self, parts: list[Any], reader: Reader) -> None:
        """Send a request and wait until its answer is whole. Raises LostError, ClientError IX684, IX685."""
        if self.transport is None:
            raise LostError("it was closed before an answer began")
        self._reader, self._whole = reader, self.loop.create_future()
        # a view of the caller's array would be sent later, when it may have changed: bytes stay what they are
        self.transport.write(b"".join(parts))
        try:
            await self._whole
        finally:
            self._reader = self._whole = None

    def abort(self) -> None:
        """Close it, without waiting for anything."""
        transport, self.transport = self.transport, None
        if transport is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(transport.abort)  # it may be another loop than the one that runs

    # -- what the loop calls ------------------------------------------------------------------------------------------
    def connection_made(self, transport: Any) -> None:
        """It is open. (TCP_NODELAY is what asyncio and uvloop set themselves.)"""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Some of an answer; or something that nobody asked for, after which the connection is of no use."""
        if self._reader is None:
            self.abort()
            return
        try:
            if self._reader.feed(data):
                self._finish(None)
        except InterchangeError as error:
            self._finish(error)

    def eof_received(self) -> None:
        """The server says nothing more."""
        if self._reader is not None:
            try:
                self._reader.end()
                self._finish(None)
            except LostError as error:
                self._finish(error)
        self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """It is closed."""
        self.transport = None
        self._finish(LostError(str(error) if error else "it was closed before the answer was whole"))

    def _finish(self, error: Exception | None) -> None:
        self._reader = None
        if self._whole is not None and not self._whole.done():
            if error is None:
                self._whole.set_result(None)
            else:
                self._whole.set_exception(error)
