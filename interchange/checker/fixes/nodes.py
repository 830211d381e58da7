"""Repairs of nodes and types: deprecated operators that have an exact successor, declarations that are wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from interchange.checker.fixes.work import Repairs, Work, fixes
from interchange.checker.report import Finding
from interchange.checker.typetext import reader_text


# -- deprecated operators ---------------------------------------------------------------------------------------------
def _scatter(node: Any, opset: int) -> bool:
    """ScatterElements is the new name of Scatter."""
    node.op_type = "ScatterElements"
    return True


def _upsample(node: Any, opset: int) -> bool:
    """Upsample is a Resize of the coordinates x / scale, rounded down."""
    # before opset 9 the factors were an attribute; Resize of opsets 11 and 12 wants a region that means nothing here
    if len(node.input) != 2 or opset in (11, 12):
        return False
    node.op_type = "Resize"
    if opset >= 13:
        node.input.insert(1, "")
        linear = any(a.name == "mode" and a.s == b"linear" for a in node.attribute)
        node.attribute.add(name="coordinate_transformation_mode", type=3, s=b"asymmetric")
        if not linear:
            node.attribute.add(name="nearest_mode", type=3, s=b"floor")
    return True


_SUCCESSORS: dict[str, tuple[int, Callable[[Any, int], bool]]] = {  # operator -> (opset from which it has one, how)
    "Scatter": (11, _scatter),
    "Upsample": (10, _upsample),
}


@fixes("IX542")
def deprecated(work: Work, findings: Sequence[Finding]) -> Repairs:
    """Write a deprecated operator as the one that replaced it, where that one computes exactly the same."""
    for node in work.ctx.nodes():
        domain, op, _ = node.key
        opset = node.scope.opsets.get("", 0)
        if domain or op not in _SUCCESSORS or node.key in work.ctx.functions:
            continue
        first, write = _SUCCESSORS[op]
        if opset >= first and write(node.proto, opset):
            yield f"wrote node {node.label} as {node.proto.op_type}, which replaced {op}"


# -- declarations -----------------------------------------------------------------------------------------------------
@fixes("IX519", needs_types=True)
def untyped_outputs(work: Work, findings: Sequence[Finding]) -> Repairs:
    """The types of outputs, as they are computed. What an input takes is not ours to say."""
    types = work.ctx.inferred.types.get(work.ctx.main, {})
    for output in work.ctx.model.graph.output:
        kind = output.type.WhichOneof("value")
        missing = kind is None or (kind == "tensor_type" and not output.type.tensor_type.elem_type)
        if missing and output.name in types and "?" not in reader_text(types[output.name]).split("[")[0]:
            output.type.CopyFrom(types[output.name])
            yield f"declared output {output.name!r} as {reader_text(output.type)}"


@fixes("IX566", needs_types=True)
@fixes("IX567", needs_types=True)
def wrong_declarations(work: Work, findings: Sequence[Finding]) -> Repairs:
    """Declare a value as what its node makes. Of an input or constant, nobody can say which side is right."""
    for finding in findings:
        scope, name = work.scope(finding), finding.where.value
        if scope is None or name not in scope.makers:
            continue
        found = work.ctx.inferred.types.get(scope, {}).get(name)
        for _, value in scope.infos() if found is not None else ():
            if value.name == name and value.type != found:
                yield f"declared {name!r} as {reader_text(found)}, not {reader_text(value.type)}"
                value.type.CopyFrom(found)
