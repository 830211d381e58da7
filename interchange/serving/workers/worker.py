"""One serving process. It is started by the supervisor, does what that asks for, and ends when that is gone."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from interchange.serving.configuration import from_plain
from interchange.serving.listening import event_loop
from interchange.serving.workers.control import Channel, Handler

if TYPE_CHECKING:
    from interchange.serving.doors import Doors
    from interchange.serving.operations import Operations, Snapshot
    from interchange.serving.settings import Settings

_log = logging.getLogger("interchange.serving")


class SupervisedPeers:
    """The other workers, asked by way of the supervisor. See `interchange.serving.operations.Peers`.

    Who asks tells what it has counted itself, so that the supervisor still knows it when this process is gone.
    """

    def __init__(self, channel: Channel, operations: Operations) -> None:
        self._channel, self._operations = channel, operations

    async def collect(self) -> list[Snapshot]:
        """What the others have counted, and those before them that are gone."""
        found: list[Snapshot] = await self._channel.ask("collect", counted=self._operations.snapshot())
        return found

    async def tell(self, message: Mapping[str, Any]) -> None:
        """Have the others do the same. Raises InterchangeError of the first that failed."""
        await self._channel.ask("tell", message=dict(message))

    async def states(self) -> dict[str, Any]:
        """What the metrics tell of the others and of the supervisor."""
        found: dict[str, Any] = await self._channel.ask("states", counted=self._operations.snapshot())
        return found


class Worker:
    """What the supervisor may ask for: `handlers`."""

    def __init__(self) -> None:
        self.channel: Channel
        self.doors: Doors | None = None
        self.handlers: dict[str, Handler] = {
            "start": self.start,
            "state": self.state,
            "load": self.load,
            "unload": self.unload,
            "refresh": self.refresh,
            "reconfigure": self.reconfigure,
            "accept": self.accept,
            "leave": self.leave,
            "drain": self.drain,
            "stop": self.stop,
        }
        self._beat_seconds = 1.0

    async def beat(self) -> None:
        """Tell again and again that the loop turns."""
        while True:
            self.channel.tell("beat")
            await asyncio.sleep(self._beat_seconds)

    # -- what is asked for --------------------------------------------------------------------------------------------
    async def start(
        self,
        source: str,
        settings: Mapping[str, Any],
        http: list[int],
        own: int,
        unix: int | None,
        grpc_port: int | None,
        unloaded: list[str],
    ) -> dict[str, Any]:
        """Load the models and listen. http, unix: file descriptors.  unloaded: models that somebody has unloaded."""
        from interchange.serving.doors import Doors, Sockets
        from interchange.serving.lifecycle import Tracked

        found = from_plain(settings)
        self._follow(found)
        sockets = Sockets(
            [socket.socket(fileno=fd) for fd in http],
            own,
            None if unix is None else socket.socket(fileno=unix),
            grpc_port,
            shared=True,
        )
        self.doors = doors = Doors(source, found, sockets)
        for name in unloaded:
            doors.lifecycle.models[name] = tracked = Tracked(name)
            tracked.unloaded = True
        doors.app.engine.on_wedged = lambda served: self.channel.tell("wedged", model=served.name)
        doors.app.operations.peers = SupervisedPeers(self.channel, doors.app.operations)
        await doors.open()
        return {"index": doors.app.operations.index()}

    async def state(self) -> dict[str, Any]:
        """What has been counted here, and what this process takes."""
        from interchange.serving.metrics import state

        return state(self._doors().app)

    async def load(self, model: str) -> None:
        """Load a model, or load it again."""
        await self._doors().lifecycle.load(model)

    async def unload(self, model: str) -> None:
        """Serve a model no longer."""
        await self._doors().lifecycle.unload(model)

    async def refresh(self) -> None:
        """Look at the repository now, go on in new log files."""
        await self._doors().refresh()

    async def reconfigure(self, settings: Mapping[str, Any]) -> None:
        """Go by other settings from now on."""
        found = from_plain(settings)
        self._follow(found)
        await self._doors().reconfigure(found)

    async def accept(self, number: int) -> None:
        """Take the connections of another worker, which is away."""
        await self._doors().accept(number)

    async def leave(self, number: int) -> None:
        """It is back, or another one is there in our place."""
        self._doors().leave(number)

    async def drain(self) -> None:
        """Say that we are not ready, and go on."""
        self._doors().app.draining = True

    async def stop(self, seconds: float, last: bool) -> dict[str, Any]:
        """Answer what is under way, then listen no more; what was counted, for the last time."""
        doors = self._doors()
        state = {"models": doors.app.operations.snapshot()}
        unanswered = await doors.close(seconds, last=last)
        return {**state, "unanswered": unanswered}

    def _doors(self) -> Doors:
        if self.doors is None:
            raise ConnectionError("not started")
        return self.doors

    def _follow(self, settings: Settings) -> None:
        self._beat_seconds = max(0.1, min(1.0, settings.hang_seconds / 4))


async def serve(control: socket.socket) -> None:
    """Do what comes over the control socket, until it ends."""
    worker = Worker()
    worker.channel = await Channel.over(control, worker.handlers)
    beating = asyncio.create_task(worker.beat())
    await worker.channel.serve()
    beating.cancel()


def main() -> None:
    """``python -m interchange.serving.workers.worker FD``: started by the supervisor only."""
    # a terminal and a service manager send these to all processes; what they mean for us the supervisor says
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=f"worker {os.getpid()}: %(message)s")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (most, most)
    )  # a connection is an open file, and mostly 1024 may be open
    control = socket.socket(fileno=int(sys.argv[1]))
    control.setblocking(False)
    event_loop().run(serve(control))
    sys.stderr.flush()
    os._exit(0)  # a run that does not stop would keep its thread, and the thread us


if __name__ == "__main__":
    main()
