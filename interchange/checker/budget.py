"""What a model would cost: nodes after functions are written out, and values that constants make huge.

A file of a kilobyte can stand for 2**30 nodes, or for a tensor of terabytes. Counted here before any library that
would write it out, or allocate it, sees it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from interchange.checker import shapes
from interchange.checker.context import Context, FunctionKey, NodeRef, Scope, domain_of
from interchange.checker.rule import Problem
from interchange.checker.typetext import reader_text
from interchange.graph.limits import Limits

# operator -> its inputs that hold a shape, or one number for each axis: as many numbers as a tensor has axes
SHAPE_INPUTS: Mapping[str, tuple[int, ...]] = {
    "AffineGrid": (1,),
    "CenterCropPad": (1,),
    "Col2Im": (1, 2),
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "MaxUnpool": (2,),
    "Pad": (1, 3),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Squeeze": (1,),
    "Tile": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}

Types = Mapping[str, Any]  # value -> TypeProto
Looked = Iterator[tuple[str, Problem]]


# -- functions --------------------------------------------------------------------------------------------------------
def expansion(ctx: Context) -> dict[Scope, tuple[int, int]]:
    """Scope -> (nodes after all calls are written out, how deep calls go) of the main graph and each function.

    One look at each function (a dynamic programme over the call graph), without recursion. Functions that call
    themselves are left out, and what calls them counts them as nothing.
    """
    calls = {scope: _calls(ctx, scope) for scope in (ctx.main, *ctx.functions.values())}
    done: dict[Scope, tuple[int, int]] = {}
    entered: set[Scope] = set()
    ahead = [ctx.main, *ctx.functions.values()]
    while ahead:
        scope = ahead[-1]
        own, called = calls[scope]
        open_calls = [c for key in called if (c := ctx.functions[key]) not in done and c not in entered]
        if scope not in done and scope not in entered and open_calls:
            entered.add(scope)
            ahead += open_calls
            continue
        ahead.pop()
        inner = [(done.get(ctx.functions[key], (0, 0)), times) for key, times in called.items()]
        done[scope] = own + sum(n * times for (n, _), times in inner), 1 + max((d for (_, d), _ in inner), default=0)
    return done


def _calls(ctx: Context, scope: Scope) -> tuple[int, dict[FunctionKey, int]]:
    """(nodes of a scope with its subgraphs, function -> times it is called there)."""
    own, called, ahead = 0, dict[FunctionKey, int](), [scope]
    while ahead:
        at = ahead.pop()
        own += len(at.proto.node)
        ahead += [inner for held in at.inner.values() for inner in held]
        if ctx.functions:
            for node in at.nodes:
                if node.key in ctx.functions:
                    called[node.key] = called.get(node.key, 0) + 1
    return own, called


# -- values -----------------------------------------------------------------------------------------------------------
def look_before(node: NodeRef, proto: Any, types: Types, limits: Limits) -> Looked:
    """Inputs that would make a library loop or allocate without end while it works out shapes."""
    positions = SHAPE_INPUTS.get(proto.op_type, ()) if not domain_of(proto) else ()
    for position in positions:
        name = proto.input[position] if position < len(proto.input) else ""
        dims = shapes.dims_of(types[name]) if name in types else None
        if dims and len(dims) == 1 and dims[0] is not None and dims[0] > 2 * limits.rank:  # Pad has two for each axis
            yield (
                "rank",
                Problem(
                    f"node {node.label}: its input {name!r} holds {dims[0]} numbers, one for each axis of a tensor",
                    node.where(name),
                    found=f"{name}: {reader_text(types[name])}",
                    expected=f"at most {limits.rank} axes (the limit `rank`)",
                    why="libraries make a list that long while they work out shapes: they hang, or run out of memory",
                    fix="correct the shape that is declared; a model with this is hostile or damaged",
                ),
            )


def look_after(
    node: NodeRef, proto: Any, types: Mapping[str, Any], outputs: Mapping[str, Any], limits: Limits
) -> Looked:
    """Outputs that are huge where no input is."""
    for name in proto.output:
        count = elements(outputs[name]) if name in outputs else None
        if count is None or count <= limits.elements:
            continue
        given = [c for n in proto.input if n in types and (c := elements(types[n])) is not None]
        if max(given, default=0) <= limits.elements:
            yield (
                "elements",
                Problem(
                    f"node {node.label} makes a value of {about(count)} elements",
                    node.where(name),
                    found=f"{name}: {reader_text(outputs[name])}",
                    expected=f"at most {limits.elements} elements (the limit `elements`)",
                    why="the first run fills the memory; some runtimes compute it while they load the model",
                    fix="if the model is yours, make the value smaller or raise the limit; if not, do not load it",
                ),
            )


def about(count: int) -> str:
    """A number for a reader; Python writes none of more than 4,300 digits."""
    return str(count) if count < 10**9 else f"about 10**{int(math.log10(count))}"


def elements(proto: Any) -> int | None:
    """The number of elements of a type, counting sizes that are not known as one; None for what is no tensor."""
    dims = shapes.dims_of(proto)
    return None if dims is None else math.prod(d for d in dims if d is not None)
