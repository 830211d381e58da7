"""One worker as the supervisor sees it."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from interchange.serving.workers.control import Channel, Handler

_FIRST_PATIENCE = 60.0  # seconds without a sign of life while a worker starts, at least


class Process:
    """A worker process.

    index: whose place it has.  ready: it serves.  leaving: it ends because we want it to.  delay: how long the next one
    waits if this one does not live long.  killed_because: why we ended it.
    state, counted: what it last told of itself.  index_of_models: when it began.
    """

    def __init__(self, index: int, process: asyncio.subprocess.Process) -> None:
        self.index, self._process = index, process
        self.channel: Channel
        self.ready = self.leaving = self.wedged = False
        self.killed_because = ""
        self.delay = 0.0
        self.state: dict[str, Any] = {}
        self.counted: dict[str, Any] = {}
        self.index_of_models: list[dict[str, str]] = []
        self._began = self._heard = monotonic()
        self._serving: asyncio.Task[None]

    @classmethod
    async def spawn(
        cls, index: int, handlers: Callable[[Process], Mapping[str, Handler]], sockets: Sequence[socket.socket]
    ) -> Process:
        """Start one. It has the sockets under the same numbers."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = (sys.executable, "-P", "-m", "interchange.serving.workers.worker", str(theirs.fileno()))
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=2,  # stderr: the one line on stdout is the supervisor's
                pass_fds=(theirs.fileno(), *(s.fileno() for s in sockets)),
            )
        ours.setblocking(False)
        self = cls(index, process)
        self.channel = await Channel.over(ours, handlers(self))
        self._serving = asyncio.get_running_loop().create_task(self.channel.serve())
        return self

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    def age(self) -> float:
        """Seconds since it began."""
        return monotonic() - self._began

    def beat(self) -> None:
        """It was heard of."""
        self._heard = monotonic()

    def silent(self) -> float:
        """Seconds since then."""
        return monotonic() - self._heard

    def patience(self, seconds: float) -> float:
        """How long it may be silent."""
        return seconds if self.ready else max(seconds, _FIRST_PATIENCE)

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Its status, once it has ended."""
        status = await self._process.wait()
        self.channel.close()
        return status
