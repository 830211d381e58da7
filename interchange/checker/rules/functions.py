"""Local functions: their definitions, and the calls of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interchange.checker.attributes import type_of
from interchange.checker.context import Context, FunctionKey, NodeRef, Scope, domain_of, listed
from interchange.checker.rule import Problem, Problems, rule
from interchange.errors import SchemaError

if TYPE_CHECKING:
    from interchange.schemas import OpSchema


@rule("IX521", "error", "A function calls itself")
def recursion(ctx: Context) -> Problems:
    calls: dict[FunctionKey, set[FunctionKey]] = {key: set() for key in ctx.functions}
    keys = {scope: key for key, scope in ctx.functions.items()}
    for form in ctx.forms:
        if form.is_call and (caller := keys.get(_root(form.scope))) is not None:
            calls[caller].add(form.first.key)
    for key in _endless(calls):
        scope, reached, ahead = ctx.functions[key], set(), set(calls[key])
        while ahead:
            step = ahead.pop()
            reached.add(step)
            ahead |= calls[step] - reached
        if key in reached:
            bad = [n for s in ctx.scopes for n in s.nodes if n.key in reached and key in reached]
            ctx.broken.update(bad)
            yield Problem(
                f"{scope.path} calls itself",
                scope.place(),
                found="a call of " + ", ".join(sorted(f"{d}::{n}" for d, n, _ in calls[key] if (d, n, _) in reached)),
                expected="functions that can be written out",
                why="a function is a macro in ONNX: writing it out would never end",
                fix="use a Loop",
            )


def _endless(calls: Mapping[FunctionKey, set[FunctionKey]]) -> list[FunctionKey]:
    """The functions whose calls do not end: those that are left when what calls nothing is taken away, repeatedly."""
    callers: dict[FunctionKey, list[FunctionKey]] = {key: [] for key in calls}
    for key, called in calls.items():
        for other in called:
            callers[other].append(key)
    left = {key: len(called) for key, called in calls.items()}
    ended = [key for key, count in left.items() if not count]
    while ended:
        done = ended.pop()
        del left[done]
        for key in callers[done]:
            left[key] -= 1
            if not left[key]:
                ended.append(key)
    return list(left)


def _root(scope: Scope) -> Scope:
    while scope.outer is not None:
        scope = scope.outer
    return scope


@rule("IX522", "error", "A function is called with too much")
def function_arity(ctx: Context) -> Problems:
    for node in (n for form in ctx.forms if form.is_call for n in form.nodes):
        scope = ctx.functions[node.key]
        for kind, given, taken in (
            ("inputs", node.proto.input, scope.inputs),
            ("outputs", node.proto.output, scope.outputs),
        ):
            if len(given) > len(taken):
                ctx.broken.add(node)
                yield Problem(
                    f"node {node.label} calls {scope.path} with {len(given)} {kind}; it has {len(taken)}",
                    node.where(),
                    found=f"{len(given)} {kind}",
                    expected=f"{kind} {listed(taken)}",
                    why="ONNX Runtime refuses the model",
                    fix=f"give at most {len(taken)} {kind}, or add them to the function",
                )


@rule("IX523", "error", "A function is defined twice")
def duplicate_function(ctx: Context) -> Problems:
    keys = Counter((domain_of(f), f.name, f.overload) for f in ctx.model.functions)
    for key in (k for k, n in keys.items() if n > 1):
        yield Problem(
            f"function {key[0]}::{key[1]} is defined {keys[key]} times",
            ctx.functions[key].place(),
            found=f"{keys[key]} definitions",
            expected="one for each domain, name and overload",
            why="runtimes take one of them without a word",
            fix="remove or rename the others",
        )


@rule("IX524", "error", "A reference to an attribute that is not there")
def attribute_reference(ctx: Context) -> Problems:
    for node in (n for form in ctx.forms if not form.plain for n in form.nodes):
        root = _root(node.scope)
        known = {*root.proto.attribute, *(a.name for a in root.proto.attribute_proto)} if root.is_function else set()
        for attribute in node.proto.attribute:
            if attribute.ref_attr_name and attribute.ref_attr_name not in known:
                ctx.broken.add(node)
                yield Problem(
                    f"attribute {attribute.name} of node {node.label} refers to {attribute.ref_attr_name!r}",
                    node.where(),
                    found=f"a reference to {attribute.ref_attr_name!r}",
                    expected=f"an attribute of the function: {listed(sorted(known))}"
                    if root.is_function
                    else "a value: only the nodes of a function can refer to attributes",
                    why="its value cannot be known",
                    fix="give the attribute a value, or declare the attribute at the function",
                )


@rule("IX537", "error", "A call that does not fit its function")
def call(ctx: Context) -> Problems:
    for scope in ctx.functions.values():
        both = {*scope.proto.attribute} & {a.name for a in scope.proto.attribute_proto}
        for name in sorted(both):
            yield Problem(
                f"{scope.path} has its attribute {name!r} with and without a default",
                scope.place(),
                found=f"{name!r} in attribute and in attribute_proto",
                expected="attributes that must be given, or have a default",
                why="readers differ in whether it has to be given",
                fix="remove it from one of the lists",
            )
    inside = _inside(ctx)
    needs = {function: _needs(ctx, function, nodes) for function, nodes in inside.items()}
    types = {
        function: {a.ref_attr_name: type_of(a) for n in nodes for a in n.proto.attribute if a.ref_attr_name and a.type}
        for function, nodes in inside.items()
    }
    for node in (n for form in ctx.forms if form.is_call for n in form.nodes):
        function = ctx.functions[node.key]
        if node not in ctx.broken:
            yield from _given(ctx, node, function, types[function])
            yield from _left_out(ctx, node, function, needs[function])


@dataclass(frozen=True, slots=True)
class _Need:
    """Something that a node of a function reads. required: whether it is refused without."""

    name: str
    is_input: bool
    required: bool
    reader: NodeRef


def _given(ctx: Context, node: NodeRef, function: Scope, types: Mapping[str, str]) -> Problems:
    """Attributes of a call that the function does not have, or needs of another type."""
    known = {*function.proto.attribute, *(a.name for a in function.proto.attribute_proto)}
    for attribute in node.proto.attribute:
        name, wanted = attribute.name, types.get(attribute.name)
        if name not in known:
            yield Problem(
                f"node {node.label} gives the attribute {name!r}, which {function.path} does not have",
                node.where(),
                found=f"attribute {name}",
                expected=f"attributes of the function: {listed(sorted(known))}",
                why="it is ignored without a word",
                fix="remove it, or declare it at the function",
                severity="warning",
            )
        elif wanted is not None and type_of(attribute) != wanted:
            ctx.broken.add(node)
            yield Problem(
                f"node {node.label} gives {name!r} as {type_of(attribute)}; {function.path} needs {wanted}",
                node.where(),
                found=f"{name}: {type_of(attribute)}",
                expected=f"{name}: {wanted}",
                why="runtimes refuse the model",
                fix=f"give it as {wanted}",
            )


def _needs(ctx: Context, function: Scope, inside: list[NodeRef]) -> list[_Need]:
    """What the nodes of a function read of its inputs and attributes: each name once."""
    found: dict[tuple[str, bool], _Need] = {}
    inputs, attributes = set(function.inputs), set(function.proto.attribute)
    for inner in inside:
        schema = ctx.schema(inner) if inner.key not in ctx.functions and inner not in ctx.broken else None
        if schema is None:
            continue
        for formal, name in zip(schema.inputs, inner.proto.input, strict=False):
            if formal.option == "single" and name in inputs:
                found.setdefault((name, True), _Need(name, True, True, inner))
        for attribute in inner.proto.attribute:
            name = attribute.ref_attr_name
            if name in attributes and attribute.name in schema.attributes:
                required = schema.attributes[attribute.name].required
                found.setdefault((name, False), _Need(name, False, required, inner))
    return list(found.values())


def _left_out(ctx: Context, node: NodeRef, function: Scope, needs: list[_Need]) -> Problems:
    """Inputs and attributes which a call leaves out, and a node of the function needs."""
    given = {a.name for a in (*node.proto.attribute, *function.proto.attribute_proto)}
    filled = {f for f, n in zip(function.inputs, node.proto.input, strict=False) if n}
    for need in needs:
        if need.name in (filled if need.is_input else given):
            continue
        what = f"{'input' if need.is_input else 'attribute'} {need.name!r}"
        if need.required:
            ctx.broken.add(node)
        yield Problem(
            f"node {node.label} leaves out the {what}, which node {need.reader.label} of {function.path} reads",
            node.where(),
            found=f"inputs ({', '.join(node.proto.input)}), attributes {listed(sorted(given))}",
            expected=f"the {what}",
            why="runtimes refuse the model" if need.required else "what the function then computes is open",
            fix="give it, or give the attribute a default at the function",
            severity=None if need.required else "warning",
        )


def _inside(ctx: Context) -> dict[Scope, list[NodeRef]]:
    """The nodes of each function, with those of its subgraphs."""
    found: dict[Scope, list[NodeRef]] = {function: [] for function in ctx.functions.values()}
    for scope in ctx.scopes:
        root = _root(scope)
        if root in found:
            found[root] += scope.nodes
    return found


@rule("IX538", "warning", "A function of another opset than the model")
def function_opset(ctx: Context) -> Problems:
    from interchange import schemas

    for function, nodes in _inside(ctx).items():
        for domain, version in function.known_opsets.items():
            theirs = ctx.main.known_opsets.get(domain, version)
            if theirs == version:
                continue
            for op in sorted({n.key[1] for n in nodes if n.key[0] == domain}):
                found = [_since(schemas.schema, op, v, domain) for v in (version, theirs)]
                if found[0] != found[1]:
                    yield Problem(
                        f"{function.path} means {op} of opset {version}, the model imports opset {theirs}",
                        function.place(),
                        found=f"{op} of opset {version}, which is another in {theirs}",
                        expected=f"opset {theirs} of {domain or 'ai.onnx'}, as the model",
                        why="onnx.checker refuses the model; runtimes that write the function out may mix the two up",
                        fix="import the model's opset in the function, and write its nodes for it",
                    )


def _since(look_up: Callable[..., OpSchema], op: str, version: int, domain: str) -> int:
    """The opset in which the operator came to be what it is at a version; 0 where it does not exist."""
    try:
        return look_up(op, version, domain).since
    except SchemaError:
        return 0


@rule("IX539", "warning", "A function in the name of a standard operator")
def hides_operator(ctx: Context) -> Problems:
    from interchange import schemas

    for (domain, name, _), function in ctx.functions.items():
        if domain not in schemas.domains() or not _since(schemas.schema, name, schemas.latest_opset(domain), domain):
            continue
        yield Problem(
            f"{function.path} has the name of an operator of {domain or 'ai.onnx'}",
            function.place(),
            found=f"a function {name}",
            expected="a domain of its own for a function",
            why="the model says it computes the operator, and computes something else; some runtimes take the operator",
            fix="give the function and its calls a domain of their own",
        )
