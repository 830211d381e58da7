"""`targets`: which releases of a runtime load a model; for the others why not, and what to do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interchange.checker.context import Context, plural
from interchange.checker.deploy import Prediction, Refusal, predict
from interchange.checker.engine import check
from interchange.graph import opening
from interchange.graph.core import ModelIR
from interchange.schemas import resolve
from interchange.schemas.runtimes import runtime as runtime_of
from interchange.schemas.support import Ways, sentence, span, ways

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class Reason:
    """Why releases do not load a model.  node: the first one concerned, empty for the whole model."""

    text: str
    node: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Releases of which the same is true.  reasons: empty if they load the model."""

    releases: tuple[str, ...]
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Targets:
    """What the releases of a runtime say to a model, oldest first."""

    file: str
    runtime: str
    facts: str
    rows: tuple[Row, ...]

    @property
    def loading(self) -> tuple[str, ...]:
        """The releases that load it."""
        return tuple(name for row in self.rows if not row.reasons for name in row.releases)

    @property
    def ok(self) -> bool:
        """Whether all of them do."""
        return not any(row.reasons for row in self.rows)

    def text(self) -> str:
        """A table for a reader."""
        names = [span(row.releases) for row in self.rows]
        width = max(map(len, names), default=0)
        lines = [f"{self.file}: {self.facts}"]
        for name, row in zip(names, self.rows, strict=True):
            lines.append(f"  {self.runtime} {name:<{width}}  {'does not load it' if row.reasons else 'loads it'}")
            for reason in row.reasons:
                lines.append(f"    {reason.text}")
                if reason.fix:
                    lines.append(f"      fix: {reason.fix}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "file": self.file,
            "runtime": self.runtime,
            "facts": self.facts,
            "loading": list(self.loading),
            "releases": {
                name: [{"reason": r.text, "node": r.node, "fix": r.fix} for r in row.reasons]
                for row in self.rows
                for name in row.releases
            },
        }


def targets(model: str | os.PathLike[str] | bytes | ModelIR | onnx.ModelProto, runtime: str = "onnxruntime") -> Targets:
    """Which releases of a runtime load a model, predicted from their own tables of operators and kernels.

    model: as for `check`.  runtime: which releases are asked, as a target is written (``onnxruntime>=1.18``).
    Raises CheckError for a model that is wrong in itself, SchemaError IX420 or IX421 for a runtime that cannot be read.
    """
    admitted = resolve(runtime).releases
    report = check(model)
    report.raise_if_errors()
    if isinstance(model, ModelIR):
        from interchange.graph.proto import to_proto

        model = to_proto(model)
    written = opening.in_memory(model) if hasattr(model, "SerializeToString") else opening.read(model)  # type: ignore[arg-type]
    prediction = predict(Context(written, None, report.file), admitted)
    return Targets(report.file, "onnxruntime", report.facts, tuple(_rows(prediction)))


def _rows(prediction: Prediction) -> list[Row]:
    loaders = [runtime_of(name) for name in prediction.releases if name not in prediction.limits]
    out = [ways(refusal.call, loaders) for refusal in prediction.refusals]
    rows: list[Row] = []
    for name in prediction.releases:
        reasons = tuple(_reasons(prediction, out, name))
        if rows and rows[-1].reasons == reasons:
            rows[-1] = Row((*rows[-1].releases, name), reasons)
        else:
            rows.append(Row((name,), reasons))
    return rows


def _reasons(prediction: Prediction, out: Sequence[Ways], name: str) -> list[Reason]:
    limits = prediction.limits.get(name, ())
    export = "export it with a target that holds these releases"
    found = [Reason(f"{what} {found}: it loads up to {highest}", fix=export) for what, found, highest in limits]
    for refusal, way in zip(prediction.refusals, out, strict=True):
        verdict = refusal.verdicts.get(name)
        if verdict is not None:
            text = f"{refusal.call.title} of {_place(refusal)}: {sentence(verdict)}"
            found.append(Reason(text, refusal.node.label, way.text(refusal.call)))
    return found


def _place(refusal: Refusal) -> str:
    more = f" and {plural(refusal.more, 'more node')}" if refusal.more else ""
    return f"node {refusal.node.label}{more}"
