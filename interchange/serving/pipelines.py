"""Several models in one request: a pipeline is served as a model, and its steps are the models that are served anyway.

A step's call is an ordinary call of its model: steps of requests that come together share runs, wait in the same
queues, and obey the deadline of the request. Steps that do not need each other run at the same time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from interchange.dtypes import Array
from interchange.errors import InterchangeError
from interchange.protocol.errors import ServingError, reason_of, text_of
from interchange.runtime.errors import InputsError, problem
from interchange.runtime.inputs import Inputs
from interchange.runtime.model import Model
from interchange.serving.batching import our_mistake
from interchange.serving.calls import DONE, RUNNING, Call
from interchange.serving.served import Served
from interchange.serving.settings import ModelSettings
from interchange.serving.trial import Trial
from interchange.serving.wiring import Description, PipelineError, Source, Step, check, needed_for, read

if TYPE_CHECKING:
    from interchange.runtime.signature import Signature
    from interchange.serving.engine import Engine

VERSION = "1"
PLATFORM = "interchange_pipeline"

_log = logging.getLogger("interchange.serving")


class Composite(Model):
    """What a pipeline takes and gives, and the checks of its inputs: a model that has no session of its own."""

    def __init__(self, name: str, signature: Signature) -> None:  # nothing of Model's is loaded
        self.inputs, self.outputs, self.dims = signature.inputs, signature.outputs, signature.dims
        self.state, self.guards, self.evidence = {}, (), None
        self.metadata, self.opsets = {}, {}
        self.ir_version, self.doc, self.name = 0, "", name
        self._inputs = Inputs(signature)


class Pipeline(Served):
    """A pipeline that can be asked: all of its steps are there and fit together."""

    platform = PLATFORM
    composed = True

    def __init__(self, described: Description, signature: Signature, engine: Engine) -> None:
        settings = _settings(engine)
        super().__init__(described.name, VERSION, Composite(described.name, signature), settings)
        self.described, self.engine = described, engine
        self.signature = _as_text(signature)
        sizes = {n: max(low, 1) for n, (low, _) in signature.dims.items()}
        self.trial = Trial(why="its steps share runs, each by itself", sizes=sizes)

    def open(self, loop: asyncio.AbstractEventLoop, on_wedged: Callable[[Served], None] | None = None) -> None:
        """Begin to take calls."""
        self.batcher = Conductor(self, loop)

    def scheduling(self) -> dict[str, Any]:
        """The steps as Triton's ModelEnsembling: tensors by name, those of the pipeline under its own names."""
        names = {source: name for name, source in self.described.outputs.items()}
        read = {s for step in self.described.steps.values() for s in step.inputs.values()} | names.keys()
        return {
            "step": [
                {
                    "model_name": step.model,
                    "model_version": step.version or "-1",
                    "input_map": {n: names.get(s, str(s)) for n, s in step.inputs.items()},
                    "output_map": {s.name: names.get(s, str(s)) for s in sorted(read) if s.step == step.name},
                    "model_namespace": "",
                }
                for step in self.described.steps.values()
            ]
        }


def _settings(engine: Engine) -> ModelSettings:
    """What of the defaults is for a pipeline as a whole; batching, caching and padding are its steps'."""
    defaults = engine.settings.defaults
    return ModelSettings(max_queue=defaults.max_queue, timeout_ms=defaults.timeout_ms, batching=False)


def _as_text(signature: Signature) -> Any:
    lines = [str(s) + ("?" if s.optional else "") for s in (*signature.inputs.values(), *signature.outputs.values())]
    return lines, signature.dims


