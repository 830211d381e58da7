"""What onnx's shape rules do not look at: one short function an operator, which reads its types and constants.

A look is for what the registry and onnx's own shape rule let through, and a runtime refuses or fails at.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from interchange.checker.context import NodeRef
from interchange.checker.looks.seen import LOOKS, Seen
from interchange.checker.rule import Problem

from interchange.checker.looks import convolution, indexing, layers, ranges, bodies  # isort: skip  (each registers its looks; bodies last)

__all__ = ["bodies", "convolution", "indexing", "layers", "look", "ranges"]


def look(node: NodeRef, proto: Any, types: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[tuple[str, Problem]]:
    """(kind, problem) of one node. types, data: TypeProto and constant (TensorProto) by name, as far as known."""
    seen = Seen(node, proto, types, data)
    for looked in LOOKS.get((seen.domain, proto.op_type), ()):
        problems = list(looked(seen))
        yield from problems
        if any(p.severity is None for _, p in problems):  # the next would tell the same in other words
            return
