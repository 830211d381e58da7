"""Before a model is served it is tried: does it answer, how fast, and may its requests share a run?"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from interchange.dims import Dim, Spec, symbols
from interchange.dtypes import Array, is_float, is_integer, string
from interchange.errors import InterchangeError
from interchange.parity.compare import compare
from interchange.protocol.errors import ServingError
from interchange.sampling import random_array, sample_sizes
from interchange.serving.caching import open_cache
from interchange.serving.padding import open_padding
from interchange.serving.served import Admitted, Served

if TYPE_CHECKING:
    from interchange.graph.core import Graph, ModelIR
    from interchange.runtime import Model
    from interchange.serving.calls import Call
    from interchange.serving.settings import ModelSettings

TRIAL_SECONDS = 60.0  # a model whose trial takes longer is not served
INLINE_SECONDS = 0.001  # a run that is shorter than this costs less than handing it to a thread and back
PARTS = (1, 2, 3)  # rows of the requests that are tried apart and together
# operators whose work is decided by the values they are fed, with the places of those inputs
_SIZED_BY_VALUES = {
    "Loop": (0,), "Range": (0, 1, 2), "ConstantOfShape": (0,), "Tile": (1,), "Expand": (1,), "OneHot": (1,),
    "Resize": (2, 3), "Upsample": (1,), "Pad": (1,),
}  # fmt: skip


@dataclass
class Trial:
    """What was found out about a model.

    inline: short enough for the loop's own thread, up to `inline_elements` input elements for each `rows` tried.
    batching: requests may share a run, of `max_batch` rows at most; `why` tells how that is known, or why not.
    seconds: rows -> seconds of one run.
    sizes: those of the self-inference.
    """

    inline: bool = False
    inline_elements: int = 0
    batching: bool = False
    max_batch: int = 1
    why: str = ""
    seconds: dict[int, float] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    _keys: dict[tuple[tuple[str, tuple[int, ...]], ...], int] = field(default_factory=dict)

    @property
    def seconds_per_row(self) -> float:
        """Of the largest batch that was tried."""
        rows = max(self.seconds, default=1)
        return self.seconds.get(rows, 0.0) / rows

    def admitted(self, shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> Admitted:
        """What a batcher must know of inputs of these shapes, which fit the model."""
        elements = sum(math.prod(shape) for _, shape in shapes)
        if not self.batching:
            return Admitted(1, 1, elements)
        rows = {shape[0] for _, shape in shapes}
        if rows == {0} or len(rows) > 1:  # nothing to join, or inputs without a common axis of rows: always alone
            return Admitted(1, 0, elements)
        key = self._keys.setdefault(tuple([(n, shape[1:]) for n, shape in shapes]), len(self._keys) + 1)
        return Admitted(rows.pop(), key, elements)

    def join(self, calls: Sequence[Call]) -> dict[str, Array]:
        """The feeds of several calls as one, row after row."""
        return {n: np.concatenate([c.feeds[n] for c in calls]) for n in calls[0].feeds}


def open_served(
    name: str, version: str, path: str | os.PathLike[str], settings: ModelSettings, *, workers: int = 1
) -> Served:
    """Check, load and try a model; blocking. workers: serving processes which share the cores.

    Raises InterchangeError: what the checker and the loader say; IX665 for a type the protocol has no name for; IX666
    when it does not answer.
    """
    cores = len(os.sched_getaffinity(0))
    threads = settings.threads or max(1, cores // (workers * settings.instances))
    options = {"session.intra_op.allow_spinning": "0"} if workers * settings.instances > 1 else {}
    if settings.weights == "shared":
        options["session.disable_prepacking"] = "1"  # what is packed is a copy; what is mapped is shared
    from interchange.runtime import load

    opened = partial(load, os.fspath(path), allow_unranked=settings.allow_unranked, options=options)
    served = Served(name, version, opened(threads=1), settings)
    with served.model.within(TRIAL_SECONDS):
        quick, feeds = _try(served, path)
    if threads > 1 and not quick:
        served.model = opened(check=False, threads=threads)
        with served.model.within(TRIAL_SECONDS):
            _measure(served, served.trial, feeds)
    return served


def _try(served: Served, path: str | os.PathLike[str]) -> tuple[bool, dict[str, Array]]:
    """Find out everything; whether the model is for the loop's own thread, and what it was fed."""
    from interchange.graph import files

    settings, model = served.settings, served.model
    trial = served.trial = Trial()
    feeds = _self_inference(served, trial)
    trial.batching, trial.why = _may_batch(served)
    if trial.batching:
        highs = (model.dims[str(s.shape[0])][1] for s in model.inputs.values())
        trial.max_batch = min([settings.max_batch, *(h for h in highs if h is not None)])
    _measure(served, trial, feeds)
    ir = files.load(path)
    padding = open_padding(served, feeds if settings.sample is not None else None)
    cache = open_cache(served, ir, feeds) if settings.cache else None
    served.own_stages = tuple(stage for stage in (cache, padding) if stage is not None)
    quick = max(trial.seconds.values()) <= INLINE_SECONDS and not sized_by_values(ir)
    trial.inline = settings.execution == "inline" or (settings.execution == "auto" and quick)
    return trial.inline, feeds


