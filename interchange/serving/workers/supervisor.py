"""The supervisor: it starts the workers, keeps their sockets, and replaces the one that dies, hangs or is wedged.

It serves nothing itself and loads no model, so there is little that could end it. The listening sockets are its own:
a worker that dies leaves the connections that wait at its socket to the one that comes after it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from interchange.errors import InterchangeError
from interchange.serving.configuration import ConfigurationError
from interchange.serving.listening import (
    address_of,
    bind,
    bind_unix,
    remove_unix,
    require_files,
    require_packages,
)
from interchange.serving.plain import to_plain
from interchange.serving.settings import Settings
from interchange.serving.statistics import merged
from interchange.serving.workers.process import Process

START_ATTEMPTS = 3  # of a worker that dies before it ever served
_LONGEST_DELAY = 30.0  # seconds between two attempts to replace a worker
_STEADY = 60.0  # seconds after which a worker that dies is not one that dies again and again
_ANSWER_SECONDS = 2.0  # for a worker to tell what it has counted
_EXIT_SECONDS = 5.0
# what a running worker can change; the ports are the supervisor's; for the rest workers are replaced, one by one
_IN_PLACE = {
    "tokens", "defaults", "models", "access_log", "watch_seconds", "drain_seconds", "stop_seconds", "hang_seconds",
}  # fmt: skip
_FIXED = {"host", "http_port", "grpc_port", "uds", "uds_mode", "workers"}
_log = logging.getLogger("interchange.serving")


class Supervisor:
    """Serves `source` with ``settings.workers`` processes.

    on_ready: told once, of the addresses and the models.  read_settings: reads the configuration again, for SIGHUP.
    restarts: why -> how many workers were replaced: crashed, hung, wedged, reloaded.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        settings: Settings,
        *,
        on_ready: Callable[[dict[str, Any]], None] | None = None,
        read_settings: Callable[[], Settings] | None = None,
    ) -> None:
        self.source, self.settings = Path(source).absolute(), settings
        self.on_ready, self.read_settings = on_ready, read_settings
        self.restarts = dict.fromkeys(("crashed", "hung", "wedged", "reloaded"), 0)
        self.workers: dict[int, Process] = {}  # those that serve
        self.processes: set[Process] = set()  # those, and those that begin or end
        self.unloaded: set[str] = set()
        self.retired: dict[str, dict[str, Any]] = {}  # what workers that are gone have counted
        self.http: list[socket.socket] = []
        self.unix: socket.socket | None = None
        self.reserved: list[socket.socket] = []
        self.http_port: int | None = None
        self.grpc_port: int | None = None
        self._stopping = asyncio.Event()
        self._signals = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()
        self._tls_stamp = _stamp(settings)

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT. Returns 0, or 1 when not everything could be answered in time.

        Raises ConfigurationError IX676 and IX677, UsageError IX860, InterchangeError IX678 when the workers do not come
        up, and what keeps a worker from starting.
        """
        require_packages(self.settings)
        problems = require_files(self.settings)
        if problems:
            raise ConfigurationError(problems)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        try:
            self._listen()
            looking = self._task(self._look_for_hung())
            starting = asyncio.ensure_future(self._start_all())
            stopping = asyncio.ensure_future(self._stopping.wait())
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                self._tell_ready()
                await stopping
            starting.cancel()
            unanswered = await self._end()
            looking.cancel()
            return 1 if unanswered or self._signals > 1 else 0
        finally:
            self._kill_all()
            self._close_sockets()
            await asyncio.gather(*(p.ended() for p in list(self.processes)))
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.remove_signal_handler(number)

    # -- the beginning ------------------------------------------------------------------------------------------------
    def _listen(self) -> None:
        s = self.settings
        if s.http_port is not None:
            self.http = bind(s.host, s.http_port, count=s.workers)
            self.http_port = self.http[0].getsockname()[1]
        if s.grpc_port is not None:  # never listened at: it keeps the port for the workers
            self.reserved = bind(s.host, s.grpc_port, what="grpc_port")
            self.grpc_port = self.reserved[0].getsockname()[1]
        if s.uds is not None:
            self.unix = bind_unix(s.uds, s.uds_mode)

    async def _start_all(self) -> None:
        await asyncio.gather(*(self._start_first(i) for i in range(self.settings.workers)))

    async def _start_first(self, index: int) -> None:
        for _ in range(START_ATTEMPTS):
            try:
                self.workers[index] = await self._started(index)
                return
            except ConnectionError:
                _log.error("a worker has ended before it served")
        raise InterchangeError(
            "IX678",
            "the workers do not come up",
            where=str(self.source),
            found=f"{START_ATTEMPTS} processes that ended while they loaded the models",
            expected="a process that lives",
            fix="look above for what they said; run the models alone, with `interchange run`, to find the one that "
            "ends the process; it may be memory",
        )

    async def _started(self, index: int) -> Process:
        """A worker that serves. Raises ConnectionError when it dies first, InterchangeError when it cannot."""
        process = await Process.spawn(index, self._handlers, self._sockets())
        self.processes.add(process)
        self._task(self._attend(process))
        unloaded = set(self.unloaded)
        try:
            answer = await process.channel.ask(
                "start",
                source=str(self.source),
                settings=to_plain(self.settings),
                http=[s.fileno() for s in self.http],
                own=index,
                unix=None if self.unix is None else self.unix.fileno(),
                grpc_port=self.grpc_port,
                unloaded=sorted(unloaded),
            )
        except BaseException:
            process.leaving = True
            process.kill()
            raise
        process.index_of_models = answer["index"]
        process.ready = True
        process.beat()
        for name in self.unloaded - unloaded:  # while it loaded
            with suppress(InterchangeError):
                await process.channel.ask("unload", model=name)
        return process

    def _sockets(self) -> list[socket.socket]:
        return [*self.http, *([self.unix] if self.unix is not None else ())]

    def _tell_ready(self) -> None:
        if self.on_ready is None:
            return
        s = self.settings
        scheme = "https" if s.tls_certificate else "http"
        rows = self.workers[0].index_of_models
        models = sorted({r["name"] for r in rows if r["state"] == "READY"})
        self.on_ready(
            {
                "ready": True,
                "http": None if self.http_port is None else f"{scheme}://{address_of(s.host, self.http_port)}",
                "grpc": None if self.grpc_port is None else address_of(s.host, self.grpc_port),
                "uds": None if s.uds is None else str(s.uds),
                "models": models,
                "unavailable": {r["name"]: r["reason"] for r in rows if r["name"] not in models},
                "workers": s.workers,
                "pid": os.getpid(),
            }
        )

    # -- while it runs ------------------------------------------------------------------------------------------------
    async def _attend(self, process: Process) -> None:
        """Until a worker has ended, and what follows from it."""
        status = await process.ended()
        self.processes.discard(process)
        self._retire(process.counted)
        if process.leaving or self._stopping.is_set() or self.workers.get(process.index) is not process:
            return
        why = process.killed_because or "crashed"
        _log.error("worker %d is gone (%s): %s", process.pid, _status(status), why)
        await self._replace(process, why)

    async def _replace(self, old: Process, why: str) -> None:
        """Another worker in the place of one; after ever longer waits where it dies again and again."""
        self.restarts[why] += 1
        index = old.index
        steady = old.age() > _STEADY
        delay = 0.0 if steady else old.delay
        substitute = None if old.alive else await self._substitute(index)
        while not self._stopping.is_set():
            if delay:
                _log.error("the next attempt is in %g s", delay)
                await asyncio.sleep(delay)
            delay = min(_LONGEST_DELAY, delay * 2 or 0.25)
            try:
                new = await self._started(index)
            except (ConnectionError, InterchangeError) as error:
                if not self._stopping.is_set():
                    _log.error("a worker could not be replaced: %s", str(error) or "it has ended before it served")
                continue
            new.delay = delay
            self.workers[index] = new
            if substitute is not None and substitute.alive:
                substitute.channel.tell("leave", number=index)
            if old.alive:
                await self._let_go(old)
            return

    async def _substitute(self, index: int) -> Process | None:
        """Another worker which takes the connections of one that is away."""
        for number, process in self.workers.items():
            if number != index and process.alive and process.ready and self.http:
                process.channel.tell("accept", number=index)
                return process
        return None

    async def _let_go(self, old: Process) -> None:
        """A worker whose successor serves: it answers what it has, and ends."""
        old.leaving = True
        with suppress(ConnectionError):
            await old.channel.ask("leave", number=old.index)
            await old.channel.ask("drain")  # its clients connect anew with their next request
            await asyncio.sleep(max(1.0, self.settings.drain_seconds))
            await self._stop_one(old, last=False)

    async def _stop_one(self, process: Process, last: bool) -> int:
        """Returns how many requests of a worker were not answered."""
        seconds = self.settings.stop_seconds
        try:
            async with asyncio.timeout(seconds + _EXIT_SECONDS):
                answer = await process.channel.ask("stop", seconds=seconds, last=last)
        except (ConnectionError, TimeoutError):
            process.kill()
            return 1
        process.counted = answer["models"]
        process.channel.close()
        try:
            async with asyncio.timeout(_EXIT_SECONDS):
                await process.ended()
        except TimeoutError:
            process.kill()
        return int(answer["unanswered"])

    async def _look_for_hung(self) -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(0.25)
            now = loop.time()
            late, last = now - last > 5, now
            for process in list(self.processes):
                if late:  # we were asleep ourselves: the machine, or a debugger
                    process.beat()
                elif process.silent() > process.patience(self.settings.hang_seconds) and not process.killed_because:
                    process.killed_because = "hung"
                    process.kill()

    # -- what workers ask for -----------------------------------------------------------------------------------------
    def _handlers(self, process: Process) -> Mapping[str, Any]:
        async def beat() -> None:
            process.beat()

        async def wedged(model: str) -> None:
            if process.leaving or process.wedged or not process.ready:
                return
            process.wedged = True
            _log.error("worker %d: a run of %s does not stop; another one takes its place", process.pid, model)
            self._task(self._replace(process, "wedged"))

        async def collect(counted: dict[str, Any]) -> list[Any]:
            process.counted = counted
            states = await self._states(but=process)
            return [*(s["models"] for s in states), self.retired]

        async def states(counted: dict[str, Any]) -> dict[str, Any]:
            process.counted = counted
            others = await self._states(but=process)
            return {"workers": others, "retired": self.retired, "restarts": self.restarts, "pid": os.getpid()}

        async def tell(message: dict[str, Any]) -> None:
            await self._tell_all(message, but=process)

        return {"beat": beat, "wedged": wedged, "collect": collect, "states": states, "tell": tell}

    async def _states(self, but: Process) -> list[dict[str, Any]]:
        async def one(process: Process) -> dict[str, Any]:
            with suppress(ConnectionError, TimeoutError, InterchangeError):
                async with asyncio.timeout(_ANSWER_SECONDS):
                    process.state = await process.channel.ask("state")
                    process.counted = process.state["models"]
            return process.state

        others = [p for p in self.processes if p.ready and p is not but and p.alive]
        return [state for state in await asyncio.gather(*map(one, others)) if state]

    async def _tell_all(self, message: dict[str, Any], but: Process) -> None:
        model = message["model"]
        if message["do"] == "unload":
            self.unloaded.add(model)
        else:
            self.unloaded.discard(model)
        others = [p for p in self.workers.values() if p is not but and p.alive]
        asked = (p.channel.ask(message["do"], model=model) for p in others)
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(answer, InterchangeError):
                raise answer
            if isinstance(answer, BaseException) and not isinstance(answer, ConnectionError):
                raise answer  # one that has gone comes back with the models of the folder

    def _retire(self, counted: Mapping[str, Mapping[str, Any]]) -> None:
        for name, versions in counted.items():
            kept = self.retired.setdefault(name, {})
            for version, snapshot in versions.items():
                kept[version] = merged([kept[version], snapshot]) if version in kept else dict(snapshot)

    # -- signals ------------------------------------------------------------------------------------------------------
    def _stop(self) -> None:
        self._signals += 1
        self._stopping.set()
        if self._signals > 1:
            _log.error("stopping at once")
            self._kill_all()

    def _hang_up(self) -> None:
        self._task(self.reload())

    async def reload(self) -> None:
        """Read the configuration again, go by it, and look at the repository. What cannot be changed is told."""
        async with self._reloading:
            try:
                settings = self.settings if self.read_settings is None else self.read_settings()
                problems = require_files(settings)
                if problems:
                    raise ConfigurationError(problems)
            except InterchangeError as error:
                _log.error("the settings stay what they are:\n%s", error)
                return
            changed = {f.name for f in fields(Settings) if getattr(settings, f.name) != getattr(self.settings, f.name)}
            for name in sorted(changed & _FIXED):
                _log.error("%s changes with the next start only", name)
            kept = {n: getattr(self.settings, n) for n in _FIXED}
            self.settings = settings = replace(settings, **kept)
            changed -= _FIXED
            stamp, self._tls_stamp = self._tls_stamp, _stamp(settings)
            if changed - _IN_PLACE or stamp != self._tls_stamp:
                await self._replace_all()
                return
            asked = (
                p.channel.ask("reconfigure", settings=to_plain(settings)) if changed else p.channel.ask("refresh")
                for p in list(self.workers.values())
            )
            for answer in await asyncio.gather(*asked, return_exceptions=True):
                if isinstance(answer, InterchangeError):
                    _log.error("%s", answer)
            _log.info("reloaded: %s", ", ".join(sorted(changed)) or "no setting has changed")

    async def _replace_all(self) -> None:
        """Every worker by one with the new settings, one after the other: nobody waits meanwhile."""
        for index, old in list(self.workers.items()):
            if self._stopping.is_set():
                return
            try:
                new = await self._started(index)
            except (ConnectionError, InterchangeError) as error:
                _log.error("the workers stay what they are: %s", str(error) or "a new one has ended before it served")
                return
            self.restarts["reloaded"] += 1
            self.workers[index] = new
            await self._let_go(old)
        _log.info("reloaded, with new workers")

    # -- the end ------------------------------------------------------------------------------------------------------
    async def _end(self) -> int:
        """Returns how many requests were not answered."""
        ready = [p for p in self.processes if p.ready and p.alive]
        if ready and self.settings.drain_seconds and self._signals < 2:
            for process in ready:
                process.channel.tell("drain")
            _log.info("draining for %g s", self.settings.drain_seconds)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.settings.drain_seconds):
                    while self._signals < 2:
                        await asyncio.sleep(0.02)
        self._close_sockets()  # the workers have them still
        unanswered = sum(await asyncio.gather(*(self._stop_one(p, last=True) for p in ready)))
        if unanswered:
            _log.error("%d requests were not answered in %g s", unanswered, self.settings.stop_seconds)
        self._kill_all()
        await asyncio.gather(*(p.ended() for p in list(self.processes)))
        if self.settings.uds is not None:
            remove_unix(self.settings.uds)
        return unanswered

    def _kill_all(self) -> None:
        for process in list(self.processes):
            process.leaving = True
            process.kill()

    def _close_sockets(self) -> None:
        for sock in (*self._sockets(), *self.reserved):
            sock.close()

    def _task(self, coroutine: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a task of the supervisor failed", exc_info=task.exception())


def _stamp(settings: Settings) -> tuple[Any, ...]:
    """Changes when a certificate was renewed."""
    paths = (settings.tls_certificate, settings.tls_key)
    return tuple((s.st_mtime_ns, s.st_ino) for s in (p.stat() for p in paths if p is not None and p.exists()))


def _status(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def log_to_stderr() -> None:
    """Show what the server tells of itself."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
