"""Text that is not UTF-8: protobuf hands it out as bytes, which no rule expects."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

    from interchange.checker.context import Context, Scope


def bad_text(ctx: Context) -> tuple[str, bytes] | None:
    """(field, content) of a text in a model that is not UTF-8."""
    try:
        for scope in ctx.scopes:
            _join(scope)
    except TypeError:  # one of them is bytes
        return bad_text_of(ctx.model)
    found = _walk([ctx.model], nodes=False)
    notes = (n for scope in ctx.scopes for n in scope.proto.node if n.doc_string or n.metadata_props)
    return found or _walk([*notes, *(form.first.proto for form in ctx.forms)])


def bad_text_of(model: onnx.ModelProto) -> tuple[str, bytes] | None:
    """The same of a message, in which each part is looked at."""
    return _walk([model])


def _join(scope: Scope) -> None:
    """All names that nodes have and use, which are most of the text of a model. Raises TypeError for bytes."""
    nodes = scope.proto.node
    "".join(itertools.chain.from_iterable(scope.inputs_of))
    "".join(itertools.chain.from_iterable(scope.outputs_of))
    for field in ("name", "op_type", "domain", "overload"):
        "".join([getattr(n, field) for n in nodes])


def _walk(messages: list[Any], nodes: bool = True) -> tuple[str, bytes] | None:
    """nodes: whether to look into those of graphs."""
    while messages:
        message = messages.pop()
        if message.DESCRIPTOR.name == "TensorProto":  # its data is no text, and large
            texts = [("name", message.name), ("doc_string", message.doc_string)]
            texts += [(e.key, e.value) for e in message.external_data]
            for key, text in texts:
                for part in (key, text):
                    if isinstance(part, bytes):
                        return f"TensorProto.{key!s}", part
            continue
        for field, value in message.ListFields():
            kind = field.type
            if kind == field.TYPE_MESSAGE:
                if hasattr(value, "ListFields"):
                    messages.append(value)
                elif nodes or field.name != "node":
                    messages.extend(value)
            elif kind == field.TYPE_STRING and type(value) is not str:
                for text in [value] if isinstance(value, bytes) else value:
                    if isinstance(text, bytes):
                        return f"{message.DESCRIPTOR.name}.{field.name}", text
    return None
