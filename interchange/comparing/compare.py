"""`diff`: two models side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from interchange.comparing.matching import Pairs
from interchange.comparing.report import PARTS, ModelDiff
from interchange.comparing.sides import Side, Source, open_side
from interchange.comparing.structure import Comparison, Property, documented, type_key, type_text
from interchange.errors import UsageError
from interchange.graph.core import Value


def diff(
    a: Source,
    b: Source,
    *,
    run: bool = False,
    inputs: Mapping[str, Any] | None = None,
    ignore: str | Sequence[str] = (),
    trust_links: bool = False,
) -> ModelDiff:
    """Tell in what two models differ: signature, versions, functions, nodes, weights, declared types, metadata, names.

    Nodes and values are matched by what surrounds them, not by their names or order. What is not reported was compared
    and is equal: "identical" and "same up to names" are proven. How a file is laid out is no difference: the order of
    nodes that do not wait for each other, of weights and attributes; where and in which form weights are stored.

    a, b: each a path, the bytes of a file, an onnx.ModelProto, or a graph.  run: also run both (on `inputs`, or on
    sampled ones) and compare what they compute.  inputs: name -> array, for `run`.  ignore: parts to leave out
    (`interchange.comparing.report.PARTS`).  trust_links: see `interchange.graph.external.Folder`.

    Weights are compared piece by piece, mapped from their files. Time is linear in the size of the models.
    Raises FileError for what cannot be read as a model (IX301 to IX306, IX310 to IX318), UsageError IX850 for a part
    that there is not, InputsError for `inputs` that the first model does not take.
    """
    ignored = _parts(ignore)
    first, second = open_side(a, "the first model", trust_links), open_side(b, "the second model", trust_links)
    found = _compare(first, second)
    outcome = None
    if (run or inputs is not None) and "values" not in ignored:
        from interchange.comparing.values import side_by_side

        outcome = side_by_side(a, b, inputs, trust_links)
    return ModelDiff(
        first.facts(),
        second.facts(),
        tuple(c for c in found.changes if c.part not in ignored),
        () if "weights" in ignored else tuple(found.weights),
        outcome,
        ignored,
    )


def _parts(ignore: str | Sequence[str]) -> tuple[str, ...]:
    names = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    for name in names:
        if name not in PARTS:
            close = get_close_matches(str(name), PARTS, 1)
            raise UsageError(
                "IX850",
                f"{name!r} is nothing that is compared",
                found=str(name),
                expected=", ".join(PARTS),
                fix=f"did you mean {close[0]}?" if close else "name one of them, or leave it out",
            )
    return names


def _compare(a: Side, b: Side) -> Comparison:
    pairs = Pairs()
    found = Comparison(pairs)
    for key, function in a.ir.functions.items():
        if key in b.ir.functions:
            pairs.graphs(function, b.ir.functions[key])
    inputs = _labels(a.ir.graph.inputs, b.ir.graph.inputs)
    outputs = _labels(a.outputs, b.outputs)
    pairs.graphs(a.ir.graph, b.ir.graph, inputs, outputs)
    _signature(found, "input", a.ir.graph.inputs, b.ir.graph.inputs, inputs)
    _signature(found, "output", a.outputs, b.outputs, outputs)
    _about(found, a, b)
    found.functions(a.ir.functions, b.ir.functions)
    found.graph(a.ir.graph, b.ir.graph, "", frozenset((*a.ir.graph.inputs, *a.ir.graph.outputs)))
    return found


def _labels(a: Sequence[Value], b: Sequence[Value]) -> tuple[list[Hashable], list[Hashable]]:
    """What tells inputs, or outputs, apart: their names, or where one name is another, their number among such."""
    both = {v.name for v in a} & {v.name for v in b}
    labels: tuple[list[Hashable], list[Hashable]] = ([], [])
    rest = [sum(v.name not in both for v in values) for values in (a, b)]
    for side, values in enumerate((a, b)):
        seen: Counter[str] = Counter()
        for value in values:
            key = value.name if value.name in both else ""
            number = seen[key]
            seen[key] += 1
            single = rest[0] == rest[1] or key != ""
            labels[side].append((key, number) if single else (key, number, side))
    return labels


def _signature(
    found: Comparison, what: str, a: Sequence[Value], b: Sequence[Value], labels: tuple[list[Hashable], list[Hashable]]
) -> None:
    there = dict(zip(labels[1], b, strict=True))
    for label, value in zip(labels[0], a, strict=True):
        other = there.pop(label, None)
        title = f"{what} {value.name!r}"
        if other is None:
            found.note("signature", "removed", f"{title}: {type_text(value)}")
            continue
        details: list[Property] = []
        if value.name != other.name:
            details.append(("name", value.name, other.name))
        if type_key(value) != type_key(other):
            details.append(("type", type_text(value), type_text(other)))
        if (value.const is None) != (other.const is None):
            details.append(("use", _use(value), _use(other)))
        if details:
            found.note("signature", "changed", title, details=details)
        if (about := list(documented(value, other))) and what == "output":  # an input is a value of the graph
            found.note("metadata", "changed", title, details=about)
    for other in there.values():
        found.note("signature", "added", f"{what} {other.name!r}: {type_text(other)}")
    if labels[0] != labels[1] and set(labels[0]) == set(labels[1]):
        mine, others = (", ".join(v.name for v in values) for values in (a, b))
        found.note("signature", "changed", f"order of the {what}s", details=[("order", mine, others)])


def _use(value: Value) -> str:
    return "must be given" if value.const is None else "has a default"


def _about(found: Comparison, a: Side, b: Side) -> None:
    for domain in sorted({*a.ir.opsets, *b.ir.opsets}):
        mine, other = (s.ir.opsets.get(domain, "not imported") for s in (a, b))
        if mine != other:
            title = f"opset of {domain}" if domain else "opset"
            found.note("opsets", "changed", title, details=[("", mine, other)])
    if a.ir.ir_version != b.ir.ir_version:
        details: list[Property] = [("", a.ir.ir_version, b.ir.ir_version)]
        found.note("opsets", "changed", "IR version", details=details)
    about = [
        (what.replace("_", " "), getattr(a.ir, what), getattr(b.ir, what))
        for what in ("producer_name", "producer_version", "domain", "model_version")
        if getattr(a.ir, what) != getattr(b.ir, what)
    ]
    about += documented(a.ir, b.ir)
    if about:
        found.note("metadata", "changed", "the model", details=about)
    if a.unread != b.unread:
        details = [("declarations", sum((a.unread - b.unread).values()), sum((b.unread - a.unread).values()))]
        found.note("declared", "changed", "types of constants, and of values that nothing makes", details=details)
    for what in ("training_info", "configuration"):
        entries = getattr(a.ir, what), getattr(b.ir, what)
        if entries[0] != entries[1]:
            details = [("entries", len(entries[0]), len(entries[1]))]
            found.note("structure", "changed", what.replace("_", " "), details=details)
    if a.disordered != b.disordered:
        texts = {
            True: "a node stands before one that it reads from",
            False: "each stands after those that it reads from",
        }
        details = [("nodes", texts[a.disordered], texts[b.disordered])]
        found.note("structure", "changed", "order in the file", details=details)
    if a.unknown != b.unknown:
        details = [("fields", "some" if a.unknown else "none", "some" if b.unknown else "none")]
        found.note("structure", "changed", "fields that this release does not know", details=details)
