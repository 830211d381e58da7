"""ModelStreamInfer: requests one behind another on one RPC, answered in their order."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Any

from interchange.errors import InterchangeError
from interchange.protocol.errors import text_of
from interchange.serving.grpc.infer import GrpcCall, begin, give_up
from interchange.serving.grpc.messages import message_class
from interchange.serving.grpc.rpc import Message, Rpc
from interchange.serving.grpc.wire import field

RESPONSE: Any = message_class("ModelStreamInferResponse")
_INFER_RESPONSE = 2  # the number of the field
_AHEAD = 64  # requests that may be under way: they share runs


async def stream_infer(rpc: Rpc) -> None:
    """Until the client sends nothing more and has every answer. Raises InterchangeError for what ends all of it."""
    rpc.check("inference")
    stream = _Stream(rpc)
    reader = asyncio.create_task(stream.read())
    try:
        await stream.answer()
        await reader  # raises what ended it
    finally:
        reader.cancel()
        stream.give_up()


class _Stream:
    """One task reads the requests and queues their calls, another one writes the answers."""

    def __init__(self, rpc: Rpc) -> None:
        self.rpc = rpc
        self._under_way: deque[tuple[Message, GrpcCall | InterchangeError]] = deque()
        self._bytes = 0  # of these
        self._changed = asyncio.Event()
        self._ended = False

    async def read(self) -> None:
        most = self.rpc.app.settings.max_body
        try:
            while (message := await self.rpc.receive(math.inf)) is not None:
                try:
                    begun: GrpcCall | InterchangeError = begin(self.rpc, message)
                except InterchangeError as error:
                    begun = error
                self._under_way.append((message, begun))
                self._bytes += message.size
                self._changed.set()
                while len(self._under_way) >= _AHEAD or self._bytes > most:
                    await self._change()
        finally:
            self._ended = True
            self._changed.set()

    async def answer(self) -> None:
        while self._under_way or not self._ended:
            if not self._under_way:
                await self._change()
                continue
            message, begun = self._under_way[0]
            error = begun if isinstance(begun, InterchangeError) else None
            if isinstance(begun, GrpcCall):
                try:
                    answer = await begun.future
                except InterchangeError as failed:
                    error = failed
            written = field(_INFER_RESPONSE, len(answer)) + answer if error is None else _refusal(message, error)
            self._under_way.popleft()
            self._bytes -= message.size
            self._changed.set()
            if self.rpc.app.observers:
                self.rpc.tell(message, len(written), error)
            await self.rpc.context.write(written)

    def give_up(self) -> None:
        for _, begun in self._under_way:
            if isinstance(begun, GrpcCall):
                give_up(begun)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


def _refusal(message: Message, error: InterchangeError) -> bytes:
    which = {"model_name": message.model, "model_version": message.version, "id": message.id}
    data: bytes = RESPONSE(error_message=text_of(error), infer_response=which).SerializeToString()
    return data
