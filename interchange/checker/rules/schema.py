"""Schema: every node against the registry. Operator, version, attributes, numbers of inputs and outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

from interchange.checker.attributes import type_of, value_of
from interchange.checker.context import Context, NodeRef, domain_of, plural
from interchange.checker.rule import Problem, Problems, node_rule, rule
from interchange.errors import SchemaError
from interchange.graph.core import AttrType
from interchange.graph.reading import ATTR_FIELD

if TYPE_CHECKING:
    import onnx

    from interchange.schemas import Attribute, OpSchema


# -- the operator -----------------------------------------------------------------------------------------------------
def _unknown(ctx: Context, codes: tuple[str, ...], own_domain: bool) -> Problems:
    from interchange import schemas

    known = schemas.domains()
    for form in ctx.forms:
        if form.is_call or form.schema is not None or (domain_of(form.first.proto) in known) is not own_domain:
            continue
        error = ctx.look_up(form.first)
        if not isinstance(error, SchemaError) or error.code not in codes:
            continue
        for node in form.nodes:
            if node not in ctx.broken:
                ctx.broken.add(node)
                yield Problem(
                    f"node {node.label}: {error.message}",
                    node.where(),
                    found=(node.op or "no operator") if error.code == "IX401" else error.found or "",
                    expected=error.expected or "",
                    why="a runtime without it refuses the model",
                    fix=error.fix or "",
                )


@rule("IX540", "error", "Unknown operator")
def unknown_operator(ctx: Context) -> Problems:
    yield from _unknown(ctx, ("IX401",), own_domain=True)


@rule("IX541", "error", "An operator newer than the opset")
def newer_operator(ctx: Context) -> Problems:
    yield from _unknown(ctx, ("IX402", "IX403"), own_domain=True)


@rule("IX543", "error", "An operator of an unknown domain")
def custom_operator(ctx: Context) -> Problems:
    yield from _unknown(ctx, ("IX401",), own_domain=False)


@node_rule("IX542", "error", "A deprecated operator")
def deprecated(node: NodeRef, schema: OpSchema) -> Problems:
    if schema.deprecated:
        yield Problem(
            f"node {node.label}: {schema.name} is deprecated since opset {schema.since}",
            node.where(),
            found=f"{schema.name} at opset {node.scope.opsets.get(domain_of(node.proto))}",
            expected=f"an opset below {schema.since}, or the operators that replace it",
            why="runtimes refuse it at this opset",
            fix=f"see: interchange schema {schema.name}",
        )


# -- attributes -------------------------------------------------------------------------------------------------------
@node_rule("IX544", "error", "Unknown attribute")
def unknown_attribute(node: NodeRef, schema: OpSchema) -> Problems:
    for attribute in node.proto.attribute:
        if attribute.name not in schema.attributes:
            near = get_close_matches(attribute.name, schema.attributes, 1)
            as_input = attribute.name in [f.name for f in schema.inputs]
            fix = f"did you mean {near[0]}?" if near else "take it out"
            fix = f"give it as the input {attribute.name}: it is one since opset {schema.since}" if as_input else fix
            yield Problem(
                f"node {node.label}: {schema.title} has no attribute {attribute.name!r}",
                node.where(),
                found=f"attribute {attribute.name}",
                expected=", ".join(schema.attributes) or "no attributes",
                why="runtimes refuse the model, or ignore the attribute",
                fix=fix,
            )


@node_rule("IX545", "error", "A required attribute is missing")
def missing_attribute(node: NodeRef, schema: OpSchema) -> Problems:
    given = {a.name for a in node.proto.attribute}
    for attribute in schema.attributes.values():
        if attribute.required and attribute.name not in given:
            yield Problem(
                f"node {node.label}: {schema.title} needs the attribute {attribute.name!r}",
                node.where(),
                found=f"attributes {', '.join(sorted(given)) or 'none'}",
                expected=f"{attribute.name}: {attribute.type}",
                why="what the node computes is open",
                fix=f"give {attribute.name}",
            )


@node_rule("IX546", "error", "An attribute of another type")
def attribute_type(node: NodeRef, schema: OpSchema) -> Problems:
    for attribute, proto in _attributes(node, schema):
        kind = type_of(proto)
        if kind != attribute.type:
            yield Problem(
                f"node {node.label}: {schema.title} takes {proto.name} as {attribute.type}, not {kind or 'empty'}",
                node.where(),
                found=f"{proto.name}: {kind or 'no value'}",
                expected=f"{proto.name}: {attribute.type}",
                why="runtimes refuse the model, or take the default without a word",
                fix=f"give it as {attribute.type}",
            )


@node_rule("IX552", "error", "An attribute that contradicts itself")
def attribute_fields(node: NodeRef, schema: OpSchema) -> Problems:
    values = set(ATTR_FIELD.values())
    for _, proto in _attributes(node, schema):
        present = [field.name for field, _ in proto.ListFields() if field.name in values]
        kind = int(proto.type)
        expected = "" if proto.ref_attr_name else ATTR_FIELD[AttrType(kind)] if kind else ""
        other = [name for name in present if name != expected]
        if other or not kind:
            said = f"type {AttrType(kind).name}" if kind else "no known type"
            held = " and ".join(present) or "nothing"
            yield Problem(
                f"node {node.label}: the attribute {proto.name} says {said}, and has {held}",
                node.where(),
                found=f"{said}; values in {held}"
                + (f"; a reference to {proto.ref_attr_name!r}" if proto.ref_attr_name else ""),
                expected=f"a value in {expected} alone" if expected else "a type, and a value in the one field of it",
                why="readers differ in what they take",
                fix="make the attribute again with onnx.helper.make_attribute",
            )


@node_rule("IX547", "error", "A value the operator does not know")
def attribute_value(node: NodeRef, schema: OpSchema) -> Problems:
    for attribute, proto in _attributes(node, schema):
        if attribute.allowed is None or proto.ref_attr_name:
            continue
        value = value_of(proto)
        for item in value if isinstance(value, list) else [value]:
            if item not in attribute.allowed:
                texts = [a for a in attribute.allowed if isinstance(a, str)]
                near = get_close_matches(str(item), texts, 1, cutoff=0.5)
                yield Problem(
                    f"node {node.label}: {schema.title} does not know {proto.name}={item!r}",
                    node.where(),
                    found=f"{proto.name}={item!r}",
                    expected=f"one of {', '.join(map(repr, attribute.allowed))}",
                    why="runtimes refuse the model",
                    fix=f"did you mean {near[0]!r}?" if near else "write one of them",
                )


@rule("IX550", "error", "An attribute is given twice")
def duplicate_attribute(ctx: Context) -> Problems:
    for form in ctx.forms:
        counts = Counter(a.name for a in form.first.proto.attribute)
        twice = [n for n, count in counts.items() if count > 1]
        for node in form.nodes if twice else ():
            ctx.broken.add(node)
            for name in twice:
                yield Problem(
                    f"node {node.label} has the attribute {name!r} {counts[name]} times",
                    node.where(),
                    found=f"{counts[name]} values",
                    expected="one",
                    why="readers differ in the one they take",
                    fix="remove the others",
                )


@node_rule("IX551", "error", "A Constant without exactly one value")
def constant(node: NodeRef, schema: OpSchema) -> Problems:
    if schema.name == "Constant" and not schema.domain:
        given = [a.name for a in node.proto.attribute if a.name in schema.attributes]
        if len(given) != 1:
            yield Problem(
                f"node {node.label}: a Constant has {plural(len(given), 'value')}",
                node.where(next(iter(node.proto.output), "")),
                found=", ".join(given) or "no value",
                expected=f"one of {', '.join(schema.attributes)}",
                why="readers differ in the one they take",
                fix="keep one of them",
            )


def _attributes(node: NodeRef, schema: OpSchema) -> Iterator[tuple[Attribute, onnx.AttributeProto]]:
    """The attributes of a node that its schema knows."""
    for proto in node.proto.attribute:
        if proto.name in schema.attributes:
            yield schema.attributes[proto.name], proto


# -- numbers of inputs and outputs ------------------------------------------------------------------------------------
@node_rule("IX548", "error", "Too few or too many inputs")
def inputs(node: NodeRef, schema: OpSchema) -> Problems:
    given = list(node.proto.input)
    while given and not given[-1]:
        given.pop()
    missing = [f.name for i, f in enumerate(schema.inputs) if f.option == "single" and not "".join(given[i : i + 1])]
    if missing or not schema.min_inputs <= len(given) <= schema.max_inputs:
        names = ", ".join(f.name + {"single": "", "optional": "?", "variadic": "..."}[f.option] for f in schema.inputs)
        yield Problem(
            f"node {node.label}: {schema.title} "
            + (f"misses its input {', '.join(missing)}" if missing else f"does not take {plural(len(given), 'input')}"),
            node.where(),
            found=f"{plural(len(given), 'input')}: {', '.join(n or '(left out)' for n in given) or 'none'}",
            expected=f"({names})",
            why="runtimes refuse the model",
            fix=f"give {', '.join(missing)}" if missing else f"give at most {schema.max_inputs}",
        )


@node_rule("IX549", "error", "Too few or too many outputs")
def outputs(node: NodeRef, schema: OpSchema) -> Problems:
    count = len(node.proto.output)
    empty = [f.name for f, n in zip(schema.outputs, node.proto.output, strict=False)
             if f.option == "single" and not n]  # fmt: skip
    if empty:
        yield Problem(
            f"node {node.label}: {schema.title} leaves out its output {', '.join(empty)}",
            node.where(),
            found=f"outputs {', '.join(n or '(left out)' for n in node.proto.output)}",
            expected=f"a name for {', '.join(empty)}",
            why="runtimes refuse the model",
            fix="give it a name, even if nothing reads it",
        )
    elif not schema.min_outputs <= count <= schema.max_outputs:
        yield Problem(
            f"node {node.label}: {schema.title} does not give {plural(count, 'output')}",
            node.where(),
            found=plural(count, "output"),
            expected=f"({', '.join(f.name + ('?' if f.option == 'optional' else '') for f in schema.outputs)})",
            why="runtimes refuse the model",
            fix=f"take {schema.min_outputs} to {schema.max_outputs} outputs",
        )
