"""What a comparison says: in one line, in lines for a reader, as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from interchange.checker.context import plural
from interchange.errors import one_line

Part = Literal["signature", "opsets", "functions", "structure", "weights", "values", "declared", "metadata", "names"]
Kind = Literal["added", "removed", "changed", "renamed"]

PARTS: dict[str, str] = {
    "signature": "inputs and outputs: names, order, dtypes, shapes",
    "opsets": "versions of the operators and of the format",
    "functions": "local functions",
    "structure": "nodes: operators, attributes, what they read",
    "weights": "constants",
    "values": "what the models compute",
    "declared": "declared types of inner values",
    "metadata": "metadata, documentation, producer",
    "names": "names of nodes, inner values and constants",
}
"""What is compared; the keys are what `ignore` takes."""

_SIGN = {"added": "+", "removed": "-", "changed": "~", "renamed": "~"}


@dataclass(frozen=True, slots=True)
class Detail:
    """One property of something that changed: an attribute, an input; `a` and `b` are its texts in the two models.

    what: empty where the thing itself is meant, a version.
    """

    what: str
    a: str
    b: str

    def __str__(self) -> str:
        return f"{self.what}{': ' if self.what else ''}{self.a} -> {self.b}"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is in one model only, or is another in the second.

    part: a key of `PARTS`.  what: a node, an input, a domain.  graph: the place, empty for the model and its graph.
    """

    part: Part
    kind: Kind
    what: str
    graph: str = ""
    details: tuple[Detail, ...] = ()

    def text(self) -> str:
        """The change on a line, its details below."""
        place = f", in {self.graph}" if self.graph else ""
        head = f"  {_SIGN[self.kind]} {one_line(self.what)}{one_line(place)}"
        if len(self.details) == 1:
            return f"{head}: {one_line(str(self.details[0]))}"
        return "\n".join([head, *(f"      {one_line(str(d))}" for d in self.details)])