# -- one request -----------------------------------------------------------------------------------------------------
class Conductor:
    """Takes the calls of a pipeline through its steps. waiting: none ever does here. running: the calls under way."""

    def __init__(self, pipeline: Pipeline, loop: asyncio.AbstractEventLoop) -> None:
        self.pipeline, self.loop = pipeline, loop
        self.waiting = 0
        self.inline = False
        self.running: dict[Call, _Flow] = {}
        self._needed: dict[Sequence[str], tuple[dict[str, Step], dict[str, tuple[str, ...]]]] = {}
        self._closing: InterchangeError | None = None
        self._idle: asyncio.Future[None] | None = None

    def add(self, call: Call) -> None:
        """Start the steps that need nothing else. Raises what their models raise, with the step named; IX643, IX642."""
        if self._closing is not None:
            raise self._closing
        settings = self.pipeline.settings
        if len(self.running) >= settings.max_queue:
            raise ServingError(
                "IX643",
                "too many requests are in this pipeline",
                found=f"{len(self.running)} under way",
                expected=f"{settings.max_queue} at most",
                fix="send again later; the operator can raise max_queue",
                retry_after=1,
            )
        call.state, call.queued = RUNNING, perf_counter_ns()
        if settings.timeout_ms is not None:
            own = self.loop.time() + settings.timeout_ms / 1000
            call.deadline = own if call.deadline is None else min(own, call.deadline)
        flow = self.running[call] = _Flow(self, call, *self._steps_for(call.wanted))
        try:
            flow.start()
        except BaseException:
            flow.stop()
            self._over(call)
            raise

    def _steps_for(self, wanted: Sequence[str]) -> tuple[dict[str, Step], dict[str, tuple[str, ...]]]:
        """The steps that these outputs need, and which outputs of each."""
        wanted = tuple(wanted)
        known = self._needed.get(wanted)
        if known is None:
            described = self.pipeline.described
            asked = [described.outputs[n] for n in wanted]
            names = needed_for(described, asked)
            steps = {n: s for n, s in described.steps.items() if n in names}
            asked += [s for step in steps.values() for s in step.inputs.values()]
            outputs = {n: tuple(dict.fromkeys(s.name for s in asked if s.step == n)) for n in steps}
            known = self._needed[wanted] = steps, outputs
        return known

    def cancel(self, call: Call) -> None:
        """The client has gone: its steps are given up."""
        self._give_up(call, ServingError("IX646", "the client has gone"), tell=False)

    def answered(self, call: Call, outputs: Sequence[Array], begun: int) -> None:
        """The last step that a call needs is done."""
        done = perf_counter_ns()
        self._over(call)
        statistics = self.pipeline.statistics
        try:
            call.finish(outputs)
        except Exception as error:  # a mistake in one answer is nobody else's
            told = error if isinstance(error, InterchangeError) else our_mistake(error)
            statistics.failed(reason_of(told), perf_counter_ns() - call.received)
            call.fail(told)
            return
        now = perf_counter_ns()
        phases = statistics.phases
        phases["queue"].add(0)
        phases["input"].add(call.decode_ns)
        phases["compute"].add(done - begun)
        phases["output"].add(now - done)
        phases["request"].add(now - call.received)
        statistics.ran(1, 0, done - begun, now - done)

    def failed(self, call: Call, error: InterchangeError) -> None:
        """A step gave no answer."""
        self._give_up(call, error)

    def _give_up(self, call: Call, error: InterchangeError, tell: bool = True) -> None:
        flow = self.running.get(call)
        if flow is None:
            return
        self._over(call)
        flow.stop()
        self.pipeline.statistics.failed(reason_of(error), perf_counter_ns() - call.received)
        if tell:
            call.fail(error)

    def _over(self, call: Call) -> None:
        call.state = DONE
        self.running.pop(call, None)
        if self._idle is not None and not self.running and not self._idle.done():
            self._idle.set_result(None)

    async def close(self, error: InterchangeError | None = None) -> None:
        """Take no more calls; return when those under way are answered, or fail them with `error`."""
        self._closing = error or ServingError(
            "IX642",
            "this pipeline is going away",
            found=self.pipeline.name,
            expected="a pipeline that is served",
            fix="send the request again",
            retry_after=1,
        )
        if error is not None:
            for call in list(self.running):
                self._give_up(call, error)
        self._idle = self.loop.create_future()
        if not self.running:
            self._idle.set_result(None)
        await self._idle


