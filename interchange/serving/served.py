"""One version of a model, loaded, tried and ready: what the doors see of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from interchange.dims import Dim
from interchange.dtypes import Array, DType, name_of
from interchange.errors import InterchangeError
from interchange.protocol.datatypes import DATATYPES
from interchange.protocol.errors import ServingError
from interchange.serving.statistics import Statistics

if TYPE_CHECKING:
    from interchange.runtime import Model, ValueSpec
    from interchange.serving.batching import Batcher
    from interchange.serving.calls import Call
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


class Served:
    """One version of a model. `submit` is called on the engine's thread only."""

    def __init__(self, name: str, version: str, model: Model, settings: ModelSettings) -> None:
        self.name, self.version, self.model, self.settings = name, version, model, settings
        self.inputs = {n: Port.of(s) for n, s in model.inputs.items()}
        self.outputs = {n: Port.of(s) for n, s in model.outputs.items()}
        self.output_names = tuple(self.outputs)
        self.statistics = Statistics()
        self.batcher: Batcher  # the next two are set when it was tried: `interchange.serving.trial`
        self.trial: Trial
        self._admitted: dict[tuple[Any, ...], Admitted] = {}

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
        call.rows, key, call.elements = self.admit(call.feeds)
        # equal keys share a run: the same shapes but for the rows, and the same outputs
        call.key = key if call.wanted is self.output_names else (key, *call.wanted)
        if not key:
            call.key = (id(call),)
        self.batcher.add(call)

    def metadata(self, versions: list[str]) -> dict[str, Any]:
        """The protocol's model metadata."""
        return {
            "name": self.name,
            "versions": versions,
            "platform": PLATFORM,
            "inputs": [p.metadata() for p in self.inputs.values()],
            "outputs": [p.metadata() for p in self.outputs.values()],
        }

    async def close(self, error: InterchangeError | None = None) -> None:
        """Take no more calls, wait for those that run; the waiting ones are answered, or fail with `error`."""
        await self.batcher.close(error)
