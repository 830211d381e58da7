"""One version of a model, loaded, tried and ready: what the doors see of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from interchange.dims import Dim
from interchange.dtypes import Array, DType, name_of
from interchange.errors import InterchangeError
from interchange.protocol.datatypes import DATATYPES
from interchange.protocol.errors import ServingError
from interchange.serving.batching import Batcher
from interchange.serving.calls import DONE, Call
from interchange.serving.statistics import Statistics

if TYPE_CHECKING:
    from interchange.runtime import Model, ValueSpec
    from interchange.serving.settings import ModelSettings
    from interchange.serving.trial import Trial

PLATFORM = "onnx_onnxv1"  # the specification's name for ONNX files
_REMEMBERED = 1024  # combinations of shapes that are known to be right


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output in the protocol's terms. shape: -1 where a size is open; the batch axis is in it.

    spec: the model's own line, with the names of its sizes.
    """

    name: str
    datatype: str
    dtype: DType
    shape: tuple[int, ...]
    spec: ValueSpec
    optional: bool = False

    @classmethod
    def of(cls, spec: ValueSpec) -> Port:
        """Raises ServingError IX665 for a type that the protocol has no name for."""
        datatype = DATATYPES.get(spec.dtype) if spec.kind == "tensor" else None
        if datatype is None:
            raise ServingError(
                "IX665",
                f"{spec.name} has a type that the protocol cannot carry",
                found=spec.kind if spec.kind != "tensor" else name_of(spec.dtype),
                expected=", ".join(DATATYPES.values()),
                fix="cast it inside of the model, or put a model before or behind it that does",
            )
        shape = tuple(-1 if isinstance(d, Dim) else int(d) for d in spec.shape)
        return cls(spec.name, datatype, spec.dtype, shape, spec, spec.optional)

    def metadata(self) -> dict[str, Any]:
        """As the protocol's metadata has it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


class Admitted(NamedTuple):
    """What is known of a combination of input shapes that fits the model."""

    rows: int
    key: int  # inputs of one key may share a run; 0: always alone
    elements: int  # over all inputs


class Stage(Protocol):
    """What a call goes through before it is queued: the response cache, padding, the copy for a shadow."""

    def take(self, call: Call) -> Call | None:
        """The call that goes on, mostly the same, or a `Relay`; None: this one is answered. Raises InterchangeError."""


class Queue(Protocol):
    """What runs the calls of a version: `Batcher`, or the steps of a pipeline."""

    waiting: int
    inline: bool  # on the loop's own thread, where that is quick enough

    @property
    def running(self) -> Collection[Any]:
        """What runs now."""

    def add(self, call: Call) -> None:
        """Take a call. Raises ServingError IX643, IX642."""

    def cancel(self, call: Call) -> None:
        """The client has gone."""

    async def close(self, error: InterchangeError | None = None) -> None:
        """Take no more calls, and return when all are answered."""


class Served:
    """One version of a model. `submit` is called on the engine's thread only.

    own_stages: what the settings of this version ask for.  stages: with those that other versions ask for.
    """

    platform = PLATFORM
    composed = False  # of other models that are served

    def __init__(self, name: str, version: str, model: Model, settings: ModelSettings) -> None:
        self.name, self.version, self.model, self.settings = name, version, model, settings
        self.inputs = {n: Port.of(s) for n, s in model.inputs.items()}
        self.outputs = {n: Port.of(s) for n, s in model.outputs.items()}
        self.output_names = tuple(self.outputs)
        self.statistics = Statistics()
        self.batcher: Queue  # of `open`
        self.trial: Trial  # of `interchange.serving.trial`, as the stages are
        self.own_stages: tuple[Stage, ...] = ()
        self.stages: tuple[Stage, ...] = ()
        self.forms: dict[bytes, Any] = {}  # of binary requests over HTTP: `interchange.serving.http.infer.Form`
        self.heads: dict[tuple[str, tuple[int, ...]], bytes] = {}  # of answers in JSON, by output and shape
        self._admitted: dict[tuple[Any, ...], Admitted] = {}

    def open(self, loop: asyncio.AbstractEventLoop, on_wedged: Callable[[Served], None] | None = None) -> None:
        """Begin to take calls on a loop.  on_wedged: see `Batcher`."""
        self.batcher = Batcher(self, loop, on_wedged)

    def admit(self, feeds: Mapping[str, Array]) -> Admitted:
        """Whether arrays of the right dtypes fit the signature, with its bounds and guards.

        Raises InputsError with all that does not.
        """
        shapes = tuple([(n, a.shape) for n, a in feeds.items()])
        known = self._admitted.get(shapes)
        if known is None:
            self.model.prepare(feeds)
            known = self.trial.admitted(shapes)
            if len(self._admitted) < _REMEMBERED:
                self._admitted[shapes] = known
        return known

    def submit(self, call: Call) -> None:
        """Queue a call, whose feeds have the right dtypes. Its `finish` or `fail` is called later, once.

        Raises InputsError, and ServingError IX643 for a full queue.
        """
        if self.stages:
            for stage in self.stages:
                taken = stage.take(call)
                if taken is None:
                    return
                call = taken
        call.rows, key, call.elements = self.admit(call.feeds)
        # equal keys share a run: the same shapes but for the rows, and the same outputs
        call.key = key if call.wanted is self.output_names else (key, *call.wanted)
        if not key:
            call.key = (id(call),)
        self.batcher.add(call)

    def cancel(self, call: Call) -> None:
        """The client has gone: a submitted call is not answered, and not run if it has not begun."""
        if call.state == DONE:
            return
        while call.relay is not None:
            call.state = DONE
            call = call.relay
            del call.origin
        self.batcher.cancel(call)

    def metadata(self, versions: list[str]) -> dict[str, Any]:
        """The protocol's model metadata."""
        return {
            "name": self.name,
            "versions": versions,
            "platform": self.platform,
            "inputs": [p.metadata() for p in self.inputs.values()],
            "outputs": [p.metadata() for p in self.outputs.values()],
        }

    def wanted(self, names: Sequence[str] | None) -> Sequence[str]:
        """The outputs of these names; all of them for None or no name. Raises ServingError IX637, IX635."""
        if not names:
            return self.output_names
        names = (names,) if isinstance(names, str) else tuple(names)
        for at, name in enumerate(names):
            if name not in self.outputs:
                raise unknown_output(name, self)
            if name in names[:at]:
                raise twice("output", name)
        return names

    async def close(self, error: InterchangeError | None = None) -> None:
        """Take no more calls, wait for those that run; the waiting ones are answered, or fail with `error`."""
        await self.batcher.close(error)


def unknown_output(name: str, served: Served) -> ServingError:
    """The error for an output that the model has not."""
    return ServingError(
        "IX637",
        f"the model has no output {name!r}",
        found=name or "an empty name",
        expected=", ".join(served.outputs),
        fix="use the names of the model's outputs, or leave `outputs` out for all of them",
    )


def twice(kind: str, name: str) -> ServingError:
    """The error for an input or output that is named twice."""
    return ServingError(
        "IX635",
        f"{kind} {name!r} is there twice",
        input=name if kind == "input" else None,
        found=f"two {kind}s named {name}",
        expected="each name once",
        fix="send it once",
    )