def _self_inference(served: Served, trial: Trial) -> dict[str, Array]:
    """Run the model once, on zeros or on the sample of the settings; returns what it was fed."""
    try:
        if served.settings.sample is not None:
            feeds = _sample(served.settings.sample, served.model)
        else:
            trial.sizes = served.model.warm_up()
            feeds = served.model.zeros(trial.sizes)
        served.model.run(feeds)
    except InterchangeError as error:
        raise ServingError(
            "IX666",
            "the model did not answer when it was tried",
            found=f"{error.code}: {error.message}" + (f": {error.found}" if error.found else ""),
            expected="an answer for zeros, at small sizes",
            fix="name inputs that it takes: sample = 'inputs.npz' in the model's settings",
        ) from error
    return feeds


def _sample(path: Path, model: Model) -> dict[str, Array]:
    try:
        with np.load(path) as arrays:
            return model.prepare({n: arrays[n] for n in arrays.files})
    except (OSError, ValueError, KeyError) as error:
        raise ServingError(
            "IX666",
            "the sample of the model cannot be read",
            found=f"{path.name}: {error}",
            expected="an .npz file with an array for each input",
            fix="write it with numpy.savez(path, x=...)",
        ) from None


def _measure(served: Served, trial: Trial, feeds: Mapping[str, Array]) -> None:
    """Seconds of a run, of one request and of the largest batch; and how many elements that was."""
    for rows in sorted({1, trial.max_batch}):
        fed = {n: np.concatenate([a[:1]] * rows) for n, a in feeds.items()} if trial.batching else dict(feeds)
        trial.inline_elements = sum(a.size for a in fed.values())
        times = []
        for _ in range(3):
            begin = perf_counter()
            served.model.execute(served.output_names, fed)
            times.append(perf_counter() - begin)
        trial.seconds[rows] = statistics.median(times)
        if trial.seconds[rows] > INLINE_SECONDS:
            break  # it is not for the loop's thread, so more need not be known


# -- batching -------------------------------------------------------------------------------------------------------
def _may_batch(served: Served) -> tuple[bool, str]:
    """Whether the rows of a batch are computed independently of each other, and how that is known."""
    settings, model = served.settings, served.model
    if settings.batching is False or settings.max_batch < 2:
        return False, "off in the settings"
    if not model.inputs or any(p.optional for p in model.inputs.values()):
        return False, "it has no inputs" if not model.inputs else "an input is optional"
    for spec in (*model.inputs.values(), *model.outputs.values()):
        if not spec.shape or not isinstance(spec.shape[0], Dim):
            return False, f"the first axis of {spec.name} is not open"
        if spec.name in model.inputs and not str(spec.shape[0]).isidentifier():
            return False, f"the first axis of {spec.name} is {spec.shape[0]}"
    axes = {str(s.shape[0]) for s in model.inputs.values()}
    for guard in model.guards:
        if axes & {str(s) for s in symbols(guard.condition.expr)}:
            return False, f"the model is valid only where {guard.condition}"
    if any(
        axes & {str(s) for s in symbols(d)} for p in model.inputs.values() for d in p.shape[1:] if isinstance(d, Dim)
    ):
        return False, "another axis of an input depends on the number of rows"
    if settings.batching:
        return True, "on in the settings"
    try:
        return _tried_apart_and_together(served, axes)
    except InterchangeError as error:
        return False, f"the trial of a batch failed: {error.code}: {error.message}"


