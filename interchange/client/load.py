"""Load on a server: as many requests as some clients can make, or so many a second; and how long each took.

One thread, one epoll, prepared bytes: cheap enough to keep a server of one process busy from the other core. For less
than this costs there is wrk, which knows closed loops only.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from interchange.client.addresses import Address
from interchange.client.answers import Reader
from interchange.client.errors import ClientError, LostError, remote_error, unreachable
from interchange.client.measurements import Measurement
from interchange.client.processes import cpu_seconds
from interchange.client.synchronous import open_socket

_READ = 1 << 18
_LIMIT = 1 << 30
_PAUSE = 0.05  # seconds before a connection that failed is made again
_GRACE = 5.0  # seconds in which what was due within the time may still be answered
_HEADS = 4096  # heads of answers that are remembered
_WAITING = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


@dataclass(frozen=True)
class Target:
    """What is asked. requests: whole requests, sent in turn.  pids: the server's processes, where they are known."""

    name: str
    address: Address
    requests: Sequence[bytes]
    tls: ssl.SSLContext | None = None
    pids: frozenset[int] = frozenset()


def measure(
    target: Target,
    *,
    clients: int = 16,
    rate: float | None = None,
    seconds: float = 5.0,
    warm_up: float = 0.5,
    timeout: float = 30.0,
) -> Measurement:
    """Put load on a server, and measure. Blocks.

    clients: connections. Each sends its next request when it has its answer (closed loop).
    rate: requests a second (open loop). They are due at even distances, whether the server keeps up or not; each takes
    from when it was due, not from when a connection was free for it: a server that stalls is charged for all that it
    kept waiting.
    warm_up: seconds before, which do not count.  timeout: seconds after which a request is given up.
    Raises ClientError IX681 where no connection can be made.
    """
    generator = _Generator(target, clients, timeout)
    try:
        generator.open()
        if warm_up:
            generator.run(warm_up, rate)
        server, client = cpu_seconds(target.pids), time.process_time()
        found = generator.run(seconds, rate)
        found.client_cpu = time.process_time() - client
        used = cpu_seconds(target.pids)
        found.server_cpu = None if server is None or used is None else used - server
        return found
    finally:
        generator.close()


class _Connection:
    __slots__ = ("begun", "fd", "reader", "sock", "unsent")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock, self.fd = sock, sock.fileno()
        self.begun = 0  # when its request was sent or due, nanoseconds; 0: it has none
        self.reader: Reader | None = None  # of an answer that does not come in one piece
        self.unsent: memoryview | None = None


