"""What a user asks: which releases run this operator, for these dtypes, at this opset; and what to do if not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from interchange.dtypes import dtype_of
from interchange.errors import SchemaError
from interchange.schemas.calls import UNKNOWN, Call, Reason, Verdict, names
from interchange.schemas.capability import judge
from interchange.schemas.detours import Casts, find
from interchange.schemas.functions import type_proto
from interchange.schemas.opschema import OpSchema
from interchange.schemas.registry import canonical, schema, versions
from interchange.schemas.runtimes import Runtime, releases
from interchange.schemas.runtimes import runtime as runtime_of
from interchange.schemas.targets import OLDEST_OPSET, resolve
from interchange.schemas.typetext import reader_name, to_text

_NO_WAY = "build it from other operators, or in another dtype: no cast, older opset or newer release runs it"


@dataclass(frozen=True, slots=True)
class Ways:
    """What can be done about a call that releases refuse.

    casts: a detour over another dtype which they run; casts.lossy: only with rounded values.  opset: the highest lower
    one at which they run it.  release: the first newer one from which on all run it as it is. None: there is none.
    """

    casts: Casts | None = None
    opset: int | None = None
    release: str | None = None

    def text(self, call: Call) -> str:
        """The ways for a reader, the nearest first."""
        found = []
        if self.casts is not None:
            over = ", ".join(f"{reader_name(a)} to {reader_name(b)}" for a, b in self.casts.pairs(call))
            rounds = ", which rounds values (an export does it with allow_lossy=True)" if self.casts.lossy else ""
            found.append(f"cast {over} and back{rounds}")
        if self.opset is not None:
            found.append(f"write it at {call.domain or 'opset'} {self.opset}")
        if self.release is not None:
            found.append(f"run it in onnxruntime {self.release} or newer")
        return ", or ".join(found) or _NO_WAY


@dataclass(frozen=True, slots=True)
class Support:
    """What releases say to one operator. True if all of them run it.

    call: what was asked.  verdicts: release -> what it says.  ways: what to do about the releases which refuse it.
    """

    call: Call
    verdicts: Mapping[str, Verdict]
    ways: Ways

    @property
    def ok(self) -> bool:
        """Whether every release runs it."""
        return all(self.verdicts.values())

    @property
    def releases(self) -> tuple[str, ...]:
        """Those that run it."""
        return tuple(name for name, verdict in self.verdicts.items() if verdict)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        asked = f"{self.call.title}({names(self.call.inputs)}) at opset {self.call.opsets.get(self.call.domain)}"
        if self.ok:
            return f"{asked} runs in onnxruntime {span(self.releases)}"
        lines = [f"{asked} runs in {f'onnxruntime {span(self.releases)}' if self.releases else 'none of the releases'}"]
        for verdict, group in grouped(self.verdicts):
            lines.append(f"  {span(group)}: {sentence(verdict)}")
        return "\n".join([*lines, f"  fix: {self.ways.text(self.call)}"])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        refusals = [
            {"releases": list(group), "reason": v.reason, "found": v.found, "expected": v.expected}
            for v, group in grouped(self.verdicts)
        ]
        ways = self.ways
        return {
            "operator": self.call.title,
            "opset": self.call.opsets.get(self.call.domain),
            "inputs": [None if t is None else reader_name(t) for t in self.call.inputs],
            "ok": self.ok,
            "releases": list(self.releases),
            "refusals": refusals,
            "detour": None if ways.casts is None else [[*map(reader_name, p)] for p in ways.casts.pairs(self.call)],
            "lossy": ways.casts is not None and ways.casts.lossy,
            "opset_that_runs": ways.opset,
            "release_that_runs": ways.release,
        }


def supports(
    op: str,
    dtypes: Sequence[Any],
    *,
    runtime: str = "onnxruntime",
    opset: int | None = None,
    domain: str = "",
    attributes: Mapping[str, Any] | None = None,
) -> Support:
    """Which releases of a runtime run an operator::

        supports("Conv", ["float64"], runtime="onnxruntime>=1.18", opset=21)

    dtypes: of the inputs in their order, as dtypes or names; None for one that is left out. One alone stands for all
    inputs that must be there and may have it.
    runtime: as a target is written; every release it admits is asked.  opset: of the domain; None: the one that would
    be written for the runtime.  attributes: those of the call: some choose the dtype of the result (``to`` of Cast),
    and some kernels refuse values of theirs.

    Raises SchemaError: IX401 to IX403 for an operator that is not there at this opset, IX404 or IX405 for dtypes it
    does not take, IX406 to IX409 for attributes, IX420 or IX421 for a runtime; UsageError IX801 for what is no dtype.
    """
    domain = canonical(domain)
    target = resolve(runtime)
    if opset is None:
        opset = target.opset if not domain else target.opsets.get(domain, 1)
    call = _call(op, dtypes, opset, domain, attributes or {}, target.opset)
    asked = [runtime_of(name) for name in target.releases]
    return Support(call, {r.name: judge(call, r) for r in asked}, ways(call, asked))


def _call(
    op: str, dtypes: Sequence[Any], opset: int, domain: str, attributes: Mapping[str, Any], main_opset: int
) -> Call:
    found = schema(op, opset, domain)
    texts = _inputs(found, [None if d is None else to_text(dtype_of(d)) for d in dtypes])
    outputs = tuple(t or UNKNOWN for t in found.bind_type_texts(texts)[: max(found.min_outputs, 1)])
    call = Call(domain, op, {"": main_opset, domain: opset}, texts, outputs)
    if not attributes:
        return call
    from onnx import helper

    from interchange.schemas.functions import call_node, typed_calls

    node = call_node(call)
    for name, value in found.check_attributes(attributes).items():
        node.attribute.append(
            helper.make_attribute(name, value, attr_type=_attribute_type(found.attributes[name].type))
        )
    types = {name: t for name, text in zip(node.input, texts, strict=True) if (t := type_proto(text)) is not None}
    return next(iter(typed_calls([node], types, call.opsets)), replace(call, node=node))


def _inputs(found: OpSchema, texts: list[str | None]) -> tuple[str | None, ...]:
    """One type alone stands for all inputs that must be there: what cannot have it gets a type that it can have."""
    if len(texts) != 1 or found.min_inputs < 2:
        return tuple(texts)
    formals = [found.inputs[min(i, len(found.inputs) - 1)] for i in range(found.min_inputs)]
    choices = [found.type_constraints.get(f.type, (f.type,)) for f in formals]
    if not any(texts[0] in choice for choice in choices):
        return tuple(texts * len(formals))
    return tuple(next((t for t in (texts[0], "tensor(int64)", "tensor(float)") if t in c), c[0]) for c in choices)


def _attribute_type(name: str) -> int:
    import onnx

    return int(onnx.AttributeProto.AttributeType.Value(name.upper()))


# -- ways out ---------------------------------------------------------------------------------------------------------
def ways(call: Call, asked: Sequence[Runtime]) -> Ways:
    """What can be done about a call for the releases that are asked; nothing if all of them run it.

    A detour is for those which load the call's opset at all.
    """
    if all(judge(call, r) for r in asked):
        return Ways()
    loading = [r for r in asked if judge(call, r).reason != "opset"]
    casts = (find(call, loading) or find(call, loading, lossy=True)) if loading else None
    return Ways(casts, _lower_opset(call, asked), _newer_release(call, asked))


def _lower_opset(call: Call, asked: Sequence[Runtime]) -> int | None:
    """The highest opset of the call's domain below its own at which every release runs it."""
    opset = call.opsets.get(call.domain, 1)
    try:
        known = versions(call.op, call.domain)
    except SchemaError:
        return None
    oldest = known[0] if call.domain else max(known[0], OLDEST_OPSET)
    for lower in range(opset - 1, oldest - 1, -1):
        at = replace(call, opsets={**call.opsets, call.domain: lower})
        if all(judge(at, r) for r in asked):
            return lower
    return None