def _tried_apart_and_together(served: Served, axes: set[str]) -> tuple[bool, str]:
    model, rng = served.model, np.random.default_rng(20)
    for spread in (100, 1):  # the range of whole numbers; an index into a small table admits only few
        tried = 0
        for sizes in sample_sizes({n: b for n, b in model.dims.items() if n not in axes}, (), 2):
            if any(low > min(PARTS) for low, _ in (model.dims[a] for a in axes)):
                return False, "the model needs more than one row"
            parts = [_random_rows(model, {**sizes, **dict.fromkeys(axes, n)}, rng, n, spread) for n in PARTS]
            try:
                apart = [model.run(part) for part in parts]
            except InterchangeError:
                break
            together = model.run({n: np.concatenate([p[n] for p in parts]) for n in model.inputs})
            for name, joined in together.items():
                if joined.ndim == 0 or len(joined) != sum(PARTS):
                    return False, f"{name} has another number of rows than the inputs"
                at = 0
                for rows, alone in zip(PARTS, apart, strict=True):
                    different = compare(name, joined[at : at + rows], alone[name])
                    if different.problem is not None:
                        return False, f"the rows of {name} depend on each other: {different.problem}"
                    at += rows
            tried += 1
        if tried:
            return True, f"tried: {len(PARTS)} requests gave the same together as apart"
    return False, "no inputs were found on which a batch can be tried: set batching = true if rows are independent"


def _random_rows(
    model: Model, sizes: Mapping[str, int], rng: np.random.Generator, scale: int, spread: int
) -> dict[str, Array]:
    """Random inputs; each part at a scale of its own, so that a mean or a maximum over all rows cannot stay hidden."""
    found: dict[str, Array] = {}
    for spec in model.inputs.values():
        array = random_array(Spec(spec.name, spec.dtype, spec.shape), sizes, rng, None)
        if is_float(spec.dtype):
            array = (array.astype(np.float64) * 10.0 ** (scale - 2)).astype(spec.dtype)
        elif scale == 1:
            array = np.full_like(array, "" if spec.dtype == string else 0)
        elif is_integer(spec.dtype) and spread > 1:
            array = (array * rng.integers(0, min(spread * scale, 127), array.shape)).astype(spec.dtype)
        found[spec.name] = array
    return found


# -- work that the values decide ------------------------------------------------------------------------------------
def sized_by_values(model: ModelIR) -> bool:
    """Whether the values of an input can decide how much work a run is: a Loop's count, the length of a Range.

    What was measured on zeros says nothing then of other values.
    """
    if model.functions:
        return True  # not looked into
    return _sized(model.graph, {v.name for v in model.graph.inputs})


def _sized(graph: Graph, from_values: set[str]) -> bool:
    for node in graph.nodes:
        inputs = [None if v is None else v.name for v in node.inputs]
        if node.graphs() and from_values:
            return True  # If, Loop and Scan: what they do is decided inside
        places = _SIZED_BY_VALUES.get(node.op_type, ())
        if any(inputs[p] in from_values for p in places if p < len(inputs) and inputs[p] is not None):
            return True
        if node.op_type not in ("Shape", "Size") and any(n in from_values for n in inputs):
            from_values |= {v.name for v in node.outputs if v is not None}
    return False
