"""A schema as text for a reader: rows under headings, for a terminal's tables and for plain lines alike."""

from __future__ import annotations

import re

from interchange.schemas.attributes import value_text
from interchange.schemas.opschema import Attribute, Formal, OpSchema, attribute_value
from interchange.schemas.typetext import plain

Row = tuple[str, str, str]  # name, facts, meaning


def sections(schema: OpSchema) -> dict[str, list[Row]]:
    """Heading -> rows of (name, facts, meaning): inputs, outputs, attributes and types."""
    found: dict[str, list[Row]] = {
        "inputs": [_formal(formal) for formal in schema.inputs],
        "outputs": [_formal(formal) for formal in schema.outputs],
        "attributes": [_attribute(attribute) for attribute in schema.attributes.values()],
        "types": [(variable, plain(texts), "") for variable, texts in schema.type_constraints.items()],
    }
    return {heading: rows for heading, rows in found.items() if rows}


def describe(schema: OpSchema, versions: tuple[int, ...] = ()) -> str:
    """Plain text, a line for each row; `versions` are named in the first line."""
    head = schema.title + (f"  (versions {', '.join(map(str, versions))})" if versions else "")
    lines = [head + ("  deprecated" if schema.deprecated else "")]
    summary = first_sentence(schema.doc)
    lines += [summary] if summary else []
    for heading, rows in sections(schema).items():
        width = max(len(name) for name, _, _ in rows)
        lines += ["", heading]
        lines += [f"  {name:<{width}}  {facts}" + (f"  # {doc}" if doc else "") for name, facts, doc in rows]
    return "\n".join(lines)


def first_sentence(doc: str, limit: int = 120) -> str:
    """The first sentence of a documentation text in one line, cut at a word if it is long."""
    text = " ".join(re.sub(r"<[^<>]+>", " ", doc).split())
    sentence = re.split(r"(?<=[^.\d][.:])\s", text, maxsplit=1)[0].rstrip(":")
    return sentence if len(sentence) <= limit else sentence[:limit].rsplit(" ", 1)[0] + " ..."


def _formal(formal: Formal) -> Row:
    kind = {"single": "", "optional": ", optional", "variadic": f", {formal.min_arity} or more"}[formal.option]
    mixed = "" if formal.homogeneous else ", each of its own type"
    type_ = plain([formal.type]) if "(" in formal.type else formal.type
    return formal.name, type_ + kind + mixed, first_sentence(formal.doc)


def _attribute(attribute: Attribute) -> Row:
    default = attribute_value(attribute)
    value = ", required" if attribute.required else ", optional" if default is None else f" = {default}"
    allowed = (
        ""
        if attribute.allowed is None
        else f", one of {', '.join(value_text(attribute, v) for v in attribute.allowed)}"
    )
    return attribute.name, attribute.type + value + allowed, first_sentence(attribute.doc)