class _Generator:
    def __init__(self, target: Target, clients: int, timeout: float) -> None:
        self.target, self.clients = target, clients
        self._timeout = int(timeout * 1e9)
        self._epoll = select.epoll()
        self._open: dict[int, _Connection] = {}
        self._idle: list[_Connection] = []
        self._next = cycle(target.requests).__next__
        self._heads: dict[bytes, int] = {}  # head of a 200 -> length with the body: a server's heads hardly differ
        self._failed_until = 0
        self._reset(0)

    def _reset(self, start: int) -> None:
        self._start = start
        self._latencies, self._ends = array("q"), array("q")
        self._errors: dict[str, int] = {}

    def open(self) -> None:
        """Make the first connection. Raises ClientError IX681."""
        self._idle.append(self._connect())

    def close(self) -> None:
        """Close all connections."""
        for connection in self._open.values():
            connection.sock.close()
        self._open.clear()
        self._epoll.close()

    # -- the loops ----------------------------------------------------------------------------------------------------
    def run(self, seconds: float, rate: float | None) -> Measurement:
        """One stretch of load."""
        start = time.perf_counter_ns()
        self._reset(start)
        stop = start + int(seconds * 1e9)
        if rate is None:
            self._closed(stop)
        else:
            self._at_rate(start, stop, 1e9 / rate)
        for connection in [c for c in self._open.values() if c.begun]:
            self._drop(connection)  # its answer is still to come, and would be taken for that of the next request
        self._idle = list(self._open.values())
        latencies, ends = np.array(self._latencies) / 1e9, np.array(self._ends) / 1e9
        if rate is not None and len(ends):
            seconds = max(seconds, float(ends[-1]))  # the answers to all that was due
        within = ends <= seconds
        return Measurement(seconds, latencies[within], ends[within], dict(self._errors))

    def _closed(self, stop: int) -> None:
        now = time.perf_counter_ns
        poll, opened, turn, send = self._epoll.poll, self._open, self._turn, self._send
        self._grow()
        check = now()
        while True:
            ready = poll(0.1)
            moment = now()
            if moment >= stop:
                return
            for fd, event in ready:
                connection = opened.get(fd)
                if connection is not None and turn(connection, event):
                    send(connection, now())
            if len(opened) < self.clients:
                self._grow()
            if moment - check > 100_000_000:
                check = moment
                self._overdue(moment)

    def _grow(self) -> None:
        """As many connections as there are clients, each with a request."""
        while len(self._open) < self.clients and self._add():
            pass
        while self._idle:
            self._send(self._idle.pop(), time.perf_counter_ns())

    def _at_rate(self, start: int, stop: int, step: float) -> None:
        now = time.perf_counter_ns
        backlog: deque[int] = deque()
        number, due, check = 0, start, start
        last = stop + int(_GRACE * 1e9)
        while True:
            moment = now()
            while due <= moment and due < stop:
                backlog.append(due)
                number += 1
                due = start + int(number * step)
            while backlog and (self._idle or (len(self._open) < self.clients and self._add())):
                self._send(self._idle.pop(), backlog.popleft())
            if due >= stop and (moment > last or (not backlog and not self._busy())):
                break
            wait = (due - now()) / 1e9 if due < stop else 0.01
            if wait > 0:  # select counts microseconds, epoll milliseconds
                select.select([self._epoll], [], [], min(wait, 0.1))
            for fd, event in self._epoll.poll(0):
                connection = self._open.get(fd)
                if connection is not None and self._turn(connection, event):
                    self._idle.append(connection)
            if moment - check > 100_000_000:
                check = moment
                self._overdue(moment)
        if backlog or self._busy():
            self._count("no answer by the end", len(backlog) + self._busy())

    def _busy(self) -> int:
        return sum(1 for c in self._open.values() if c.begun)

    def _overdue(self, moment: int) -> None:
        for connection in [c for c in self._open.values() if c.begun and moment - c.begun > self._timeout]:
            self._count("timeout")
            self._drop(connection)

    # -- connections --------------------------------------------------------------------------------------------------
    def _connect(self) -> _Connection:
        try:
            sock = open_socket(self.target.address, 5.0, self.target.tls)
        except (OSError, UnicodeError) as error:
            raise unreachable(str(self.target.address), error) from None
        connection = _Connection(sock)
        self._open[connection.fd] = connection
        self._epoll.register(connection.fd, select.EPOLLIN)
        return connection

    def _add(self) -> bool:
        """One more connection; False when the server takes none now."""
        moment = time.perf_counter_ns()
        if moment < self._failed_until:
            return False
        try:
            self._idle.append(self._connect())
        except ClientError as error:
            self._failed_until = moment + int(_PAUSE * 1e9)
            self._count(f"no connection: {error.found}")
            return False
        return True

    def _drop(self, connection: _Connection) -> None:
        connection.begun = 0
        self._open.pop(connection.fd, None)
        if connection in self._idle:
            self._idle.remove(connection)
        connection.sock.close()

    def _count(self, what: str, times: int = 1) -> None:
        self._errors[what] = self._errors.get(what, 0) + times

    # -- requests and answers -----------------------------------------------------------------------------------------
    def _send(self, connection: _Connection, begun: int) -> None:
        connection.begun = begun
        request = self._next()
        try:
            sent = connection.sock.send(request)
        except _WAITING:
            sent = 0
        except OSError as error:
            self._count(error.strerror or "reset")
            self._drop(connection)
            return
        if sent < len(request):
            connection.unsent = memoryview(request)[sent:]
            self._epoll.modify(connection.fd, select.EPOLLIN | select.EPOLLOUT)

    def _send_rest(self, connection: _Connection) -> None:
        rest = connection.unsent
        if rest is not None:
            try:
                rest = rest[connection.sock.send(rest) :]
            except _WAITING:
                return
            connection.unsent = rest if len(rest) else None
        if connection.unsent is None:
            self._epoll.modify(connection.fd, select.EPOLLIN)

    def _turn(self, connection: _Connection, event: int) -> bool:
        """Something can be read or written; True when an answer is whole and the connection may be used again."""
        try:
            if event & select.EPOLLOUT:
                self._send_rest(connection)
                if event == select.EPOLLOUT:
                    return False
            data = connection.sock.recv(_READ)
            usual = connection.reader is None and connection.begun and connection.unsent is None
            if usual and self._heads.get(data[: data.find(b"\r\n\r\n")]) == len(data):
                # the whole answer in one piece, with a head that was seen before
                moment = time.perf_counter_ns()
                self._latencies.append(moment - connection.begun)
                self._ends.append(moment - self._start)
                connection.begun = 0
                return True
            return self._read(connection, data)
        except _WAITING:
            return False
        except (OSError, LostError) as error:
            if connection.begun:
                self._count(getattr(error, "strerror", None) or str(error) or "reset")
        except ClientError as error:
            self._count(f"{error.code}: {error.found}"[:120])
        self._drop(connection)
        return False

    def _read(self, connection: _Connection, data: bytes) -> bool:
        if not connection.begun:
            self._drop(connection)  # closed by the server, or an answer that nobody asked for
            return False
        first = connection.reader is None
        reader = connection.reader = connection.reader or Reader(_LIMIT, {})
        whole = reader.feed(data) if data else False
        pending: Any = getattr(connection.sock, "pending", None)
        while not whole and pending is not None and pending():
            whole, first = reader.feed(connection.sock.recv(_READ)), False
        if not data:
            reader.end()
            whole = True
        if not whole:
            return False
        moment, answer = time.perf_counter_ns(), reader.answer
        if answer.status == 200:
            self._latencies.append(moment - connection.begun)
            self._ends.append(moment - self._start)
            if first and reader.keep and answer.whole is not None and len(self._heads) < _HEADS:
                head = data[: data.find(b"\r\n\r\n")]
                if len(head) + 4 + len(answer.body) == len(data):
                    self._heads[head] = len(data)
        else:
            error = remote_error(answer, "")
            said = error.found or "" if error.code == "IX686" else f"{error.code}: {error.message}"
            self._count(said.removeprefix("HTTP ") if error.code == "IX686" else f"{answer.status}: {said}")
        connection.begun, connection.reader = 0, None
        keep = reader.keep and connection.unsent is None
        if not keep:
            self._drop(connection)
        return keep
