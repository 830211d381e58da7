"""Bombs: small files that stand for endless work or memory. `interchange.checker.budget` counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from interchange.checker import budget, shapes
from interchange.checker.context import Context, NodeRef, Scope
from interchange.checker.rule import Problem, Problems, rule

_SMALL = 10_000  # nodes from which it matters how many times more there are than are written


@rule("IX527", "error", "Functions that stand for too many nodes")
def expanded(ctx: Context) -> Problems:
    if not ctx.functions:
        return
    nodes, depth = max(budget.expansion(ctx).values())  # functions that are never called count too: readers keep them
    written = sum(len(s.proto.node) for s in ctx.scopes)
    limits = ctx.limits
    if nodes > limits.expanded:
        limit = "expanded"
    elif nodes > _SMALL and nodes > limits.growth * written:
        limit = "growth"
    elif depth - 1 > limits.depth:
        limit = "depth"
    else:
        return
    many = f"{budget.about(nodes)} nodes"
    yield Problem(
        f"the model stands for {f'calls nested {depth - 1} deep' if limit == 'depth' else many}, functions written out",
        ctx.where,
        found=f"{many} from {written} in the file",
        expected=f"at most {getattr(limits, limit)}{' times as many' * (limit == 'growth')} (the limit `{limit}`)",
        why="runtimes write functions out while they load: they hang, or fill the memory",
        fix="if the model is yours, nest fewer calls, or raise the limit; if it is not, do not load it",
    )


@rule("IX572", "error", "A value of too many elements")
def elements(ctx: Context) -> Problems:
    yield from ctx.inferred.problems.get("elements", ())
    for value in ctx.model.graph.input:
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim if d.dim_value > 0]
        if math.prod(dims) > ctx.limits.elements:
            yield Problem(
                f"input {value.name!r} is declared with {budget.about(math.prod(dims))} elements",
                ctx.main.place(value.name),
                found=f"{budget.about(math.prod(dims))} elements",
                expected=f"at most {ctx.limits.elements} (the limit `elements`)",
                why="no caller can give it; who makes room for it fills the memory",
                fix="correct the declaration",
            )


@rule("IX573", "error", "A shape of too many axes")
def rank(ctx: Context) -> Problems:
    yield from ctx.inferred.problems.get("rank", ())
    for scope in ctx.scopes:
        for kind, value in scope.infos():
            axes = len(value.type.tensor_type.shape.dim)
            if axes > ctx.limits.rank:
                yield Problem(
                    f"{kind} {value.name!r} is declared with {axes} axes",
                    scope.place(value.name),
                    found=f"{axes} axes",
                    expected=f"at most {ctx.limits.rank} (the limit `rank`)",
                    why="no runtime holds such a tensor",
                    fix="correct the declaration",
                )


@rule("IX574", "error", "A loop without end")
def endless(ctx: Context) -> Problems:
    for node in ctx.nodes_of("Loop"):
        count = _number(ctx, node, 0)
        stops = _may_stop(ctx, node)
        if stops or (count is not None and count <= ctx.limits.iterations) or (count is None and _given(node, 0)):
            continue
        yield Problem(
            f"node {node.label} repeats its body {'without end' if count is None else f'{count} times'}",
            node.where(),
            found="a condition that is always true, and "
            + ("no number of iterations" if count is None else f"{count} iterations"),
            expected=f"a condition that can become false, or at most {ctx.limits.iterations} iterations (the limit "
            "`iterations`)",
            why="a run does not come to an end",
            fix="let the body compute its condition, or give a number of iterations",
        )


def _given(node: NodeRef, position: int) -> bool:
    return len(node.proto.input) > position and bool(node.proto.input[position])


def _number(ctx: Context, node: NodeRef, position: int) -> int | None:
    """The constant at an input, if it is one number."""
    return _scalar(ctx.inferred.data.get(node.scope, {}), node.proto.input[position] if _given(node, position) else "")


def _scalar(data: Mapping[str, Any], name: str) -> int | None:
    array = shapes.array_of(data[name]) if name in data else None
    return int(array.reshape(-1)[0]) if array is not None and array.size == 1 else None


def _may_stop(ctx: Context, node: NodeRef) -> bool:
    """Whether the condition of a Loop can become false, as far as that can be told from the body."""
    if _given(node, 1) and _number(ctx, node, 1) == 0:
        return True
    for body in node.scope.inner.get(node.index, ()):
        if len(body.inputs) < 2 or not body.outputs:
            return True
        if not _always_true(ctx, body, body.outputs[0], node):
            return True
    return False


def _always_true(ctx: Context, body: Scope, name: str, node: NodeRef) -> bool:
    for _ in range(len(body.proto.node) + 1):  # back through copies
        if name == body.inputs[1]:  # the condition that goes in comes out: true, if it was at the start
            return not _given(node, 1) or _number(ctx, node, 1) == 1
        if _scalar(ctx.inferred.data.get(body, {}), name) is not None:
            return _scalar(ctx.inferred.data[body], name) != 0
        makers = body.makers.get(name, [])
        maker = body.proto.node[makers[0]] if makers else None
        if maker is None or maker.op_type not in ("Identity", "Cast") or not maker.input:
            return False
        name = maker.input[0]
    return False


@rule("IX575", "error", "A window of too many elements")
def window(ctx: Context) -> Problems:
    for form in ctx.forms:
        for attribute in form.first.proto.attribute:
            size = math.prod(max(k, 1) for k in attribute.ints) if attribute.name == "kernel_shape" else 0
            for node in form.nodes if size > ctx.limits.elements else ():
                yield Problem(
                    f"node {node.label}: its window has {budget.about(size)} elements",
                    node.where(),
                    found=f"kernel_shape={list(attribute.ints)[:6]}",
                    expected=f"at most {ctx.limits.elements} elements (the limit `elements`)",
                    why="the kernel that walks it cannot be stopped from outside: the process has to be killed",
                    fix="correct the attribute; a model with this is hostile or damaged",
                )
