"""Nested inputs and outputs: dicts, lists, tuples, named tuples, dataclasses and None, taken apart and put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from interchange.dims import Spec

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Tree:
    """The structure of a nested value. kind: leaf, none, dict, list, tuple, namedtuple or dataclass."""

    kind: str
    keys: tuple[Any, ...] = ()  # of a dict as they are, of the others as texts
    children: tuple[Tree, ...] = ()
    type: Any = dataclasses.field(default=None, compare=False)
    value: Any = None  # of a leaf that is not a tensor: the Python constant

    def to_json(self) -> Any:
        """Plain data for the model's metadata. Types are kept by name only."""
        if self.kind in ("leaf", "none"):
            return self.kind
        if self.kind == "constant":
            return {"constant": self.value}
        entry: dict[str, Any] = {
            "kind": self.kind,
            "keys": [k if isinstance(k, (str, int)) else str(k) for k in self.keys],
            "items": [c.to_json() for c in self.children],
        }
        if self.type is not None:
            entry["type"] = self.type.__name__
        return entry

    @staticmethod
    def from_json(data: Any) -> Tree:
        """What `to_json` wrote; a named tuple or a dataclass becomes a dict, since its class is not in the file."""
        if isinstance(data, str):
            return Tree(data)
        if "constant" in data:
            return Tree("constant", value=data["constant"])
        kind = "dict" if data["kind"] in ("namedtuple", "dataclass") else data["kind"]
        return Tree(kind, tuple(data["keys"]), tuple(Tree.from_json(c) for c in data["items"]))


def _open(x: Any) -> Tree | tuple[str, list[tuple[Any, Any]], Any]:
    """One level: a leaf's tree, or (kind, [(key, child)], type)."""
    if x is None:
        return Tree("none")
    if isinstance(x, Mapping):
        return "dict", list(x.items()), None
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return "namedtuple", list(zip(x._fields, x, strict=True)), type(x)
    if isinstance(x, (list, tuple)):
        return type(x).__name__, [(str(i), v) for i, v in enumerate(x)], None
    if dataclasses.is_dataclass(x) and not isinstance(x, (type, Spec)):
        return "dataclass", [(f.name, getattr(x, f.name)) for f in dataclasses.fields(x) if f.init], type(x)
    return Tree("leaf")


def flatten(x: Any, path: Path = ()) -> tuple[list[tuple[Path, Any]], Tree]:
    """The leaves of a nested value, each with its path, and the structure."""
    opened = _open(x)
    if isinstance(opened, Tree):
        return ([(path, x)] if opened.kind == "leaf" else []), opened
    kind, items, type_ = opened
    leaves: list[tuple[Path, Any]] = []
    children = []
    for key, value in items:
        below, tree = flatten(value, (*path, str(key)))
        leaves += below
        children.append(tree)
    return leaves, Tree(kind, tuple(k for k, _ in items), tuple(children), type_)


def unflatten(tree: Tree, leaves: Iterator[Any]) -> Any:
    """The nested value with this structure and these leaves, in order."""
    if tree.kind == "leaf":
        return next(leaves)
    if tree.kind == "none":
        return None
    if tree.kind == "constant":
        return tree.value
    items = [unflatten(c, leaves) for c in tree.children]
    if tree.kind == "dict":
        return dict(zip(tree.keys, items, strict=True))
    if tree.kind == "list":
        return items
    if tree.kind == "tuple":
        return tuple(items)
    return tree.type(**dict(zip(tree.keys, items, strict=True)))


def map_leaves(function: Callable[[Any], Any], x: Any) -> Any:
    """The same structure with `function` applied to each leaf."""
    leaves, tree = flatten(x)
    return unflatten(tree, iter([function(v) for _, v in leaves]))
