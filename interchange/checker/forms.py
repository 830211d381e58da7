"""Nodes that are written alike: one operator, the same attributes, as many inputs and outputs; only names differ.

A large model repeats a few dozen of them. What follows from the way a node is written is looked at once for all that
share it, and what follows from the types of its inputs once for each combination of types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interchange.checker.context import NodeRef, Scope
    from interchange.schemas import OpSchema


class Form:
    """The nodes of one scope that are written alike.

    scope: where.  indexes: their numbers there.  schema: of the operator, None if the registry has none, or it is a
    call of a local function.  plain: whether they have neither subgraphs nor references to attributes of a function.
    """

    __slots__ = ("indexes", "is_call", "plain", "schema", "scope")

    def __init__(self, scope: Scope, plain: bool) -> None:
        self.scope, self.plain = scope, plain
        self.indexes: list[int] = []
        self.schema: OpSchema | None = None
        self.is_call = False

    @property
    def first(self) -> NodeRef:
        """One of them."""
        return self.scope.node(self.indexes[0])

    @property
    def nodes(self) -> list[NodeRef]:
        """All of them."""
        return [self.scope.node(i) for i in self.indexes]


def forms_of(scope: Scope) -> list[Form]:
    """The form of each node of a scope, by its number."""
    known: dict[Any, Form] = {}
    found = []
    for index, node in enumerate(scope.proto.node):
        attributes, domain, overload = node.attribute, node.domain, node.overload
        ins, outs = scope.inputs_of[index], scope.outputs_of[index]
        plain = True
        key: Any = (
            node.op_type,
            len(ins) if "" not in ins else tuple(map(bool, ins)),
            len(outs) if "" not in outs else tuple(map(bool, outs)),
        )
        if domain or overload:
            key = (*key, domain, overload)
        if attributes:
            plain = index not in scope.inner and not any(a.ref_attr_name for a in attributes)
            key = (*key, index) if index in scope.inner else (*key, *(a.SerializeToString() for a in attributes))
        form = known.get(key)
        if form is None:
            form = known[key] = Form(scope, plain)
        form.indexes.append(index)
        found.append(form)
    return found
