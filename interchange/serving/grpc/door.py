"""The gRPC door, on grpc.aio: it listens, and hands each RPC to what answers it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
from grpc import aio

from interchange.errors import InterchangeError
from interchange.protocol.errors import ServingError
from interchange.serving.grpc.errors import details_of, status_of, trailing_of
from interchange.serving.grpc.infer import infer
from interchange.serving.grpc.messages import SERVICE, read
from interchange.serving.grpc.methods import METHODS, Method, written
from interchange.serving.grpc.rpc import Rpc, Waiting
from interchange.serving.grpc.standard import HEALTH, REFLECTIONS, check, reflect, watch
from interchange.serving.grpc.stream import stream_infer

if TYPE_CHECKING:
    from interchange.serving.app import App

_MAX_STREAMS = 1024  # of one connection, at once
_MAX_SMALL = 1 << 16  # bytes of a request that is no inference
_KEEPALIVE_MS = 60_000  # a client that does not answer a ping after so long has gone
_log = logging.getLogger("interchange.serving")

# returns the bytes of the one answer, or None after it has written all of them
Answer = Callable[[Rpc], Awaitable[bytes | None]]


class GrpcDoor:
    """Listens for gRPC on the engine's loop.

    tls: PEM, of the certificate chain and of its key. Make it where the process forks no more: grpc has threads.
    """

    def __init__(self, app: App, tls: tuple[bytes, bytes] | None = None) -> None:
        self.app, self.tls = app, tls
        self.loop = asyncio.get_running_loop()
        self.waiting = Waiting()
        self.unanswered = 0  # RPCs that were ended before they had an answer
        self._timer: asyncio.TimerHandle | None = None
        self._server: Any = None

    async def start(self, host: str, port: int, *, reuse_port: bool = False) -> int:
        """Bind and serve; returns the port. reuse_port: other processes listen there as well, and share what comes.

        Raises OSError.
        """
        if port and not reuse_port:  # to know why it cannot: grpc does not tell
            with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
                pass
        settings = self.app.settings
        self._server = aio.server(
            handlers=[_Handlers(self)],
            options=[
                ("grpc.so_reuseport", int(reuse_port)),
                ("grpc.max_receive_message_length", settings.max_body),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", settings.max_head),
                ("grpc.absolute_max_metadata_size", settings.max_head),
                ("grpc.max_concurrent_streams", _MAX_STREAMS),
                ("grpc.max_allowed_incoming_connections", settings.max_connections),
                ("grpc.max_connection_idle_ms", int(settings.idle_seconds * 1000)),
                ("grpc.server_handshake_timeout_ms", int(settings.slow_seconds * 1000)),
                ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
            ],
        )
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self.tls is None:
                port = self._server.add_insecure_port(address)
            else:
                certificate, key = self.tls
                port = self._server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from error
        await self._server.start()
        self._tick()
        return int(port)

    async def stop(self, grace: float) -> int:
        """Take no new requests; wait until those under way are answered, at most so many seconds.

        Returns how many were not.
        """
        if self._server is None or self._timer is None:
            return 0  # it never listened
        self._timer.cancel()
        self.unanswered = 0
        stopping = asyncio.ensure_future(self._server.stop(grace))
        for task in self.waiting.idle():
            self.waiting.end(
                task,
                ServingError(
                    "IX645",
                    "the server is going down",
                    found="a stream on which nothing was asked",
                    expected="a server that stays",
                    fix="connect again",
                    retry_after=1,
                ),
            )
        await stopping
        return self.unanswered

    def _tick(self) -> None:
        """Once a second: clients whose request takes too long to come."""
        for task in self.waiting.late(self.loop.time()):
            self.waiting.end(
                task,
                ServingError(
                    "IX657",
                    "the request came too slowly",
                    found="no complete message",
                    expected=f"a message within {self.app.settings.slow_seconds:g} s",
                    fix="send it at once, or in smaller parts",
                ),
            )
        self._timer = self.loop.call_later(1.0, self._tick)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """What answers each path, in the form that grpc asks for. All of them read their messages themselves."""

    def __init__(self, door: GrpcDoor) -> None:
        single: dict[str, Answer] = {f"/{SERVICE}/{m.name}": _operation(m) for m in METHODS}
        single[f"/{SERVICE}/ModelInfer"] = infer
        single[f"/{HEALTH}/Check"] = check
        streams: dict[str, Answer] = {
            f"/{SERVICE}/ModelStreamInfer": stream_infer,
            f"/{HEALTH}/Watch": watch,
            **{f"/{service}/ServerReflectionInfo": reflect for service in REFLECTIONS},
        }
        self._known = {p: grpc.stream_unary_rpc_method_handler(_handler(door, p, a)) for p, a in single.items()}
        self._known |= {p: grpc.stream_stream_rpc_method_handler(_handler(door, p, a)) for p, a in streams.items()}
        self._unknown = grpc.stream_stream_rpc_method_handler(_handler(door, "", _unknown))

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a path."""
        return self._known.get(handler_call_details.method, self._unknown)


def _handler(door: GrpcDoor, path: str, answer: Answer) -> Any:
    async def handle(_requests: Any, context: Any) -> bytes | None:
        rpc = Rpc(door.app, door.waiting, path, context)
        error: InterchangeError | None = None
        result: bytes | None = None
        try:
            result = await answer(rpc)
        except InterchangeError as refused:
            error = refused
        except (aio.BaseError, asyncio.CancelledError):  # the client has gone, or is sent away
            door.unanswered += 1
            raise
        except Exception as mistake:  # whatever it is, this client is told, and no other one notices
            _log.exception("a mistake while answering %s", path)
            error = ServingError(
                "IX648",
                "the server made a mistake",
                found=type(mistake).__name__,
                expected="an answer",
                fix="report it, with the request",
            )
        if door.app.observers and (error is not None or result is not None):
            rpc.tell(rpc.message, len(result or b""), error)
        if error is not None:
            await context.abort(status_of(error), details_of(error), trailing_of(error))
        return result

    return handle


def _operation(method: Method) -> Answer:
    """A method of the table, between the bytes of its messages."""

    async def answer(rpc: Rpc) -> bytes:
        message = await rpc.only(method.request.DESCRIPTOR.name, _MAX_SMALL)
        request = read(method.request, message.data)
        if method.model:
            message.model = getattr(request, method.model)
        token = rpc.check(method.right, message.model)
        return written(method.response, await method.handler(rpc.app, request, token))

    return answer


async def _unknown(rpc: Rpc) -> None:
    raise ServingError(
        "IX650",
        "there is no such method",
        expected=", ".join((*(m.name for m in METHODS), "ModelInfer", "ModelStreamInfer")),
        fix="generate the client from open_inference.proto; reflection lists what is served",
    )
