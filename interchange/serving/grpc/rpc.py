"""One RPC: its messages, who asks, and what observers are told of it."""

from __future__ import annotations

import asyncio
import math
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from grpc import aio

from interchange.errors import InterchangeError
from interchange.protocol.errors import ServingError
from interchange.serving.grpc.errors import status_of
from interchange.serving.grpc.messages import not_a_message
from interchange.serving.observing import Exchange

if TYPE_CHECKING:
    from interchange.serving.access import Right
    from interchange.serving.app import App
    from interchange.serving.calls import Call
    from interchange.serving.settings import Token


class Waiting:
    """The tasks that wait for a message of their client, each until a time on the loop's clock, and how to end that."""

    def __init__(self) -> None:
        self._until: dict[asyncio.Task[Any], float] = {}
        self._errors: dict[asyncio.Task[Any], ServingError] = {}

    def late(self, now: float) -> list[asyncio.Task[Any]]:
        """Those whose time is over."""
        return [task for task, until in self._until.items() if until <= now]

    def idle(self) -> list[asyncio.Task[Any]]:
        """Those which may wait for ever."""
        return [task for task, until in self._until.items() if until == math.inf]

    def end(self, task: asyncio.Task[Any], error: ServingError) -> None:
        """Raise an error where a task waits."""
        if task not in self._errors:
            self._errors[task] = error
            task.cancel()

    async def wait(self, for_: Any, until: float) -> Any:
        """Await something; an error given to `end` is raised instead."""
        task = asyncio.current_task()
        assert task is not None
        self._until[task] = until
        try:
            return await for_
        except asyncio.CancelledError:
            error = self._errors.pop(task, None)
            if error is None:
                raise  # the client has gone
            task.uncancel()
            raise error from None
        finally:
            del self._until[task]


class Message:
    """One message of a client. received: nanoseconds of `perf_counter_ns`, when it was complete.

    model, version, id: what it is about, and its own name.  call: the inference, once there is one.
    """

    __slots__ = ("call", "data", "id", "model", "received", "size", "version")

    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)
        self.received = perf_counter_ns()
        self.model = self.version = self.id = ""
        self.call: Call | None = None


class Rpc:
    """One RPC. context: grpc.aio's.  message: the last that came."""

    __slots__ = ("_metadata", "app", "context", "message", "path", "waiting")

    def __init__(self, app: App, waiting: Waiting, path: str, context: Any) -> None:
        self.app, self.waiting, self.path, self.context = app, waiting, path, context
        self.message = Message(b"")
        self._metadata: tuple[tuple[str, Any], ...] | None = None

    # -- messages -----------------------------------------------------------------------------------------------------
    async def receive(self, until: float) -> Message | None:
        """The next message; None when none comes any more. until: on the loop's clock.

        Raises ServingError IX657 when it has not come until then, IX645 when the door closes.
        """
        data = await self.waiting.wait(self.context.read(), until)
        if data is aio.EOF:
            return None
        self.message = Message(data)
        return self.message

    async def only(self, name: str, most: int | None = None) -> Message:
        """The message of an RPC that has one, which must come soon. most: its bytes.

        Raises ServingError IX630, IX652, IX657.
        """
        message = await self.receive(asyncio.get_running_loop().time() + self.app.settings.slow_seconds)
        if message is None:
            raise not_a_message(name, "no message")
        if most is not None and message.size > most:
            raise ServingError(
                "IX652",
                f"this {name} is too large",
                found=f"{message.size} bytes",
                expected=f"at most {most}",
                fix="send names and parameters only; a model's file is put into the server's folder",
            )
        return message

    # -- who asks -----------------------------------------------------------------------------------------------------
    def check(self, right: Right, model: str = "") -> Token | None:
        """Whether it may go on. Raises ServingError IX654, IX655."""
        authorization = self.metadata("authorization") if self.app.settings.tokens else None
        return self.app.access.check(authorization, right, model)

    def metadata(self, key: str) -> str | None:
        """What the client sent by the name of `key`; of several values all, joined by commas."""
        if self._metadata is None:
            self._metadata = tuple(self.context.invocation_metadata())
        values = [str(v) for k, v in self._metadata if k == key]
        return ", ".join(values) if values else None

    # -- observers ----------------------------------------------------------------------------------------------------
    def tell(self, message: Message, sent: int, error: InterchangeError | None) -> None:
        """Tell of a message that was answered. sent: bytes."""
        exchange = Exchange(
            "POST",
            self.path,
            id=self.metadata("x-request-id"),
            client=_address(self.context.peer()),
            traceparent=self.metadata("traceparent"),
            received=message.received,
            received_bytes=message.size,
            protocol="grpc",
        )
        exchange.status = 0 if error is None else status_of(error).value[0]
        exchange.code = None if error is None else error.code
        exchange.sent_bytes, exchange.call = sent, message.call
        exchange.model, exchange.version = message.model, message.version
        for observer in self.app.observers:
            observer.finished(exchange)


def _address(peer: str) -> str:
    """``ipv4:127.0.0.1:50000`` and ``ipv6:%5B::1%5D:50000`` without the kind and the port."""
    address = peer.partition(":")[2].rpartition(":")[0]
    return address.replace("%5B", "").replace("%5D", "")
