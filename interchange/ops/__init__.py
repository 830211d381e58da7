"""The vocabulary: ONNX's operators, each one a function, under ONNX's names: ``ops.Conv(x, w, b, strides=[2, 2])``.

`TABLE` has them all by (domain, name). How one is defined: `interchange.ops.frame`.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import interchange.eager  # noqa: F401  Tensor first: the families below are written in its operators
from interchange.ops import (
    activation,
    arithmetic,
    conv,
    creation,
    einsum,
    indexing,
    linear,
    loss,
    norm,
    pad,
    pool,
    random,
    reduce,
    resize,
    sampling,
    scan,
    select,
    sets,
    shape,
    trigonometry,
)
from interchange.ops.frame import TABLE, Op

if TYPE_CHECKING:
    from interchange.dtypes import Array
    from interchange.graph.core import Node


def __getattr__(name: str) -> Op[Any]:
    found = TABLE.get(("", name))
    if found is not None:
        globals()[name] = found
        return found
    close = get_close_matches(name, [n for _, n in TABLE], 3)
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    raise AttributeError(f"the vocabulary has no operator {name!r}{hint}")


def evaluate_node(node: Node, arrays: Sequence[Array | None]) -> Sequence[Array] | None:
    """Run a graph's node with its kernel, for constant folding; None if the vocabulary does not have the operator."""
    from interchange.eager.tensor import no_grad, wrap

    op = TABLE.get((node.domain, node.op_type))
    if op is None or any(a.ref is not None for a in node.attributes.values()):
        return None
    inputs = [None if a is None else wrap(a) for a in arrays]
    with no_grad():
        constants, attributes = op.adapt_node({k: a.value for k, a in node.attributes.items()}, len(node.outputs))
        return [t._data for t in op.call_node(inputs, constants, attributes)]


__all__ = [
    "TABLE",
    "Op",
    "activation",
    "arithmetic",
    "conv",
    "creation",
    "einsum",
    "evaluate_node",
    "indexing",
    "linear",
    "loss",
    "norm",
    "pad",
    "pool",
    "random",
    "reduce",
    "resize",
    "sampling",
    "scan",
    "select",
    "sets",
    "shape",
    "trigonometry",
]
