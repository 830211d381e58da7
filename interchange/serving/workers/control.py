"""What the supervisor and a worker say to each other: lines of JSON over a socket, questions and answers in both
directions. Nothing that comes this way is ever run as code."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from interchange.errors import InterchangeError

MOST = 1 << 28  # bytes of one line
Handler = Callable[..., Awaitable[Any]]
_log = logging.getLogger("interchange.serving")


class Channel:
    """One end. handlers: what the other side may ask for, by name; each takes the arguments that were sent."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handlers: Mapping[str, Handler]
    ) -> None:
        self._reader, self._writer, self._handlers = reader, writer, handlers
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._last = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def over(cls, sock: socket.socket, handlers: Mapping[str, Handler]) -> Channel:
        """The end that a socket is."""
        reader, writer = await asyncio.open_connection(sock=sock, limit=MOST)
        return cls(reader, writer, handlers)

    async def serve(self) -> None:
        """Answer what is asked, until the other side has gone."""
        try:
            while line := await self._reader.readline():
                message = json.loads(line)
                if "do" in message:
                    task = asyncio.get_running_loop().create_task(self._do(message))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                else:
                    self._answered(message)
        except (ConnectionError, ValueError) as error:
            _log.debug("the control channel ends: %s", error)
        finally:
            self.close()

    async def ask(self, do: str, **arguments: Any) -> Any:
        """Have something done on the other side, and wait for its result.

        Raises the InterchangeError that was raised there, ConnectionError when the other side goes before it answers.
        """
        if self._writer.is_closing():
            raise ConnectionError
        self._last = number = self._last + 1
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        self._send({"id": number, "do": do, "arguments": arguments})
        try:
            return await future
        finally:
            del self._asked[number]

    def tell(self, do: str, **arguments: Any) -> None:
        """Have something done on the other side, and do not wait."""
        if not self._writer.is_closing():
            self._send({"do": do, "arguments": arguments})

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
        for future in self._asked.values():
            if not future.done():
                future.set_exception(ConnectionError())

    def _send(self, message: Mapping[str, Any]) -> None:
        self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def _answered(self, message: Mapping[str, Any]) -> None:
        future = self._asked.get(message["id"])
        if future is None or future.done():  # nobody waits any more
            return
        if "error" in message:
            future.set_exception(InterchangeError(**message["error"]))
        else:
            future.set_result(message["result"])

    async def _do(self, message: Mapping[str, Any]) -> None:
        try:
            result = await self._handlers[message["do"]](**message["arguments"])
            answer: dict[str, Any] = {"result": result}
        except InterchangeError as error:
            answer = {"error": _parts(error)}
        except Exception as error:  # the other side waits for an answer, whatever happens here
            _log.exception("while doing %s", message["do"])
            answer = {"error": {"code": "IX648", "message": "the server made a mistake", "found": repr(error)[:200]}}
        if "id" in message and not self._writer.is_closing():
            self._send({"id": message["id"], **answer})


def _parts(error: InterchangeError) -> dict[str, str | None]:
    return {k: getattr(error, k) for k in ("code", "message", "where", "found", "expected", "fix")}
