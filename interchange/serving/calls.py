"""One request to one model, as every door hands it to the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from interchange.dtypes import Array
from interchange.errors import InterchangeError

if TYPE_CHECKING:
    from interchange.serving.batching import Batch

WAITING, RUNNING, DONE = range(3)


class Call:
    """A request on its way. Made by a door, answered exactly once, on the engine's thread, by `finish` or `fail`.

    feeds: arrays by input name, which fit the signature.  rows: their size along the batch axis, 1 without one.
    elements: of all of them together.
    key: calls with equal keys may share a run.  wanted: the outputs asked for.
    priority: 1 is served first; 0 means the default of 2.  deadline: seconds on the engine's clock (`loop.time()`), or
    None.
    received, queued: nanoseconds of `perf_counter_ns`.  decode_ns: what reading the request took.
    relay: the call that went on in its place (`Relay`), if one did.  batch: the run that answered it.
    """

    __slots__ = (
        "batch", "deadline", "decode_ns", "elements", "feeds", "key", "priority", "queued", "received", "relay", "rows",
        "state", "timer", "wanted",
    )  # fmt: skip

    def __init__(
        self,
        feeds: Mapping[str, Array],
        wanted: Sequence[str],
        priority: int = 0,
        deadline: float | None = None,
        received: int = 0,
    ) -> None:
        self.feeds, self.wanted = feeds, wanted
        self.priority, self.deadline = priority, deadline
        self.received = received or perf_counter_ns()
        self.rows, self.elements, self.state = 1, 0, WAITING
        self.key: Any = ()
        self.queued = self.decode_ns = 0
        self.timer: Any = None
        self.relay: Relay | None = None
        self.batch: Batch | None = None

    rows: int
    key: Any

    def finish(self, outputs: Sequence[Array]) -> None:
        """The answer: an array for each name in `wanted`."""
        raise NotImplementedError

    def fail(self, error: InterchangeError) -> None:
        """No answer, and why."""
        raise NotImplementedError


class Relay(Call):
    """A call in the place of another: with other feeds, or with something to do when the answer is there."""

    __slots__ = ("origin",)

    def __init__(self, origin: Call, feeds: Mapping[str, Array] | None = None) -> None:
        super().__init__(
            origin.feeds if feeds is None else feeds,
            origin.wanted,
            priority=origin.priority,
            deadline=origin.deadline,
            received=origin.received,
        )
        self.origin, self.decode_ns = origin, origin.decode_ns
        origin.relay = self

    def finish(self, outputs: Sequence[Array]) -> None:
        """Hand the answer to the call it stands for."""
        self.origin.state, self.origin.queued = DONE, self.queued
        self.origin.finish(outputs)
        del self.origin  # in a ring the arrays of both would wait for the collector

    def fail(self, error: InterchangeError) -> None:
        """Hand the error on."""
        self.origin.state, self.origin.queued = DONE, self.queued
        self.origin.fail(error)
        del self.origin


class FutureCall(Call):
    """A call that somebody awaits: `future` becomes a dict from output name to array."""

    __slots__ = ("future",)

    def __init__(self, loop: asyncio.AbstractEventLoop, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.future: asyncio.Future[dict[str, Array]] = loop.create_future()

    def finish(self, outputs: Sequence[Array]) -> None:
        """Hand the answer over, unless nobody waits any more."""
        if not self.future.done():
            own = [o if o.flags.writeable else o.copy() for o in outputs]  # a kept answer is everybody's
            self.future.set_result(dict(zip(self.wanted, own, strict=True)))

    def fail(self, error: InterchangeError) -> None:
        """Raise the error where the call is awaited."""
        if not self.future.done():
            self.future.set_exception(error)
