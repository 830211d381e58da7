"""Load over gRPC: prepared bytes through grpcio, in as many coroutines as there are clients."""

from __future__ import annotations

import asyncio
import socket
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from interchange.client.errors import unreachable
from interchange.client.measurements import Measurement
from interchange.client.processes import cpu_seconds
from interchange.dtypes import Array
from interchange.errors import UsageError
from interchange.protocol.datatypes import DATATYPES, tensor_bytes

METHOD = "/inference.GRPCInferenceService/ModelInfer"
_CHANNELS = 16  # connections; more clients than that share them
_GRACE = 5.0  # seconds in which what was due within the time may still be answered
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]


def infer_message(model: str, version: str, inputs: Mapping[str, Array]) -> bytes:
    """A ModelInferRequest with raw contents, by the field numbers of the protocol's .proto."""
    parts = [_field(1, model.encode()), _field(2, version.encode()) if version else b""]
    for name, array_ in inputs.items():
        shape = b"".join(map(_varint, array_.shape))
        tensor = _field(1, name.encode()) + _field(2, DATATYPES[array_.dtype].encode()) + _field(3, shape)
        parts.append(_field(5, tensor))
    parts += [_field(7, tensor_bytes(a)) for a in inputs.values()]
    return b"".join(parts)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def measure_grpc(
    address: str,
    messages: Sequence[bytes],
    *,
    token: str | None = None,
    clients: int = 16,
    rate: float | None = None,
    seconds: float = 5.0,
    warm_up: float = 0.5,
    timeout: float = 30.0,
    pids: Iterable[int] = (),
) -> Measurement:
    """As `interchange.client.load.measure`, over gRPC. address: ``host:port``, without TLS. Blocks.

    grpcio itself takes some 300 microseconds of CPU a request here: it measures servers that take longer than that.
    Raises UsageError IX871 without grpcio, ClientError IX681 where nothing answers.
    """
    try:
        import grpc.aio
    except ModuleNotFoundError:
        raise UsageError(
            "IX871",
            "grpcio is not installed",
            found="no module grpc",
            expected="the package grpcio",
            fix="pip install grpcio, or measure HTTP",
        ) from None
    host, _, port = address.rpartition(":")
    try:  # grpcio would try for long, and say little
        socket.create_connection((host.strip("[]"), int(port)), 5).close()
    except (OSError, ValueError) as error:
        raise unreachable(address, error) from None
    metadata = (("authorization", f"Bearer {token}"),) if token else None

    async def whole() -> Measurement:
        channels = [grpc.aio.insecure_channel(address, options=_OPTIONS) for _ in range(min(clients, _CHANNELS))]
        try:
            calls = [c.unary_unary(METHOD) for c in channels]
            load = _Load(calls, messages, metadata, timeout, grpc.aio.AioRpcError)
            if warm_up:
                await load.run(clients, rate, warm_up)
            server, client = cpu_seconds(pids), time.process_time()
            found = await load.run(clients, rate, seconds)
            found.client_cpu = time.process_time() - client
            used = cpu_seconds(pids)
            found.server_cpu = None if server is None or used is None else used - server
            return found
        finally:
            await asyncio.gather(*(c.close() for c in channels))

    return asyncio.run(whole())


class _Load:
    def __init__(
        self, calls: Sequence[Any], messages: Sequence[bytes], metadata: Any, timeout: float, error: Any
    ) -> None:
        self._calls, self._metadata, self._timeout, self._error = calls, metadata, timeout, error
        self._next = cycle(messages).__next__

    async def run(self, clients: int, rate: float | None, seconds: float) -> Measurement:
        self._latencies, self._ends = array("q"), array("q")
        self._errors: dict[str, int] = {}
        self._start = time.perf_counter_ns()
        stop = self._start + int(seconds * 1e9)
        if rate is None:
            await asyncio.gather(*(self._client(self._calls[n % len(self._calls)], stop) for n in range(clients)))
        else:
            await self._at_rate(clients, rate, stop)
        latencies, ends = np.array(self._latencies) / 1e9, np.array(self._ends) / 1e9
        if rate is not None and len(ends):
            seconds = max(seconds, float(ends[-1]))
        within = ends <= seconds
        return Measurement(seconds, latencies[within], ends[within], self._errors)

    async def _client(self, call: Any, stop: int) -> None:
        while (begun := time.perf_counter_ns()) < stop:
            await self._one(call, begun)

    async def _at_rate(self, clients: int, rate: float, stop: int) -> None:
        free = asyncio.Semaphore(clients)
        running: set[asyncio.Task[None]] = set()

        async def one(number: int, due: int) -> None:
            async with free:
                await self._one(self._calls[number % len(self._calls)], due)

        number, due = 0, self._start
        while due < stop:
            moment = time.perf_counter_ns()
            while due <= moment and due < stop:
                task = asyncio.create_task(one(number, due))
                running.add(task)
                task.add_done_callback(running.discard)
                number += 1
                due = self._start + int(number * 1e9 / rate)
            await asyncio.sleep(max((due - time.perf_counter_ns()) / 1e9, 0))
        if running:
            _, late = await asyncio.wait(running, timeout=_GRACE)
            for task in late:
                task.cancel()
            if late:
                self._errors["no answer by the end"] = len(late)
                await asyncio.gather(*late, return_exceptions=True)

    async def _one(self, call: Any, begun: int) -> None:
        try:
            await call(self._next(), timeout=self._timeout, metadata=self._metadata)
        except self._error as error:
            what = f"{error.code().name}: {error.details()}"[:120]
            self._errors[what] = self._errors.get(what, 0) + 1
            return
        end = time.perf_counter_ns()
        self._latencies.append(end - begun)
        self._ends.append(end - self._start)
