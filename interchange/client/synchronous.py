"""The client for ordinary code: blocking calls, over connections that threads share and that stay open."""

from __future__ import annotations

import os
import select
import socket
import ssl
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from interchange.client.addresses import Address
from interchange.client.answers import Answer, Reader
from interchange.client.errors import ClientError, LostError, ended, late, unreachable
from interchange.client.retrying import Attempts
from interchange.client.steps import Caller, Request, Steps, asked_of, given_of, seconds
from interchange.client.tensors import model_path
from interchange.dtypes import Array
from interchange.runtime.signature import ValueSpec

T = TypeVar("T")
_READ = 1 << 16  # bytes of one read
_JOINED = 1 << 16  # bytes of a request up to which its parts are sent as one


class Client:
    """A server, as one object. Threads may share it.

    url: ``http://host:port``, ``https://host:port/prefix`` or ``unix:///path/to/socket``.
    token: for a server that asks for one.
    timeout: seconds of a call, all its attempts and waits included.  connect_timeout: of them, for one connection.
    retries: how many attempts may follow the first: after a connection that could not be made or was reset, and after
    429, 502 and 503; with waits that double, and none shorter than Retry-After says.
    max_answer: bytes of one answer.  connections: how many are kept open while nothing runs on them.
    tls: of https; None trusts what the system trusts.  headers: more lines of each request.

    address: where it asks.

    Every call raises RemoteError with what the server says (its code, input, found, expected, fix); ClientError IX681
    (not reached), IX682 (too late), IX683 (reset), IX684 (not the protocol), IX685 (too large); UsageError IX680,
    IX689.
    """

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
        self._idle: list[socket.socket] = []  # the last used one is used next: the others may close
        self._caller = Caller(url, token, timeout, retries, headers or {})
        self._connect_timeout, self._max_answer = seconds(connect_timeout), max_answer
        self.address = self._caller.address
        self.tls = (tls or ssl.create_default_context()) if self.address.tls else None
        self._kept = connections
        _clients.add(self)

    # -- the calls ----------------------------------------------------------------------------------------------------
    def infer(
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
        """Compute the outputs of a model: a dict from name to array.

        inputs: arrays by input name; Python numbers in nested lists take the input's dtype, as in
        `interchange.runtime.Model.run`. Or each by its name.  outputs: names of the ones wanted.
        priority: 1 is served first, 0 is the server's default.  timeout: seconds; the server is told as well.
        id: text that the server's log shows.  binary: tensors as bytes, or as JSON; None: as bytes where the server's
        metadata says that it takes them.

        Raises, beside what every call does: InputsError IX602 to IX604, IX608 for inputs that do not fit the model's
        metadata, before anything is sent; UsageError IX687, IX688.
        """
        asked = asked_of(model, version, outputs, priority, timeout, binary)
        return self._run(self._caller.infer(asked, given_of(inputs, named), id), asked.timeout)

    def prepare(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        version: str = "",
        outputs: Sequence[str] | None = None,
        binary: bool | None = None,
    ) -> bytes:
        """The bytes of the request that `infer` would send: for a load generator, or to send with another tool."""
        asked = asked_of(model, version, outputs, 0, None, binary)
        return self._run(self._caller.prepare(asked, given_of(inputs, {})))

    def arrays(self, model: str, inputs: Mapping[str, Any], *, version: str = "") -> dict[str, Array]:
        """The arrays that `infer` would send for these inputs. Raises as it does; runs nothing."""
        return self._run(self._caller.arrays(model, version, given_of(inputs, {})))

    def inputs(self, model: str, version: str = "") -> Mapping[str, ValueSpec | None]:
        """What a model takes, by input name: its metadata in the runtime's terms. Open sizes have names of ours.

        None for an input of a datatype that has no element type here; nothing at all where the server does not tell.
        """
        return self._run(self._caller.inputs(model, version))

    def metadata(self, model: str = "", version: str = "") -> dict[str, Any]:
        """What the server says of itself, or of a model: the protocol's metadata."""
        path = model_path(model, version) if model else "/v2"
        found: dict[str, Any] = self._run(self._caller.get(path, model))
        return found

    def config(self, model: str, version: str = "") -> dict[str, Any]:
        """How a model is served: the model configuration extension."""
        found: dict[str, Any] = self._run(self._caller.get(f"{model_path(model, version)}/config", model))
        return found

    def statistics(self, model: str = "", version: str = "") -> dict[str, Any]:
        """What was counted, of one model or of all: the statistics extension."""
        path = model_path(model, version) if model else "/v2/models"
        found: dict[str, Any] = self._run(self._caller.get(f"{path}/stats", model))
        return found

    def live(self) -> bool:
        """Whether there is a server that answers. Asked once."""
        return self._yes("/v2/health/live", "live")

    def ready(self, model: str = "", version: str = "") -> bool:
        """Whether the server, or one model, is ready. Asked once: a server that is not there is not ready."""
        return self._yes(f"{model_path(model, version)}/ready" if model else "/v2/health/ready", "ready")

    def index(self, ready: bool = False) -> list[dict[str, Any]]:
        """The models in the server's repository, with their states.  ready: only those that are."""
        found: list[dict[str, Any]] = self._run(self._caller.index(ready))
        return found

    def load(self, model: str) -> None:
        """Load a model, or load it again; needs a token that may administer."""
        self._run(self._caller.change(model, "load"))

    def unload(self, model: str) -> None:
        """Unload a model; needs a token that may administer."""
        self._run(self._caller.change(model, "unload"))

    def close(self) -> None:
        """Close the connections that are kept. The client may be used again."""
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()  # nothing runs on these connections: there is nothing to warn of

    # -- the doing ----------------------------------------------------------------------------------------------------
    def _yes(self, path: str, key: str) -> bool:
        try:
            return self._run(self._caller.yes(path, key))
        except ClientError as error:
            if error.passing or error.code == "IX682":
                return False
            raise

    def _run(self, steps: Steps[T], timeout: float | None = None) -> T:
        timeout = timeout or self._caller.timeout
        deadline = time.monotonic() + timeout
        try:
            request = next(steps)
            while True:
                request = steps.send(self._answer(request, deadline, timeout))
        except StopIteration as stop:
            found: T = stop.value
            return found

    def _answer(self, request: Request, deadline: float, timeout: float) -> Answer:
        attempts: Attempts | None = None
        while True:
            try:
                answer = self._once(request, deadline, timeout)
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
            time.sleep(wait)

    def _once(self, request: Request, deadline: float, timeout: float) -> Answer:
        kept = self._take() if request.repeat else None
        if kept is not None:
            try:
                return self._exchange(kept, request, deadline, timeout)
            except LostError:
                pass  # the server closed it just now: a new one then
        sock = self._connect(deadline, timeout)
        try:
            return self._exchange(sock, request, deadline, timeout)
        except LostError as error:
            raise ended(str(self.address), str(error)) from None

    def _take(self) -> socket.socket | None:
        """A connection that is kept, and on which nothing came meanwhile: neither its end nor an answer to nothing."""
        while True:
            try:
                sock = self._idle.pop()
            except IndexError:  # there is none, or another thread took the last one
                return None
            poll = select.poll()
            poll.register(sock, select.POLLIN)
            if not poll.poll(0):
                return sock
            sock.close()

    def _connect(self, deadline: float, timeout: float) -> socket.socket:
        limit = min(self._connect_timeout, deadline - time.monotonic())
        if limit <= 0:
            raise late(str(self.address), timeout, "no connection")
        try:
            return open_socket(self.address, limit, self.tls)
        except (OSError, UnicodeError) as error:
            raise unreachable(str(self.address), error) from None

    def _exchange(self, sock: socket.socket, request: Request, deadline: float, timeout: float) -> Answer:
        """Raises LostError, ClientError IX682, IX684, IX685; the connection is closed then."""
        reader = Reader(self._max_answer, self._caller.memory)
        try:
            _converse(sock, request, reader, deadline, timeout)
        except TimeoutError:
            sock.close()
            raise late(str(self.address), timeout, f"{reader.received} bytes of an answer") from None
        except OSError as error:
            sock.close()
            raise LostError(error.strerror or str(error)) from None
        except BaseException:
            sock.close()
            raise
        if reader.keep and len(self._idle) < self._kept:
            self._idle.append(sock)
        else:
            sock.close()
        return reader.answer


def _converse(sock: socket.socket, request: Request, reader: Reader, deadline: float, timeout: float) -> None:
    """Send a request, read its answer. Raises OSError, TimeoutError, and as the reader does."""
    left = _left(deadline)
    if left > 0.98 * timeout:
        left = timeout  # nearly all of it: what the socket has from the call before, and need not be told
    if sock.gettimeout() != left:
        sock.settimeout(left)
    lost: OSError | None = None
    try:
        for part in _joined(request.parts):
            sock.sendall(part)
    except TimeoutError:
        raise
    except OSError as error:
        lost = error  # a server may refuse a request, and say why, before it has read all of it
    try:
        while not _read(sock, reader):
            sock.settimeout(_left(deadline))
    except OSError as error:
        raise lost or error from None
    if lost is not None:
        reader.keep = False


def _read(sock: socket.socket, reader: Reader) -> bool:
    """Read what is there; True when the answer is whole."""
    if reader.missing:
        count = sock.recv_into(reader.rest)
        whole = reader.filled(count)
    else:
        data = sock.recv(_READ)
        count, whole = len(data), bool(data) and reader.feed(data)
    if not count:
        reader.end()
    return whole or not count


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _joined(parts: list[Any]) -> list[Any]:
    return [b"".join(parts)] if len(parts) > 1 and sum(map(len, parts)) <= _JOINED else parts


def open_socket(address: Address, limit: float, tls: ssl.SSLContext | None) -> socket.socket:
    """A connection. Raises OSError."""
    if address.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(limit)
            sock.connect(address.socket)
        except BaseException:
            sock.close()
            raise
        return sock
    sock = socket.create_connection((address.host, address.port), limit)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a request is never held back for more to come
        return sock if tls is None else tls.wrap_socket(sock, server_hostname=address.host)
    except BaseException:
        sock.close()
        raise


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _forget() -> None:
    """After a fork the connections are the parent's: two processes on one would read each other's answers."""
    for client in list(_clients):
        client.close()


os.register_at_fork(after_in_child=_forget)
