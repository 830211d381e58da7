"""Values of attributes that no schema describes: numbers out of range, attributes that belong together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from interchange.checker.attributes import type_of, value_of
from interchange.checker.context import NodeRef
from interchange.checker.rule import Problem, Problems, node_rule

if TYPE_CHECKING:
    from interchange.schemas import OpSchema


@node_rule("IX553", "error", "A number out of range")
def out_of_range(node: NodeRef, schema: OpSchema) -> Problems:
    from interchange.schemas.allowed import bounds

    for proto in node.proto.attribute:
        low, high = bounds(schema.domain, proto.name)
        if proto.ref_attr_name or (low is None and high is None) or type_of(proto) not in _INTEGERS:
            continue
        value = value_of(proto)
        bad = [v for v in (value if isinstance(value, list) else [value]) if not _within(v, low, high)]
        if bad:
            yield Problem(
                f"node {node.label}: {proto.name} of {schema.title} cannot be {bad[0]}",
                node.where(),
                found=f"{proto.name}={value}",
                expected=f"{proto.name} of at least {low}" if high is None else f"{proto.name} of 32 bits",
                why="runtimes refuse the model, or compute nonsense" if high is None else "runtimes keep 32 bits",
                fix=f"correct {proto.name}",
            )
    values = [a.t for a in node.proto.attribute if a.name == "value"] if schema.name == "ConstantOfShape" else []
    if values and not schema.domain and math.prod(values[0].dims) != 1:
        yield Problem(
            f"node {node.label}: the value of a ConstantOfShape is one element",
            node.where(),
            found=f"a value of shape {list(values[0].dims)}",
            expected="a tensor of one element",
            why="runtimes refuse the model",
            fix="give one element; it fills the result",
        )


_INTEGERS = ("int", "ints")


def _within(value: int, low: int | None, high: int | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


@node_rule("IX554", "warning", "Pads that do not count")
def idle_pads(node: NodeRef, schema: OpSchema) -> Problems:
    given: Mapping[str, Any] = {a.name: a for a in node.proto.attribute}
    if "auto_pad" not in schema.attributes or "auto_pad" not in given or "pads" not in given:
        return
    mode, pads = given["auto_pad"].s.decode("utf-8", "replace"), list(given["pads"].ints)
    if mode not in ("", "NOTSET") and any(pads):
        yield Problem(
            f"node {node.label} has pads, and auto_pad={mode!r}, which computes them",
            node.where(),
            found=f"pads={pads}, auto_pad={mode!r}",
            expected="one of the two",
            why="the format forbids both; readers differ in the one they take",
            fix="remove auto_pad, or the pads",
        )


# -- lists that belong together, in ai.onnx.ml ------------------------------------------------------------------------
_PREFIXES = {
    "TreeEnsembleClassifier": ("nodes_", "class_"),
    "TreeEnsembleRegressor": ("nodes_", "target_"),
}


@node_rule("IX556", "error", "Lists of a model that do not belong together")
def lists(node: NodeRef, schema: OpSchema) -> Problems:
    if schema.domain != "ai.onnx.ml":
        return
    given = {a.name: value_of(a) for a in node.proto.attribute if type_of(a) in ("ints", "floats", "strings")}
    groups = [{n: v for n, v in given.items() if n.startswith(p)} for p in _PREFIXES.get(schema.name, ())]
    if schema.name == "LabelEncoder":
        groups = [{n: v for n, v in given.items() if n.startswith(("keys_", "values_"))}]
    if schema.name == "TreeEnsemble":
        names = ("nodes_featureids", "nodes_truenodeids", "nodes_trueleafs", "nodes_falsenodeids", "nodes_falseleafs")
        groups = [{n: given[n] for n in names if n in given}]
    wrong = next(filter(None, map(_lengths, groups)), "") or _branches(given) or _roots(given)
    if wrong:
        yield _torn(node, wrong)


def _lengths(group: Mapping[str, list[Any]]) -> str:
    """Which lists differ in length, if any; an empty list is one that is not given."""
    sizes = {name: len(values) for name, values in group.items() if values}
    return ", ".join(f"{name} has {size}" for name, size in sizes.items()) if len(set(sizes.values())) > 1 else ""


def _branches(given: Mapping[str, list[Any]]) -> str:
    """A branch of a tree that leads to no node, if any."""
    names = ("nodes_treeids", "nodes_nodeids", "nodes_modes", "nodes_truenodeids", "nodes_falsenodeids")
    if not all(given.get(n) for n in names):
        return ""
    there = set(zip(given["nodes_treeids"], given["nodes_nodeids"], strict=True))
    for tree, number, mode, *ahead in zip(*(given[n] for n in names), strict=True):
        for name, target in zip(names[3:], ahead, strict=True) if mode != "LEAF" else ():
            if (tree, target) not in there:
                return f"{name} leads from node {number} of tree {tree} to node {target}, which is not there"
    return ""


def _roots(given: Mapping[str, list[Any]]) -> str:
    """A tree that begins, or a branch that leads, beyond the nodes of a TreeEnsemble, if any."""
    count = len(given.get("nodes_featureids", ()))
    inner = [given["tree_roots"]] if "tree_roots" in given else []
    for side in ("true", "false") if inner else ():
        ahead = zip(given.get(f"nodes_{side}nodeids", ()), given.get(f"nodes_{side}leafs", ()), strict=False)
        inner.append([node for node, leaf in ahead if not leaf])
    bad = [n for numbers in inner for n in numbers if not 0 <= n < count]
    return f"a tree or branch leads to node {bad[0]} of {count}" if bad else ""


def _torn(node: NodeRef, wrong: str) -> Problem:
    return Problem(
        f"node {node.label}: {wrong}",
        node.where(),
        found=wrong,
        expected="lists of one length, and branches that lead to nodes of their tree",
        why="runtimes refuse the model, or read what lies behind",
        fix="convert the model again",
    )
