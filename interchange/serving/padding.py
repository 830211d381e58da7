"""Requests of unequal lengths filled up with zeros to a few sizes, so that they can share a run.

Whether a model allows that is tried when it is loaded: zeros behind the data must not change what is computed from the
data. Models that take a mask or the lengths as an input are the usual case; one that, say, takes a mean over all
elements is refused with the difference.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from interchange.dims import Dim, DimLike, Spec, evaluate, symbols
from interchange.dtypes import Array, is_float, string
from interchange.errors import InterchangeError
from interchange.graph.notes import read_note
from interchange.parity.compare import compare
from interchange.protocol.errors import ServingError
from interchange.runtime.errors import InputsError
from interchange.sampling import admissible, random_array, sample_sizes
from interchange.serving.calls import Call, Relay

if TYPE_CHECKING:
    from interchange.runtime import Model, ValueSpec
    from interchange.serving.served import Served

Buckets = Mapping[str, Sequence[int]]
Index = tuple[slice, ...]
_REMEMBERED = 1024  # combinations of shapes
_ROWS = 2  # of a trial
_SECONDS = 10.0  # after which a trial that has found nothing ends; the smallest bucket is always tried


class Plan(NamedTuple):
    """What is done with inputs of given shapes. shapes: of the inputs that are filled.  cuts: of the outputs."""

    shapes: dict[str, tuple[int, ...]]
    cuts: dict[str, Index]


class Padding:
    """Fills named sizes of the inputs of one version of a model up to the next bucket.

    buckets: size name -> sizes, ascending. What is larger than the last is served as it is, as is what the model does
    not take at the larger size (its bounds and guards).
    """

    def __init__(self, served: Served, buckets: Buckets) -> None:
        self.served = served
        self.buckets = {n: sorted(set(sizes)) for n, sizes in buckets.items()}
        self._plans: dict[tuple[Any, ...], Plan | None] = {}

    def take(self, call: Call) -> Call:
        """The call itself, or one with larger inputs in its place. Raises InputsError for inputs that do not fit."""
        shapes = tuple([(n, a.shape) for n, a in call.feeds.items()])
        if shapes in self._plans:
            plan = self._plans[shapes]
        else:
            self.served.admit(call.feeds)  # first of all they have to fit by themselves
            plan = self.plan(dict(shapes), call.feeds)
            if len(self._plans) < _REMEMBERED:
                self._plans[shapes] = plan
        return call if plan is None else _Padded(call, plan)

    def plan(self, shapes: Mapping[str, tuple[int, ...]], feeds: Mapping[str, Array]) -> Plan | None:
        """How inputs of these shapes are filled; None for as they are."""
        model = self.served.model
        sizes = _sizes(model, shapes)
        larger = {n: self._next(n, size) for n, size in sizes.items()}
        if larger == sizes:
            return None
        filled = {
            n: shape
            for n, s in model.inputs.items()
            if n in shapes and s.ranked and (shape := _at(s.shape, larger, shapes[n])) != shapes[n]
        }
        plan = Plan(filled, {n: cut for n, s in model.outputs.items() if (cut := _cut(s, sizes, larger))})
        try:
            model.prepare(fill(feeds, plan))
        except InputsError:
            return None
        return plan

    def _next(self, name: str, size: int) -> int:
        buckets = self.buckets.get(name, ())
        at = bisect_left(buckets, size)
        return buckets[at] if at < len(buckets) and size else size


class _Padded(Relay):
    __slots__ = ("plan",)

    def __init__(self, origin: Call, plan: Plan) -> None:
        super().__init__(origin, fill(origin.feeds, plan))
        self.plan = plan

    def finish(self, outputs: Sequence[Array]) -> None:
        super().finish(cut(dict(zip(self.wanted, outputs, strict=True)), self.plan))


def fill(feeds: Mapping[str, Array], plan: Plan) -> dict[str, Array]:
    """The inputs with zeros (empty texts) behind what is there."""
    found = dict(feeds)
    for name, shape in plan.shapes.items():
        array = feeds[name]
        larger: Array = np.full(shape, "", object) if array.dtype == string else np.zeros(shape, array.dtype)
        larger[tuple([slice(n) for n in array.shape])] = array
        found[name] = larger
    return found


def cut(outputs: Mapping[str, Array], plan: Plan) -> list[Array]:
    """The outputs without what belongs to the filling."""
    cuts = plan.cuts
    return [np.ascontiguousarray(o[cuts[n]]) if n in cuts else o for n, o in outputs.items()]


def _sizes(model: Model, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """The named sizes that the shapes show."""
    return {
        str(dim): size
        for name, shape in shapes.items()
        if model.inputs[name].ranked
        for dim, size in zip(model.inputs[name].shape, shape, strict=True)
        if isinstance(dim, Dim) and str(dim).isidentifier()
    }


def _at(dims: Sequence[DimLike], sizes: Mapping[str, int], otherwise: Sequence[int]) -> tuple[int, ...]:
    known = [symbols(d).keys() <= sizes.keys() for d in dims]
    return tuple(evaluate(d, sizes) if k else n for d, k, n in zip(dims, known, otherwise, strict=True))


def _cut(spec: ValueSpec, sizes: Mapping[str, int], larger: Mapping[str, int]) -> Index:
    """What of an output belongs to the data; () for all of it. The axis of rows is not looked at: nothing fills it."""
    changed = {n for n, size in sizes.items() if larger[n] != size}
    names = [symbols(d).keys() for d in spec.shape]
    if not any(n & changed for n in names):
        return ()
    return tuple(
        slice(evaluate(d, sizes)) if n & changed and n <= sizes.keys() else slice(None)
        for d, n in zip(spec.shape, names, strict=True)
    )


# -- which models -----------------------------------------------------------------------------------------------------
def open_padding(served: Served, sample: Mapping[str, Array] | None = None) -> Padding | None:
    """The padding that the settings ask for, or the model's own metadata (``interchange.pad``); None for none.

    sample: inputs of the user's; without them random ones are tried.

    Raises ServingError IX698 for sizes that cannot be filled, IX697 where it changes the answers.
    """
    buckets = _buckets(served)
    if not buckets:
        return None
    padding = Padding(served, buckets)
    _try(padding, sample)
    return padding


def _buckets(served: Served) -> dict[str, tuple[int, ...]]:
    model = served.model
    try:
        note = {str(n): tuple(map(_size, sizes)) for n, sizes in read_note(model.metadata, "pad", {}).items()}
    except (ValueError, TypeError, AttributeError):
        raise _cannot_fill(
            "interchange.pad in the model's metadata", f'{model.metadata["interchange.pad"][:100]!r}',
            'JSON: {"time": [16, 32, 64]}',
        ) from None  # fmt: skip
    found = {n: sizes for n, sizes in {**note, **served.settings.pad}.items() if sizes}
    own = {
        str(d)
        for s in model.inputs.values()
        for axis, d in enumerate(s.shape)
        if isinstance(d, Dim) and str(d).isidentifier() and (axis or not served.trial.batching)
    }
    for name in found:
        if name not in own:
            close = get_close_matches(name, own, 1)
            raise _cannot_fill(
                f"pad.{name}",
                "the axis of rows, which are joined instead" if name in model.dims else f"no size {name!r}",
                f"a size that an axis of an input has: {', '.join(sorted(own)) or 'none is open'}",
                f"did you mean {close[0]}?" if close else "leave it out",
            )
    return found


def _size(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise TypeError(value)
    return value


def _cannot_fill(what: str, found: str, expected: str, fix: str = "correct it") -> ServingError:
    return ServingError(
        "IX698", f"{what}: there is nothing that can be filled up", found=found, expected=expected, fix=fix
    )


def _try(padding: Padding, sample: Mapping[str, Array] | None) -> None:
    """Compare filled with unfilled runs. Raises ServingError IX697."""
    model, rng = padding.served.model, np.random.default_rng(21)
    tried, end = 0, perf_counter() + _SECONDS
    for sizes in _trial_sizes(padding, sample):
        for kind in _KINDS if sample is None else _KINDS[:1]:
            if sample is None:
                feeds = {s.name: _random(s, sizes, rng, kind, padding.buckets) for s in _required(model)}
            else:
                feeds = {n: _cropped(a, model.inputs[n], sizes) for n, a in sample.items()}
            try:
                expected = model.run(feeds)
            except InterchangeError:
                continue  # not of these values; the other kinds may be
            plan = padding.plan({n: a.shape for n, a in feeds.items()}, feeds)
            if plan is None:
                continue
            _require_same(model, feeds, plan, expected, sizes)
            tried += 1
        if tried and perf_counter() > end:
            return
    if not tried:
        raise ServingError(
            "IX697",
            "it cannot be tried whether filling up changes the answers",
            found=f"no inputs that the model takes below {dict(padding.buckets)}",
            expected="a run at a size, and the same run at the next bucket",
            fix="name inputs to try: sample = 'inputs.npz' in the model's settings; or take buckets within its bounds",
        )


def _require_same(
    model: Model, feeds: Mapping[str, Array], plan: Plan, expected: Mapping[str, Array], sizes: Mapping[str, int]
) -> None:
    try:
        found = dict(zip(model.outputs, cut(model.run(fill(feeds, plan)), plan), strict=True))
        different = [compare(n, found[n], expected[n]) for n in model.outputs]
        problem = next((f"{d.output}: {d.problem}" for d in different if d.problem is not None), None)
    except InterchangeError as error:
        problem = f"{error.code}: {error.message}"
    if problem is not None:
        said = ", ".join(f"{n} = {s}" for n, s in sizes.items())
        raise ServingError(
            "IX697",
            "filling up its inputs changes the answers of this model",
            found=f"at {said}: {problem}",
            expected="the same answers with zeros behind the data",
            fix="serve it without pad; or give the model a mask or the lengths as an input, and use it",
        )


def _required(model: Model) -> list[ValueSpec]:
    return [s for s in model.inputs.values() if not s.optional]


def _trial_sizes(padding: Padding, sample: Mapping[str, Array] | None) -> Iterator[dict[str, int]]:
    """Sizes below each bucket, the smallest first: just above the bucket before, half way, and one less than it."""
    model = padding.served.model
    if sample is None:
        bases = sample_sizes(model.dims, model.guards, 4)
    else:
        bases = [_sizes(model, {n: a.shape for n, a in sample.items()})]
    for depth in range(max(map(len, padding.buckets.values()))):
        for name, buckets in padding.buckets.items():
            if depth >= len(buckets):
                continue
            low, high = buckets[depth - 1] if depth else 0, buckets[depth]
            for size in sorted({low + 1, (low + high) // 2, high - 1}):
                for base in bases:
                    sizes = base | {name: size}
                    if sample is None and not padding.served.trial.batching:
                        fits = admissible(sizes, model.dims, model.guards)
                    elif sample is None:
                        rows = {str(s.shape[0]): _ROWS for s in model.inputs.values()}
                        sizes |= rows
                        fits = admissible(sizes, model.dims, model.guards)
                    else:
                        fits = size <= base[name]
                    if fits and low < size < high:
                        yield sizes
                        break


# what floats and whole numbers are in a trial, so that neither a maximum nor a minimum can hide: (floats, integers)
_KINDS = (("any", "bits"), ("negative", "ones"), ("positive", "numbers"), ("large", "ones"))


def _random(
    spec: ValueSpec, sizes: Mapping[str, int], rng: np.random.Generator, kind: tuple[str, str], buckets: Buckets
) -> Array:
    array = random_array(Spec(spec.name, spec.dtype, spec.shape), sizes, rng, None)
    floats, integers = kind
    if is_float(spec.dtype):
        wide = array.astype(np.float64)
        values = {"any": wide, "negative": -np.abs(wide), "positive": np.abs(wide), "large": 100 * wide}[floats]
        return values.astype(spec.dtype)
    if spec.dtype.kind not in "iub":
        return array
    filled = [axis for axis, d in enumerate(spec.shape) if str(d) in buckets]
    if not filled:  # it may be a length: from 1 to the whole one
        length = 1 if spec.dtype.kind == "b" else max(sizes[n] for n in buckets)
        low, high = {"bits": (1, length), "ones": (1, 1), "numbers": (length, length)}[integers]
        return rng.integers(low, high, array.shape, endpoint=True).astype(spec.dtype)
    if integers == "ones":
        array = np.ones(array.shape, spec.dtype)
    elif integers == "numbers" and spec.dtype.kind != "b":
        array = rng.integers(0, 100, array.shape).astype(spec.dtype)
    # nobody sends a mask which hides everything
    array[tuple(0 if axis in filled else slice(None) for axis in range(array.ndim))] = 1
    return array


def _cropped(array: Array, spec: ValueSpec, sizes: Mapping[str, int]) -> Array:
    shape = _at(spec.shape, sizes, array.shape) if spec.ranked else array.shape
    return np.ascontiguousarray(array[tuple(slice(n) for n in shape)])
