"""Subgraphs and the names around them."""

from __future__ import annotations

from typing import Any

from .building import branch, condition, const, node, value
from .kind import family

kind = family("scopes")
THEN = [value("then")]


@kind("a subgraph reads an undefined value", "IX506", "'ghost'", "nothing inside or around it makes the value")
def _() -> Any:
    return condition(branch([node("Relu", ["ghost"], ["then"], "inner")], THEN))


@kind("a subgraph reuses an outer name", "IX516", "'c'", "one name would mean two values")
def _() -> Any:
    return condition(branch([node("Neg", ["x"], ["c"], "inner"), node("Relu", ["c"], ["then"], "r")], THEN))


@kind("a constant of a subgraph hides an outer value", "IX516", "'x'", "one name would mean two values")
def _() -> Any:
    then = branch([node("Relu", ["x"], ["then"], "inner")], THEN)
    then.initializer.append(const("x", [[1, 2, 3], [4, 5, 6]]))
    return condition(then)


@kind("a subgraph hands an outer value through", "IX517", "'x'", "a subgraph gives what it makes itself")
def _() -> Any:
    return condition(branch([], [value("x")]))


@kind("an outer node reads a subgraph's value", "IX506", "'then'", "names of a subgraph do not exist outside of it")
def _() -> Any:
    then = branch([node("Relu", ["x"], ["then"], "inner")], THEN)
    m = condition(then, None, node("Relu", ["then"], ["z"], "outside"))
    m.graph.output.append(value("z"))
    return m


@kind("a branch reads the other branch's value", "IX506", "'other'", "names of one branch do not exist in the other")
def _() -> Any:
    return condition(branch([node("Relu", ["other"], ["then"], "inner")], THEN))


@kind(
    "a subgraph reads what comes later", "IX507", "'late'", "the value is made after the node that holds the subgraph"
)
def _() -> Any:
    return condition(
        branch([node("Relu", ["late"], ["then"], "inner")], THEN), None, node("Abs", ["x"], ["late"], "after")
    )


@kind("a subgraph reads its own node's output", "IX508", "'bad_node'", "the node waits for itself")
def _() -> Any:
    return condition(branch([node("Relu", ["y"], ["then"], "inner")], THEN))


@kind("a value made twice in a subgraph", "IX509", "'then'", "two nodes of a branch make one value")
def _() -> Any:
    return condition(branch([node("Relu", ["x"], ["then"], "a"), node("Abs", ["x"], ["then"], "b")], THEN))


@kind("an output of a subgraph that nothing makes", "IX514", "'then'", "the branch promises what nothing makes")
def _() -> Any:
    return condition(branch([node("Relu", ["x"], ["t"], "inner")], THEN))


@kind("an unknown operator in a subgraph", "IX540", "'inner'", "the branch cannot be run")
def _() -> Any:
    return condition(branch([node("Relo", ["x"], ["then"], "inner")], THEN))