def _newer_release(call: Call, asked: Sequence[Runtime]) -> str | None:
    """The first release after the last that refuses it from which on every one runs it."""
    refusing = [r.name for r in asked if not judge(call, r)]
    names_ = releases()
    newer = names_[names_.index(refusing[-1]) + 1 :]
    found = None
    for name in reversed(newer):
        if not judge(call, runtime_of(name)):
            break
        found = name
    return found


# -- words ------------------------------------------------------------------------------------------------------------
def span(names_: Sequence[str]) -> str:
    """Releases as ranges: ``1.17 to 1.22, 1.24``."""
    known = list(releases())
    runs: list[list[str]] = []
    for name in names_:
        if runs and name in known and known.index(name) - known.index(runs[-1][-1]) == 1:
            runs[-1].append(name)
        else:
            runs.append([name])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def grouped(verdicts: Mapping[str, Verdict]) -> list[tuple[Verdict, list[str]]]:
    """(verdict, the releases that give it) for each that is a refusal, in the order of the releases."""
    groups: dict[Verdict, list[str]] = {}
    for name, verdict in verdicts.items():
        if not verdict:
            groups.setdefault(verdict, []).append(name)
    return list(groups.items())


_SENTENCES: Mapping[Reason, str] = {
    "opset": "it does not load {found}; {expected}",
    "operator": "it does not have {found}; it has {expected}",
    "form": "it does not know {found}; it knows {expected}",
    "version": "no kernel for {found} of the operator; kernels are there for {expected}",
    "dtype": "no kernel for {found}; kernels are there for {expected}",
    "quirk": "its kernel refuses {found}; it takes {expected}",
    "body": "no kernel, and none for {found}; for that there are kernels for {expected}",
}


def sentence(verdict: Verdict) -> str:
    """A refusal for a reader."""
    return _SENTENCES[verdict.reason].format(found=verdict.found, expected=verdict.expected)