class _Flow:
    """One call on its way through the steps. values: what is known by now."""

    __slots__ = ("begun", "call", "conductor", "left", "outputs", "started", "steps", "values")

    def __init__(
        self, conductor: Conductor, call: Call, steps: Mapping[str, Step], outputs: Mapping[str, tuple[str, ...]]
    ) -> None:
        self.conductor, self.call, self.steps, self.outputs = conductor, call, steps, outputs
        self.values: dict[Source, Array] = {Source("", n): a for n, a in call.feeds.items()}
        self.left = {n: len(s.needs) for n, s in steps.items()}  # step -> how many it still waits for
        self.started: dict[str, tuple[Served, _StepCall]] = {}
        self.begun = perf_counter_ns()

    def start(self) -> None:
        for name in [n for n, count in self.left.items() if not count]:
            self._begin(self.steps[name])

    def _begin(self, step: Step) -> None:
        del self.left[step.name]
        try:
            served = self.conductor.pipeline.engine.choose(step.model, step.version)
            feeds = {n: self.values[s] for n, s in step.inputs.items() if s in self.values}
            wanted = self.outputs[step.name]
            # the very tuple, so that it shares runs with requests for all outputs
            call = _StepCall(self, step, feeds, served.output_names if wanted == served.output_names else wanted)
            served.submit(call)
        except InterchangeError as error:
            raise _in_step(step, error) from error
        self.started[step.name] = served, call

    def finished(self, step: Step, names: Sequence[str], outputs: Sequence[Array]) -> None:
        """A step is done: begin those that waited for it, or answer."""
        del self.started[step.name]
        self.values |= {Source(step.name, n): o for n, o in zip(names, outputs, strict=True)}
        try:
            for name in list(self.left):
                if step.name in self.steps[name].needs:
                    self.left[name] -= 1
                    if not self.left[name]:
                        self._begin(self.steps[name])
        except InterchangeError as error:
            self.conductor.failed(self.call, error)
            return
        if not self.left and not self.started:
            wanted = self.conductor.pipeline.described.outputs
            self.conductor.answered(self.call, [self.values[wanted[n]] for n in self.call.wanted], self.begun)

    def stop(self) -> None:
        """Give up what runs."""
        started, self.started = self.started, {}
        for served, call in started.values():
            served.cancel(call)


class _StepCall(Call):
    """A call of a step's model."""

    __slots__ = ("flow", "step")

    def __init__(self, flow: _Flow, step: Step, feeds: Mapping[str, Array], wanted: Sequence[str]) -> None:
        super().__init__(feeds, wanted, priority=flow.call.priority, deadline=flow.call.deadline)
        self.flow, self.step = flow, step

    def finish(self, outputs: Sequence[Array]) -> None:
        """Go on with the next steps."""
        self.flow.finished(self.step, self.wanted, outputs)

    def fail(self, error: InterchangeError) -> None:
        """The whole request fails, with the step named."""
        flow = self.flow
        del flow.started[self.step.name]
        flow.conductor.failed(flow.call, _in_step(self.step, error))


def _in_step(step: Step, error: InterchangeError) -> InterchangeError:
    """An error of a step's model, as one of the pipeline: the same code and status, the step named."""
    where = f"step {step.name}"  # not its model: who may ask the pipeline may not know of that
    if isinstance(error, InputsError):
        return InputsError(
            [
                problem(p.code, f"{where}: {p.message}", p.found or "", p.expected or "", p.fix or "")
                for p in error.problems
            ]
        )
    again = error.retry_after if isinstance(error, ServingError) else None
    parts = {"found": error.found, "expected": error.expected, "fix": error.fix}
    return ServingError(error.code, f"{where}: {error.message}", retry_after=again, **parts)