@dataclass(frozen=True, slots=True)
class WeightChange:
    """A constant that differs. a, b: its type in the two models, empty where there is none.

    elements: of the constant; changed: those whose bits differ.  max_abs: the largest difference.  relative: the norm
    of the difference, as a part of the norm of the first model's constant.  not_finite: elements that are NaN or
    infinite in one model and not in the other.  The numbers are None where the two cannot be subtracted.
    """

    kind: Kind
    name: str
    graph: str = ""
    a: str = ""
    b: str = ""
    elements: int = 0
    changed: int | None = None
    max_abs: float | None = None
    relative: float | None = None
    not_finite: int = 0

    def text(self) -> str:
        """The change on a line."""
        place = f", in {self.graph}" if self.graph else ""
        head = one_line(f"  {_SIGN[self.kind]} {self.name}{place}")
        if self.kind != "changed":
            return f"{head}: {self.a or self.b}"
        told = [self.a if self.a == self.b else f"{self.a} -> {self.b}"]
        if self.changed is not None:
            told.append(f"{self.changed:,} of {self.elements:,} elements differ")
        if self.max_abs is not None and self.relative is not None:
            told.append(f"by {self.max_abs:.3g} at most, {100 * self.relative:.2g}% of the norm")
        if self.not_finite:
            told.append(f"{self.not_finite:,} are NaN or infinite on one side only")
        return f"{head}: {', '.join(told)}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the two models compute from the same inputs.

    problem: why that is not known, or what differs first; None where all outputs are equal within the tolerance of
    their dtype.  trials: for each assignment of sizes, how each output compares (`interchange.parity.Difference`).
    """

    problem: str | None
    trials: tuple[dict[str, Any], ...] = ()

    def text(self) -> str:
        """One line."""
        if self.problem is not None:
            return f"  ~ {one_line(self.problem)}"
        at = "; ".join(", ".join(f"{n}={s}" for n, s in t["sizes"].items()) or "the inputs" for t in self.trials)
        return f"  equal within the tolerance of each dtype, at {at}"


@dataclass(frozen=True, slots=True)
class Facts:
    """One of the two models. weights: its constants, parameters: their elements."""

    file: str
    opsets: str
    nodes: int
    weights: int
    parameters: int

    def text(self) -> str:
        """One line."""
        counts = ((self.nodes, "node"), (self.weights, "weight"), (self.parameters, "parameter"))
        size = ", ".join(plural(n, word) for n, word in counts)
        return f"{one_line(self.file)} ({one_line(self.opsets)}, {size})"


@dataclass(frozen=True, slots=True)
class ModelDiff:
    """Everything in which two models differ. What is not listed was compared and is equal.

    a, b: facts about both.  changes: all of them but those of weights.  values: set when the models were run.
    ignored: the parts that were left out.
    """

    a: Facts
    b: Facts
    changes: tuple[Change, ...] = ()
    weights: tuple[WeightChange, ...] = ()
    values: Outcome | None = None
    ignored: tuple[str, ...] = field(default=())

    @property
    def same(self) -> bool:
        """Whether the models are the same up to the names of nodes, inner values and constants."""
        return not (self._parts() - {"names"})

    @property
    def identical(self) -> bool:
        """Whether nothing at all differs but how the file is laid out: the order of nodes, the form of the data."""
        return not self._parts()

    def _parts(self) -> set[str]:
        found = {str(c.part) for c in self.changes} | ({"weights"} if self.weights else set())
        return found | ({"values"} if self.values is not None and self.values.problem is not None else set())

    def part(self, name: str) -> tuple[Change, ...]:
        """The changes of one part of `PARTS`."""
        return tuple(c for c in self.changes if c.part == name)

    @property
    def verdict(self) -> str:
        """The answer in one line."""
        left_out = f" (not looked at: {', '.join(self.ignored)})" if self.ignored else ""
        if self.identical:
            return f"identical{left_out}"
        told = [text for name in PARTS if (text := self._summary(name))]
        if self.same:
            return f"same up to names{left_out}"
        return "; ".join(told) + left_out

    def _summary(self, name: str) -> str:
        found = self.part(name)
        if name == "weights":
            return f"weights differ: {_counted(self.weights)} of {self.a.weights:,}" if self.weights else ""
        if name == "values":
            return "" if self.values is None else "values differ" if self.values.problem else "values equal"
        if not found:
            return ""
        if name == "structure":
            return f"structure differs: {_counted(found)}"
        if name == "opsets":
            return ", ".join(f"{c.what} {d.a} -> {d.b}" for c in found for d in c.details)
        return {
            "signature": "signature differs",
            "functions": "functions differ",
            "declared": "declared types differ",
            "metadata": "metadata differs",
            "names": "names differ",
        }[name]

    def text(self, limit: int = 20) -> str:
        """The verdict, then the details, at most `limit` lines a part (0: all)."""
        lines = [one_line(self.verdict), f"a: {self.a.text()}", f"b: {self.b.text()}"]
        for name, heading in PARTS.items():
            entries: Sequence[Change | WeightChange] = self.weights if name == "weights" else self.part(name)
            if name == "values" and self.values is not None:
                lines += ["", f"Values: {heading}", self.values.text()]
            if entries:
                told = list(_renamed(self.changes)) if name == "names" and limit else [e.text() for e in entries]
                more = len(told) - limit if limit else 0
                lines += ["", f"{name.capitalize()}: {heading}", *(told[:limit] if limit else told)]
                lines += [f"  and {more:,} more"] if more > 0 else []
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data, for ``--json``."""
        return {
            "verdict": self.verdict,
            "same": self.same,
            "identical": self.identical,
            "a": asdict(self.a),
            "b": asdict(self.b),
            "changes": [asdict(c) for c in self.changes],
            "weights": [asdict(w) for w in self.weights],
            "values": None if self.values is None else asdict(self.values),
            "ignored": list(self.ignored),
        }


def _counted(found: Sequence[Change | WeightChange]) -> str:
    counts = Counter(c.kind for c in found)
    return ", ".join(f"{counts[k]:,} {k}" for k in ("added", "removed", "changed") if counts[k])


def _renamed(changes: Sequence[Change]) -> Iterator[str]:
    """A line for each kind of thing that has another name, with the first few."""
    by_kind: dict[str, list[str]] = {}
    for change in changes:
        if change.part == "names":
            by_kind.setdefault(change.what, []).extend(f"{d.a} -> {d.b}" for d in change.details)
    for what, pairs in by_kind.items():
        more = ", ..." if len(pairs) > 3 else ""
        yield one_line(f"  ~ {len(pairs):,} x {what}: {', '.join(pairs[:3])}{more}")
