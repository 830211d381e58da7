"""Which nodes of a captured graph write into memory, and whether a new value under the old names says the same.

``relu_(x)`` is ``x = relu(x)`` as long as nothing else looks at x's memory afterwards. Where a view of it is read
later, or the memory belongs to a larger tensor, PyTorch itself takes the writes out of the graph (functionalisation).
"""

from __future__ import annotations

from typing import Any

import torch

# ops that may return their input itself, though their schema does not say so
_MAY_RETURN_INPUT = frozenset(
    f"aten.{name}.default"
    for name in (
        "dropout",
        "feature_dropout",
        "alpha_dropout",
        "feature_alpha_dropout",
        "type_as",
        "atleast_1d",
        "atleast_2d",
        "atleast_3d",
    )
)
_VIEWS_OF_LISTS = frozenset(("aten.meshgrid.default", "aten.meshgrid.indexing", "aten.broadcast_tensors.default"))
# ops that update running statistics which their schema does not mark as written
_KEEP_STATISTICS = dict.fromkeys((f"aten.{n}.default" for n in ("batch_norm", "instance_norm", "native_batch_norm")), 5)


def written(node: Any) -> list[Any]:
    """The argument nodes that a node writes into."""
    schema = getattr(node.target, "_schema", None)
    if schema is None or not schema.is_mutable:
        return []
    found = []
    for i, argument in enumerate(schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = node.args[i] if i < len(node.args) else node.kwargs.get(argument.name)
            found += [v for v in (value if isinstance(value, (list, tuple)) else [value]) if v is not None]
    return found


def _sources(node: Any) -> list[Any]:
    """The argument nodes whose memory a node's result may share."""
    if node.op != "call_function":
        return []
    if getattr(node.target, "__name__", "") == "getitem":
        return _of_tuple(node)
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return []
    if returns_input(node):
        return list(node.args[:1])
    if str(node.target) in _VIEWS_OF_LISTS:
        return list(node.all_input_nodes)
    return [a for formal, a in zip(schema.arguments, node.args, strict=False) if formal.alias_info is not None]


def _of_tuple(node: Any) -> list[Any]:
    """What one of several results may share memory with: views of one tensor with each other, new tensors with none."""
    several, index = node.args
    if getattr(several.target, "_schema", None) is not None and not _sources(several):
        return [u for u in several.users if u is not node and u.args[1:] == (index,)]
    return [several]


def returns_input(node: Any) -> bool:
    """Whether a node, unknown to its schema, gives back its input: dropout that drops nothing, a cast to its dtype."""
    if str(node.target) not in _MAY_RETURN_INPUT or not isinstance(node.args[0], torch.fx.Node):
        return False
    source, result = node.args[0].meta.get("val"), node.meta.get("val")
    same = source is not None and source.dtype == result.dtype and source.dim() == result.dim()
    return same and not (len(node.args) > 2 and node.args[2] is True)


def writes_into_given(graph: Any) -> bool:
    """Whether a run of the graph may write into what it is given: weights, buffers, constants, inputs."""
    given: set[Any] = set()  # nodes that may share memory with a placeholder
    for node in graph.nodes:
        if node.op in ("placeholder", "get_attr"):
            given.add(node)
        elif node.op == "call_function":
            if _keeps_statistics(node) or _writes_within(node) or given.intersection(written(node)):
                return True
            if given.intersection(_sources(node)):
                given.add(node)
    return False


def needs_functionalisation(graph: Any) -> bool:
    """Whether rebinding names would not do: see the module's text. False for most graphs, found in one pass."""
    calls = [n for n in graph.nodes if n.op == "call_function"]
    if any(_keeps_statistics(n) or _writes_within(n) or _writes_aside(n) for n in calls):
        return True
    return any(written(n) for n in calls) and not _only_own_memory(graph)


def _keeps_statistics(node: Any) -> bool:
    place = _KEEP_STATISTICS.get(str(node.target))
    return place is not None and bool(node.args[place]) and isinstance(node.args[3], torch.fx.Node)


def _writes_aside(node: Any) -> bool:
    """Whether a node's result is not what it wrote: new running statistics, a list of tensors."""
    targets = written(node)
    returns = node.target._schema.returns if targets else ()
    own = [r for r in returns if r.alias_info is not None and r.alias_info.is_write]
    return bool(targets) and not len(targets) == len(returns) == len(own) == 1


def _writes_within(node: Any) -> bool:
    """Whether a graph within the graph writes into memory. Autocast's casts are not in its graph: PyTorch adds them."""
    if not isinstance(node.target, torch._ops.HigherOrderOperator):
        return False
    if node.target.__name__ == "wrap_with_autocast":
        return True
    inner = [getattr(node.graph.owning_module, n.target) for n in node.all_input_nodes if n.op == "get_attr"]
    return any(written(n) for g in inner if isinstance(g, torch.fx.GraphModule) for n in g.graph.nodes)


def _only_own_memory(graph: Any) -> bool:
    """Whether every write is into a tensor that no other node's result, read afterwards, shares memory with."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    last_use = {node: max((order[u] for u in node.users), default=-1) for node in graph.nodes}
    family: dict[Any, set[Any]] = {}  # node -> the nodes that may share its memory, itself included
    same: dict[Any, Any] = {}  # the result of an in-place op -> what it wrote into: one tensor
    for node in graph.nodes:
        targets = written(node)
        for target in targets:
            target = same.get(target, target)
            if not isinstance(target, torch.fx.Node):
                return False
            for other in family.get(target, {target}) - {target}:
                if same.get(other) is target:
                    continue
                outside = other.op == "placeholder"  # its owner sees the change
                if outside or last_use[other] > order[node]:
                    return False
            same[node] = target
        together = {node}.union(*(family.get(s, {s}) for s in _sources(node) if isinstance(s, torch.fx.Node)))
        if len(together) > 1:
            for member in together:
                family[member] = together
    return True