# -- all of them -----------------------------------------------------------------------------------------------------
class Pipelines:
    """The pipelines of the settings: served while their steps are there and fit, looked at again when these change.

    problems: name -> what is wrong with it. One whose file has become wrong is served as it was, while that fits.
    closing: what was replaced and still answers.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.problems: dict[str, InterchangeError] = {}
        self._files: dict[str, Path] = {}
        self._read: dict[str, tuple[tuple[int, ...], Description | PipelineError]] = {}
        self._unloaded: set[str] = set()
        self.closing: set[asyncio.Task[None]] = set()
        engine.listeners.append(self._changed)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    async def follow(self, files: Mapping[str, Path] | None = None) -> None:
        """Serve the pipelines of these files, as they are now. None: of the same ones as before."""
        before, self._files = self._files, dict(self._files if files is None else files)
        for name in before.keys() - self._files.keys():
            self._read.pop(name, None)
            self.problems.pop(name, None)
            self._unloaded.discard(name)
            self._serve(name, None)
        changed = [n for n, path in self._files.items() if n not in self._read or self._read[n][0] != _stamp(path)]
        for name in changed:
            stamp = _stamp(self._files[name])
            self._read[name] = stamp, await asyncio.to_thread(_attempt, partial(read, self._files[name], name))
        for name in changed:
            self._check(name)

    async def load(self, name: str) -> None:
        """Read a pipeline's file again. Raises PipelineError with what is wrong with it."""
        self._unloaded.discard(name)
        self._read.pop(name, None)
        await self.follow()
        if name in self.problems:
            raise self.problems[name].with_traceback(None)

    async def unload(self, name: str) -> None:
        """Serve a pipeline no longer, until `load`. Returns when its last request is answered."""
        self._unloaded.add(name)
        self._check(name)
        await asyncio.gather(*self.closing)

    def index(self) -> list[dict[str, str]]:
        """Name, version, state and reason of each."""
        return [
            {
                "name": name,
                "version": VERSION,
                "state": "READY" if self._own(name) is not None else "UNAVAILABLE",
                "reason": self._reason(name),
            }
            for name in self._files
        ]

    def unavailable(self, name: str, version: str = "") -> ServingError | None:
        """Why a pipeline is not served: IX642; None for a version that none has."""
        if version not in ("", VERSION):
            return None
        return ServingError(
            "IX642",
            f"pipeline {name!r} is not ready",
            found=self._reason(name),
            expected="READY",
            fix="tell the operator of the server",
        )

    def _reason(self, name: str) -> str:
        problem = self.problems.get(name)
        if problem is None:
            return "unloaded" if name in self._unloaded else ""
        problems = problem.problems if isinstance(problem, PipelineError) else (problem,)
        told = "; ".join(f"{p.where}: {text_of(p)}" if p.where else text_of(p) for p in problems)
        return told if self._own(name) is None else f"{told}; what was served before it still answers"

    # -- one of them --------------------------------------------------------------------------------------------------
    def _changed(self, model: str) -> None:
        """The versions of a model are others now: what it is a step of is looked at again."""
        for name in [n for n, d in self._descriptions() if model in d.models]:
            self._check(name)

    def _descriptions(self) -> Iterator[tuple[str, Description]]:
        """What the files say, and what is served although they say something else by now."""
        for name, (_, described) in self._read.items():
            own = self._own(name)
            if isinstance(described, Description):
                yield name, described
            elif own is not None:
                yield name, own.described

    def _check(self, name: str) -> None:
        """Serve a pipeline if it fits the models of now; tell why where it does not."""
        described, own, known = self._read[name][1], self._own(name), self.problems.pop(name, None)
        if name in self._unloaded:
            self._serve(name, None)
            return
        try:
            if isinstance(described, PipelineError):
                raise described
            self._take(described)
            return
        except InterchangeError as error:
            self.problems[name] = error.with_traceback(None)
            error.__cause__ = error.__context__ = None
        try:
            if own is None or own.described is described:
                self._serve(name, None)
            else:
                self._take(own.described)
        except InterchangeError:  # told is what is wrong with the newer one
            self._serve(name, None)
        if known is None or text_of(known) != text_of(self.problems[name]):
            _log.warning("pipeline %s: %s", name, self._reason(name))

    def _take(self, described: Description) -> None:
        """Serve a pipeline, if it is not what is served already. Raises PipelineError."""
        name = described.name
        self._must_be_free(described)
        signature = check(described, self.engine.find)
        own = self._own(name)
        if own is None or own.described != described or own.signature != _as_text(signature):
            self._serve(name, Pipeline(described, signature, self.engine))

    def _must_be_free(self, described: Description) -> None:
        name = described.name
        if any(not isinstance(s, Pipeline) for s in self.engine.models.get(name, {}).values()):
            problem = ServingError(
                "IX690",
                f"there is a model named {name} already",
                where=described.file,
                found=f"a pipeline and a model named {name}",
                expected="a name of its own",
                fix="rename the pipeline in the setting `pipelines`",
            )
            raise PipelineError([problem])
        ring = self._ring(name, (name,))
        if ring:
            problem = ServingError(
                "IX694",
                "pipelines are steps of each other",
                where=described.file,
                found=" <- ".join(ring),
                expected="steps that can be done one after another",
                fix="take one of these steps out",
            )
            raise PipelineError([problem])

    def _ring(self, name: str, path: tuple[str, ...]) -> tuple[str, ...]:
        """The way from a pipeline back to itself, through pipelines that are its steps."""
        described = dict(self._descriptions()).get(name)
        for model in sorted(described.models) if described is not None else ():
            if model == path[0]:
                return (*path, model)
            if model not in path and (found := self._ring(model, (*path, model))):
                return found
        return ()

    def _own(self, name: str) -> Pipeline | None:
        served = self.engine.models.get(name, {}).get(VERSION)
        return served if isinstance(served, Pipeline) else None

    def _serve(self, name: str, pipeline: Pipeline | None) -> None:
        if pipeline is None and self._own(name) is None:
            return
        for old in self.engine.replace(name, () if pipeline is None else (pipeline,)):
            task = asyncio.get_running_loop().create_task(old.close())
            self.closing.add(task)
            task.add_done_callback(self.closing.discard)
        if pipeline is not None:
            _log.info("pipeline %s is ready", name)


def _attempt(function: Callable[[], Description]) -> Description | PipelineError:
    try:
        return function()
    except PipelineError as error:
        return error.with_traceback(None)


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_size, status.st_mtime_ns, status.st_ino
