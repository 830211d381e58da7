"""Parity: the exported model, in the runtime, against its source, on the example and on other admissible sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from interchange.dims import Dim, Guard, Shape, Spec, evaluate, symbols
from interchange.dtypes import Array
from interchange.errors import InterchangeError, UsageError, VerifyError
from interchange.parity.compare import Difference, Tolerance, check_tolerance, compare
from interchange.sampling import Bounds, Sizes, random_array, sample_sizes

Arrays = dict[str, Array]


class Runnable(Protocol):
    """What can be verified: it runs named arrays to named arrays."""

    def run(self, inputs: Mapping[str, Any], /) -> Mapping[str, Array]: ...


class Stepped(Protocol):
    """One operation of a source that was run: `interchange.frontends.Step`."""

    @property
    def value(self) -> str: ...
    @property
    def op(self) -> str: ...
    @property
    def module(self) -> str: ...
    @property
    def line(self) -> str | None: ...
    @property
    def array(self) -> Array: ...


class Declared(Protocol):
    """What a model declares of an output: `interchange.runtime.signature.ValueSpec`."""

    @property
    def shape(self) -> Shape: ...
    @property
    def kind(self) -> str: ...
    @property
    def ranked(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Trial:
    """One comparison: at these sizes, each output's difference. inputs: the arrays of one that failed."""

    sizes: Sizes
    differences: list[Difference]
    inputs: Arrays | None = field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        return all(d.problem is None for d in self.differences)


@dataclass(frozen=True, slots=True)
class ParityReport:
    """The evidence that a model equals its source."""

    trials: list[Trial] = field(default_factory=list)
    runtime: str = ""

    @property
    def ok(self) -> bool:
        """Whether every output matched in every trial (and there was one)."""
        return bool(self.trials) and all(t.ok for t in self.trials)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: what is written into the model's metadata."""
        return {"ok": self.ok, "runtime": self.runtime, "trials": [_plain(t) for t in self.trials]}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> ParityReport:
        """What `to_dict` wrote."""
        trials = [Trial(t["sizes"], [Difference(**d) for d in t["differences"]]) for t in data["trials"]]
        return ParityReport(trials, data["runtime"])

    def text(self) -> str:
        """One line per trial and output."""
        lines = []
        for t in self.trials:
            at = ", ".join(f"{n}={s}" for n, s in t.sizes.items()) or "the example"
            for d in t.differences:
                zeros = f", {d.signed_zeros} zeros of the other sign" if d.signed_zeros else ""
                close = f"largest difference {d.max_abs:.2g} absolute, {d.max_rel:.2g} relative{zeros}"
                verdict = d.problem or f"equal ({close})"
                lines.append(f"{'ok ' if d.problem is None else 'BAD'} {d.output} at {at}: {verdict}")
        return "\n".join(lines)

    def raise_if_different(self, first: Callable[[Arrays], str | None] | None = None) -> None:
        """Raise VerifyError IX701 naming each output and size that differ.

        first: finds, for the inputs of a trial, the operation where model and source part.
        """
        if not self.ok:
            bad = [line for line in self.text().splitlines() if line.startswith("BAD")]
            raise VerifyError(
                "IX701",
                "the exported model and its source disagree",
                where=_parting(self.trials, first) or self.runtime,
                found="; ".join(line[4:] for line in bad),
                expected="equal outputs within the tolerance of their dtype",
                fix=_remedy(self.trials),
            )


def _remedy(trials: Sequence[Trial]) -> str:
    """What to do: a size that fails at 1 and nowhere else wants a minimum."""
    bad, good = [t.sizes for t in trials if not t.ok], [t.sizes for t in trials if t.ok]
    for name in bad[0] if good and bad else ():
        if all(s.get(name) == 1 for s in bad) and all(s.get(name) != 1 for s in good):
            return f'if {name} = 1 is not meant to work, say so: interchange.dims.Dim("{name}", min=2)'
    return "look for randomness, state or code that depends on data; widen `tolerance` only for a known cause"


def _plain(trial: Trial) -> dict[str, Any]:
    return {"sizes": trial.sizes, "differences": [asdict(d) for d in trial.differences]}


def _parting(trials: Sequence[Trial], first: Callable[[Arrays], str | None] | None) -> str | None:
    """Where the first trial that failed parts; None where that cannot be found out."""
    inputs = next((t.inputs for t in trials if t.inputs is not None), None)
    place = first(inputs) if first is not None and inputs is not None else None
    return f"first at {place}" if place else None


