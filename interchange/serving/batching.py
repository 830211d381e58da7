"""What waits together runs together.

Requests that arrive while the event loop does one turn, or while the model is busy, share a run; nobody waits for
company unless `max_delay_ms` asks for it. A model of microseconds runs on the loop's own thread, a slow one beside it.

Everything here happens on the loop's thread, but for `_execute`, which may be on another and touches only the batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from interchange.dtypes import Array
from interchange.errors import InterchangeError
from interchange.protocol.errors import ServingError, reason_of
from interchange.runtime.errors import RunError
from interchange.serving.calls import DONE, RUNNING, WAITING, Call

if TYPE_CHECKING:
    from interchange.serving.served import Served

DEFAULT_PRIORITY = 2
STOP_SECONDS = 5.0  # how long a kernel may take to notice that it was told to stop


class Batch:
    """Calls of one key that run together, and what came of it."""

    __slots__ = ("calls", "done", "error", "input_ns", "options", "outputs", "rows", "started", "timer", "wanted")

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls
        self.rows = sum([c.rows for c in calls])
        self.wanted = calls[0].wanted
        self.started = perf_counter_ns()
        self.input_ns = 0
        self.outputs: Sequence[Array] = ()
        self.error: InterchangeError | None = None
        self.done = 0  # perf_counter_ns when the run ended
        self.options: Any = None
        self.timer: asyncio.TimerHandle | None = None


class Batcher:
    """The queue in front of one version of a model.

    on_wedged: called when a kernel does not stop although it was told to.
    """

    def __init__(
        self, served: Served, loop: asyncio.AbstractEventLoop, on_wedged: Callable[[Served], None] | None = None
    ) -> None:
        self.served, self.loop, self.settings = served, loop, served.settings
        self.model, self.statistics, self.trial = served.model, served.statistics, served.trial
        self.inline = self.trial.inline  # a shadow's runs are beside the loop in any case
        self.on_wedged = on_wedged
        self.waiting = 0
        self.running: set[Batch] = set()
        self._queues: dict[tuple[int, Any], deque[Call]] = {}  # (priority, key) -> calls, in order of arrival
        self._scheduled = False
        self._closing: InterchangeError | None = None
        self._idle: asyncio.Future[None] | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._delay = self.settings.max_delay_ms / 1000
        self._timeout = None if self.settings.timeout_ms is None else self.settings.timeout_ms / 1000

    # -- the queue ----------------------------------------------------------------------------------------------------
    def add(self, call: Call) -> None:
        """Queue a call. Raises ServingError IX643 when the queue is full, IX642 when this version is going away."""
        if self.waiting >= self.settings.max_queue:
            raise self._full()
        if self._closing is not None:
            raise self._closing
        call.queued = perf_counter_ns()
        if self._timeout is not None or call.deadline is not None:
            self._set_deadline(call)
        queue = self._queues.get(lane := (call.priority or DEFAULT_PRIORITY, call.key))
        if queue is None:
            queue = self._queues[lane] = deque()
        queue.append(call)
        self.waiting += 1
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._turn)

    def cancel(self, call: Call) -> None:
        """The client has gone: the call is not answered, and not run if it has not begun."""
        self._give_up(call, ServingError("IX646", "the client has gone"), tell=False)

    def _set_deadline(self, call: Call) -> None:
        own = None if self._timeout is None else self.loop.time() + self._timeout
        call.deadline = own if call.deadline is None else call.deadline if own is None else min(own, call.deadline)
        if not self.inline:  # an inline run is over before a timer could ring
            assert call.deadline is not None
            call.timer = self.loop.call_at(call.deadline, self._late, call)

    def _late(self, call: Call) -> None:
        self._give_up(call, self._too_late(call))

    def _too_late(self, call: Call) -> ServingError:
        waited = (perf_counter_ns() - call.received) / 1e9
        place = "in the queue" if call.state == WAITING else "until now, and the model is still running"
        return ServingError(
            "IX644",
            "the request was not answered in time",
            found=f"{waited:.3f} s {place}",
            expected=f"{(call.deadline or 0) - self.loop.time() + waited:.3f} s at most",
            fix="give it more time (the timeout parameter, or the model's timeout_ms), or send less at once",
        )

    def _give_up(self, call: Call, error: InterchangeError, tell: bool = True) -> None:
        if call.state == DONE:
            return
        if call.state == WAITING:
            self.waiting -= 1
            self._forget(call)
        self._end(call)
        self.statistics.failed(reason_of(error), perf_counter_ns() - call.received)
        if tell:
            call.fail(error)
        for batch in self.running:
            if call in batch.calls and all(c.state == DONE for c in batch.calls):
                self._terminate(batch)

    def _forget(self, call: Call) -> None:
        """Take a call out of its queue: who comes and goes while the model is busy must not fill the memory."""
        queue = self._queues.get(lane := (call.priority or DEFAULT_PRIORITY, call.key))
        if queue is not None and call in queue:
            queue.remove(call)
            if not queue:
                del self._queues[lane]

    def _end(self, call: Call) -> None:
        call.state = DONE
        if call.timer is not None:
            call.timer.cancel()
            call.timer = None

    def _full(self) -> ServingError:
        per_row = self.trial.seconds_per_row
        return ServingError(
            "IX643",
            "too many requests wait for this model",
            found=f"{self.waiting} waiting",
            expected=f"{self.settings.max_queue} at most",
            fix="send again later; the operator can raise max_queue, add workers, or use a faster model",
            retry_after=max(1.0, round(self.waiting * per_row, 3)),
        )

    # -- runs ---------------------------------------------------------------------------------------------------------
    def _turn(self) -> None:
        """Once in each turn of the loop in which something waits: start what can be started."""
        self._scheduled = False
        while self._queues and len(self.running) < self.settings.instances:
            lane = min(self._queues, key=self._order) if len(self._queues) > 1 else next(iter(self._queues))
            if self._delay and self._too_early(lane):
                return
            calls = self._take(lane)
            if calls:
                self._start(Batch(calls))
        if self._idle is not None and not self.running and not self._queues and not self._idle.done():
            self._idle.set_result(None)

    def _order(self, lane: tuple[int, Any]) -> tuple[int, int]:
        return lane[0], self._queues[lane][0].queued

    def _too_early(self, lane: tuple[int, Any]) -> bool:
        """Whether the oldest call of a lane still waits for company; the turn comes again when it has waited enough."""
        queue = self._queues[lane]
        rows = sum(c.rows for c in queue if c.state == WAITING)
        left = self._delay - (perf_counter_ns() - queue[0].queued) / 1e9
        if not self.trial.batching or rows >= self.trial.max_batch or left <= 0 or self._closing is not None:
            return False
        self._scheduled = True
        self.loop.call_later(left, self._turn)
        return True

    def _take(self, lane: tuple[int, Any]) -> list[Call]:
        """The next calls of a lane that fit into one run, without those that were given up or are late."""
        queue = self._queues[lane]
        limit = self.trial.max_batch if self.trial.batching else 0
        calls: list[Call] = []
        rows, now = 0, self.loop.time()
        while queue:
            call = queue[0]
            if call.state == DONE:
                queue.popleft()
                continue
            if call.deadline is not None and call.deadline <= now:
                queue.popleft()
                self._late(call)
                continue
            if calls and rows + call.rows > limit:
                break
            queue.popleft()
            calls.append(call)
            rows += call.rows
            call.state = RUNNING
        self.waiting -= len(calls)
        if not queue:
            del self._queues[lane]
        return calls

    def _start(self, batch: Batch) -> None:
        first = batch.calls[0]
        if self.inline and batch.rows * first.elements <= self.trial.inline_elements * first.rows:
            self._execute(batch)
            self._finished(batch)
            return
        from onnxruntime import RunOptions

        batch.options = RunOptions()
        self.running.add(batch)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.settings.instances, f"run-{self.served.name}")
        self._threads.submit(self._beside, batch)

    def _beside(self, batch: Batch) -> None:
        self._execute(batch)
        self.loop.call_soon_threadsafe(self._came_back, batch)

    def _came_back(self, batch: Batch) -> None:
        self.running.discard(batch)
        if batch.timer is not None:
            batch.timer.cancel()
        self._finished(batch)
        if not self._scheduled:
            self._turn()

    def _execute(self, batch: Batch) -> None:
        calls = batch.calls
        try:
            feeds = calls[0].feeds if len(calls) == 1 else self.trial.join(calls)
            now = perf_counter_ns()
            batch.input_ns = now - batch.started
            batch.outputs = self.model.execute(batch.wanted, feeds, batch.options)
            batch.done = perf_counter_ns()
        except InterchangeError as error:
            batch.error = error
        except MemoryError as error:
            batch.error = _no_memory(str(error))
        except Exception as error:  # whatever it is, it is told to the callers and ends nobody else
            batch.error = our_mistake(error)

    def _finished(self, batch: Batch) -> None:
        if batch.error is None and len(batch.calls) > 1 and any(o.shape[:1] != (batch.rows,) for o in batch.outputs):
            batch.error = RunError("IX611", "the rows of an output are not those of the batch")
        if batch.error is not None:
            self._failed(batch, batch.error)
            return
        compute_ns = batch.done - batch.started - batch.input_ns
        phases = self.statistics.phases
        phases["compute"].add(compute_ns, len(batch.calls))
        at = 0
        answered = []
        for call in batch.calls:
            before, at = at, at + call.rows
            if call.state == DONE:  # given up meanwhile
                continue
            self._end(call)
            call.batch = batch
            outputs = batch.outputs if len(batch.calls) == 1 else [o[before:at] for o in batch.outputs]
            try:
                call.finish(outputs)
            except Exception as error:  # as above: it ends neither the others of the batch nor the loop
                told = error if isinstance(error, InterchangeError) else our_mistake(error)
                self.statistics.failed(reason_of(told), perf_counter_ns() - call.received)
                call.fail(told)
                continue
            phases["queue"].add(batch.started - call.queued)
            phases["input"].add(call.decode_ns + batch.input_ns)
            answered.append(call)
        now = perf_counter_ns()
        output_ns = now - batch.done
        phases["output"].add(output_ns // len(batch.calls), len(batch.calls))
        for call in answered:
            phases["request"].add(now - call.received)
        self.statistics.ran(batch.rows, batch.input_ns, compute_ns, output_ns)
        batch.calls, batch.outputs = [], ()  # they know of it: in a ring the arrays would wait for the collector

    def _failed(self, batch: Batch, error: InterchangeError) -> None:
        """One call fails with the error; of several each is tried by itself, so that none fails for another's sake."""
        alive = [c for c in batch.calls if c.state != DONE]
        if len(batch.calls) > 1:
            for call in alive:
                call.state = RUNNING
                self._start(Batch([call]))
            return
        for call in alive:
            self._give_up(call, _explained(error))

    # -- runs that do not end -----------------------------------------------------------------------------------------
    def _terminate(self, batch: Batch) -> None:
        """Nobody waits for this run any more: tell the runtime to stop it, and look whether it did."""
        batch.options.terminate = True
        batch.timer = self.loop.call_later(STOP_SECONDS, self._wedged, batch)

    def _wedged(self, batch: Batch) -> None:
        # the thread cannot be ended; whoever runs the server may replace the process, until then another thread serves
        self.running.discard(batch)
        self._threads = None
        if self.on_wedged is not None:
            self.on_wedged(self.served)
        self._turn()

    # -- the end ------------------------------------------------------------------------------------------------------
    async def close(self, error: InterchangeError | None = None) -> None:
        """Take no more calls; answer those that wait, or fail them with `error`; return when nothing runs."""
        self._closing = error or ServingError(
            "IX642",
            "this version of the model is going away",
            found=f"{self.served.name} version {self.served.version}",
            expected="a version that is served",
            fix="send the request again",
            retry_after=1,
        )
        if error is not None:
            for queue in list(self._queues.values()):
                for call in list(queue):
                    self._give_up(call, error)
        self._idle = self.loop.create_future()
        self._turn()
        await self._idle
        if self._threads is not None:
            self._threads.shutdown(wait=False)


def our_mistake(error: Exception) -> ServingError:
    """IX648: an exception that nobody foresaw, as the callers are told of it."""
    return ServingError(
        "IX648",
        "the server made a mistake",
        found=f"{type(error).__name__}: {error}"[:200],
        expected="an answer",
        fix="report it, with the request",
    )


def _no_memory(text: str) -> ServingError:
    return ServingError(
        "IX647",
        "there is not enough memory for this run",
        found=text[:200],
        expected="memory for the inputs and everything that is computed from them",
        fix="send a smaller batch",
        retry_after=1,
    )


def _explained(error: InterchangeError) -> InterchangeError:
    memory = isinstance(error, RunError) and error.found is not None and "allocate" in error.found
    return _no_memory(error.found or "") if memory else error