def parity(
    model: Runnable,
    reference: Callable[[Arrays], Arrays],
    inputs: Mapping[str, Spec],
    *,
    outputs: Mapping[str, Declared] | None = None,
    example: Mapping[str, Array] | None = None,
    dims: Bounds | None = None,
    guards: Sequence[Guard] = (),
    sizes: int = 3,
    tolerance: Mapping[str, Tolerance] | Tolerance | None = None,
    seed: int = 0,
    runtime: str = "",
) -> ParityReport:
    """Run model and source side by side.

    outputs: what the model declares of its outputs, which each run is held against as well.
    example: arrays to try first. sizes: how many assignments of the named dims to try beside it. tolerance: (relative,
    absolute), one for all outputs or by output name; the default follows the dtype (`compare.TOLERANCES`).
    """
    if isinstance(sizes, bool) or not isinstance(sizes, int) or sizes < 1:
        raise UsageError(
            "IX806",
            "a proof takes one size or more",
            found=f"sizes={sizes!r}",
            expected="a whole number, 1 or more",
            fix="leave sizes out",
        )
    check_tolerance(tolerance)
    dims = dims or {}
    rng = np.random.default_rng(seed)
    trials: list[Trial] = []
    first = _sizes_of(inputs, example) if example else None
    plans: list[tuple[Sizes, Arrays | None]] = []
    if example and len(example) == len(inputs):
        plans.append((first or {}, dict(example)))
    plans += [(s, None) for s in sample_sizes(dims, guards, sizes) if dims or not plans]
    for at, arrays in plans:
        fed = arrays or {n: random_array(s, at, rng, (example or {}).get(n)) for n, s in inputs.items()}
        trial = Trial(at, _compare(model, reference, fed, at, tolerance, outputs or {}))
        trials.append(trial if trial.ok else replace(trial, inputs=fed))
    if not trials:
        raise VerifyError(
            "IX702",
            "no sizes were found that satisfy the model's guards",
            found="; ".join(str(g.condition) for g in guards),
            expected="at least one admissible assignment of sizes up to 64",
            fix="give example arrays of an admissible size",
        )
    return ParityReport(trials, runtime)


def _sizes_of(inputs: Mapping[str, Spec], example: Mapping[str, Array]) -> Sizes:
    """The sizes that the named dims have in the example."""
    return {
        str(d): n
        for name, spec in inputs.items()
        if name in example
        for d, n in zip(spec.shape, example[name].shape, strict=True)
        if isinstance(d, Dim) and str(d).isidentifier()
    }


def _compare(
    model: Runnable,
    reference: Callable[[Arrays], Arrays],
    arrays: Arrays,
    at: Sizes,
    tolerance: Mapping[str, Tolerance] | Tolerance | None,
    outputs: Mapping[str, Declared],
) -> list[Difference]:
    try:
        expected = reference(arrays)
    except InterchangeError as error:
        return [Difference("the source", f"the source model itself fails here: {error.code}: {error.message}")]
    found = model.run(arrays)
    if list(found) != list(expected):
        return [Difference("outputs", f"{', '.join(found)} instead of {', '.join(expected)}")]
    check_tolerance(tolerance, expected)
    differences = [
        compare(n, found[n], expected[n], tolerance.get(n) if isinstance(tolerance, Mapping) else tolerance)
        for n in expected
    ]
    return [_as_declared(d, found[d.output], outputs.get(d.output), at) for d in differences]


def _as_declared(difference: Difference, found: Array, declared: Declared | None, at: Sizes) -> Difference:
    """The difference; where there is none, whether the shape is the one that the model declares at these sizes."""
    if difference.problem is not None or declared is None or declared.kind != "tensor" or not declared.ranked:
        return difference
    known = [d is not None and symbols(d).keys() <= at.keys() for d in declared.shape]
    # a formula that goes below 0 (batch - 2 at batch=1) is an axis that is empty, as slices have it
    shape = [max(0, evaluate(d, at)) if k else None for d, k in zip(declared.shape, known, strict=True)]
    if len(shape) == found.ndim and all(want in (None, size) for want, size in zip(shape, found.shape, strict=True)):
        return difference
    return replace(difference, problem=f"the shape is {found.shape}, and the model declares {declared}")
