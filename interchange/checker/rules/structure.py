"""Structure: versions and imports; that every name means one value, which is made before it is used."""

from __future__ import annotations

import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from interchange.checker.context import Context, NodeRef, Scope, domain_of, listed, plural
from interchange.checker.rule import Problem, Problems, rule
from interchange.checker.shapes import conflict
from interchange.checker.typetext import reader_text
from interchange.graph.naming import closest

_WHY_NAMES = "a name has to mean one value: runtimes refuse the model, or choose one of the two"


# -- versions ---------------------------------------------------------------------------------------------------------
@rule("IX501", "error", "IR version unknown")
def ir_version(ctx: Context) -> Problems:
    import onnx

    newest, version = int(onnx.IR_VERSION), ctx.model.ir_version
    if not 1 <= version <= newest:
        yield Problem(
            f"IR version {version} is unknown",
            ctx.where,
            found=f"IR version {version}",
            expected=f"1 to {newest}",
            why="no released runtime loads it",
            fix="export the model again, or set ir_version to the one of its opset (10 for opset 21)",
        )


@rule("IX502", "error", "No opset import")
def no_opset(ctx: Context) -> Problems:
    for scope in ctx.scopes:
        if scope.outer is None and not scope.opsets and (scope is ctx.main or scope.nodes):
            yield Problem(
                "nothing says which operators' versions are meant",
                scope.place(),
                found="no opset import",
                expected="an opset_import for each domain that is used",
                why="operators differ from opset to opset, so the meaning is open",
                fix="add opset_import {domain: '', version: 21}, or the version it was written for",
            )


@rule("IX503", "error", "A domain is imported twice")
def duplicate_import(ctx: Context) -> Problems:
    imports = [(ctx.main, ctx.model.opset_import), *((f, f.proto.opset_import) for f in ctx.functions.values())]
    for scope, entries in imports:
        counts = Counter(domain_of(e) for e in entries)
        for domain in (d for d, n in counts.items() if n > 1):
            versions = [e.version for e in entries if domain_of(e) == domain]
            yield Problem(
                f"domain {domain or 'ai.onnx'} is imported twice",
                scope.place(),
                found=f"versions {', '.join(map(str, versions))}",
                expected="one version of each domain",
                why="readers differ in the one they take, and so in what the operators mean",
                fix="keep the version the model was written for",
            )


@rule("IX504", "error", "Opset unknown")
def opset_range(ctx: Context) -> Problems:
    from interchange import schemas

    for scope in (ctx.main, *ctx.functions.values()):
        for domain, version in scope.opsets.items():
            if domain not in schemas.domains():
                continue
            newest = schemas.latest_opset(domain)
            newest = max(newest, 5) if domain == "ai.onnx.ml" else newest
            if not 1 <= version <= newest and not domain.startswith("com."):
                yield Problem(
                    f"there is no opset {version} of {domain or 'ai.onnx'}",
                    scope.place(),
                    found=f"opset {version}",
                    expected=f"1 to {newest}",
                    why="runtimes refuse opsets they do not know",
                    fix=f"export it for opset {newest} or lower; 21 runs almost everywhere",
                )


@rule("IX505", "error", "A domain is not imported")
def missing_import(ctx: Context) -> Problems:
    for form in ctx.forms:
        domain = domain_of(form.first.proto)
        imported = domain in form.scope.opsets or not form.scope.opsets
        for node in () if imported else form.nodes:
            ctx.broken.add(node)
            yield Problem(
                f"{node.op} is used, but its domain is not imported",
                node.where(),
                found=f"imports of {', '.join(d or 'ai.onnx' for d in node.scope.opsets)}",
                expected=f"an opset_import of {domain or 'ai.onnx'}",
                fix=f"add opset_import {{domain: {domain!r}, version: ...}}",
            )


# -- values -----------------------------------------------------------------------------------------------------------
@rule("IX506", "error", "A value that nothing makes")
def undefined(ctx: Context) -> Problems:
    homes: dict[str, Scope] = {}
    for scope in ctx.scopes:
        missing = {n for n in scope.used - scope.names if not scope.sees(n)}
        if missing and not homes:
            homes = {n: s for s in reversed(ctx.scopes) for n in s.names}
        for index, names in enumerate(scope.inputs_of) if missing else ():
            for name in dict.fromkeys(n for n in names if n in missing):
                ctx.broken.add(scope.node(index))
                yield _undefined(homes, scope, name, scope.node(index))
        for note in () if scope.is_function else scope.proto.quantization_annotation:
            for name in (note.tensor_name, *(e.value for e in note.quant_parameter_tensor_names)):
                if not scope.sees(name):
                    yield _undefined(homes, scope, name, None)


def _undefined(homes: Mapping[str, Scope], scope: Scope, name: str, node: NodeRef | None) -> Problem:
    """homes: the first graph that has a name, for all names."""
    visible = [s.alike for s in scope.outward()]
    inside = homes.get(name)
    near = closest(name, visible)
    if inside is not None:
        found = f"{name!r} exists only in {inside.path or 'the main graph'}"
        fix = "make it an output of that graph, or compute it outside"
    else:
        found = f"no input, initializer or node output {name!r}"
        fix = f"did you mean {near!r}?" if near else "add the node or initializer that makes it"
    return Problem(
        f"{f'node {node.label}' if node else 'the graph'} reads {name!r}, which nothing makes",
        node.where(name) if node else scope.place(name),
        found=found,
        expected=f"one of {listed(itertools.chain.from_iterable(alike.names for alike in visible))}",
        why="the model cannot be run",
        fix=fix,
    )


@rule("IX507", "error", "Nodes are not in order")
def order(ctx: Context) -> Problems:
    for scope in (s for s in ctx.scopes if not s.in_order):
        loops = {i for loop in _cycles(scope) for i in loop}
        for node in scope.nodes:
            if node.index in loops:
                continue
            for name in sorted(node.reads()):
                if name not in scope.given and name in scope.makers and min(scope.makers[name]) >= node.index:
                    maker = scope.nodes[scope.makers[name][0]]
                    yield Problem(
                        f"node {node.label} stands before the node that makes its input {name!r}",
                        node.where(name),
                        found=f"node {node.label} at {node.index}, node {maker.label} at {maker.index}",
                        expected="nodes in an order in which every value is made before it is used",
                        why="the format asks for it; some runtimes sort, others refuse",
                        fix="sort the nodes: interchange.graph.files.save(files.load(path), path) does",
                    )


@rule("IX508", "error", "Nodes wait for each other")
def cycle(ctx: Context) -> Problems:
    for scope in (s for s in ctx.scopes if not s.in_order):
        for loop in _cycles(scope):
            nodes = [scope.nodes[i] for i in loop]
            ctx.broken.update(nodes)
            yield Problem(
                f"node {nodes[0].label} needs its own result",
                nodes[0].where(),
                found=" -> ".join([*(n.label for n in nodes[:6]), nodes[0].label]),
                expected="nodes that can be put in an order",
                why="the model cannot be run",
                fix="break the cycle; what repeats belongs into a Loop or Scan",
            )


def _cycles(scope: Scope) -> list[list[int]]:
    """Groups of nodes that reach each other (strongly connected components; Tarjan's algorithm, without recursion)."""
    needs = [
        sorted({scope.makers[n][0] for n in node.reads() if n in scope.makers and n not in scope.given})
        for node in scope.nodes
    ]
    if all(p < i for i, producers in enumerate(needs) for p in producers):
        return []
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    path: list[int] = []
    groups: list[list[int]] = []
    done: set[int] = set()
    for start in range(len(needs)):
        work = [(start, 0)] if start not in order else []
        while work:
            node, step = work.pop()
            if step == 0:
                order[node] = low[node] = len(order)
                path.append(node)
            elif needs[node][step - 1] not in done:
                low[node] = min(low[node], low[needs[node][step - 1]])
            for at in range(step, len(needs[node])):
                target = needs[node][at]
                if target not in order:
                    work += [(node, at + 1), (target, 0)]
                    break
                if target not in done:
                    low[node] = min(low[node], order[target])
            else:
                if low[node] == order[node]:
                    group = [path.pop()]
                    while group[-1] != node:
                        group.append(path.pop())
                    done.update(group)
                    if len(group) > 1 or node in needs[node]:
                        groups.append(sorted(group))
    return groups


@rule("IX509", "error", "A value is made twice")
def made_twice(ctx: Context) -> Problems:
    for scope in ctx.scopes:
        for name, makers in scope.makers.items():
            if len(makers) > 1:
                nodes = [scope.nodes[i] for i in makers]
                yield Problem(
                    f"value {name!r} is made by {len(makers)} nodes",
                    nodes[1].where(name),
                    found=", ".join(f"node {n.label} ({n.op})" for n in nodes),
                    expected="one node for each value",
                    why=_WHY_NAMES,
                    fix=f"rename the output of node {nodes[1].label} and what reads it",
                )


@rule("IX510", "error", "Two nodes have one name")
def duplicate_node_name(ctx: Context) -> Problems:
    for scope in ctx.scopes:
        named: dict[str, NodeRef] = {}
        names = [n.name for n in scope.proto.node if n.name]
        for node in scope.nodes if len(set(names)) < len(names) else ():
            first = named.setdefault(node.proto.name, node) if node.proto.name else node
            if first is not node:
                yield Problem(
                    f"two nodes are named {node.label}",
                    node.where(),
                    found=f"{first.op} at {first.index}, {node.op} at {node.index}",
                    expected="a name of its own for each node, or none",
                    why="ONNX Runtime refuses the model",
                    fix="rename one of them",
                )


def _twice(names: Iterable[str]) -> list[str]:
    return [n for n, count in Counter(names).items() if count > 1]


@rule("IX511", "error", "Two inputs have one name")
def duplicate_input(ctx: Context) -> Problems:
    for scope in ctx.scopes:
        for name in _twice(n for n in scope.inputs if n):
            yield Problem(
                f"two inputs are named {name!r}",
                scope.place(name),
                found=f"inputs {listed(scope.inputs)}",
                expected="a name of its own for each input",
                why=_WHY_NAMES,
                fix="rename one of them and what reads it",
            )


@rule("IX512", "error", "Two initializers have one name")
def duplicate_initializer(ctx: Context) -> Problems:
    for scope in ctx.scopes:
        for name, count in Counter(scope.initializers).items():
            if count == 1:
                continue
            yield Problem(
                f"two initializers are named {name!r}",
                scope.place(name),
                found=f"{count} initializers {name!r}",
                expected="a name of its own for each initializer",
                why="runtimes take the first or the last of them without a word",
                fix="remove or rename one of them",
            )


@rule("IX513", "error", "A node makes what is given already")
def made_and_given(ctx: Context) -> Problems:
    for scope in ctx.scopes:
        inputs = set(scope.inputs)
        for name in (n for n in scope.makers if n in scope.given):
            kind = "an input" if name in inputs else "an initializer"
            node = scope.nodes[scope.makers[name][0]]
            yield Problem(
                f"{name!r} is {kind}, and an output of node {node.label}",
                node.where(name),
                found=f"{kind} and a node output of one name",
                expected="one origin for each value",
                why=_WHY_NAMES,
                fix="rename the output of the node and what reads it",
            )


@rule("IX514", "error", "An output that nothing makes")
def missing_output(ctx: Context) -> Problems:
    for scope in ctx.scopes:
        for name in dict.fromkeys(scope.outputs):
            if name in scope.names or _outer_name(scope, name):
                continue
            near = scope.alike.closest(name)
            what = "function" if scope.is_function else "graph"
            yield Problem(
                f"output {name!r} of the {what} is made by nothing",
                scope.place(name),
                found=f"no node output, input or initializer {name!r}",
                expected=f"one of {listed(scope.alike.names)}",
                why="the model cannot be run",
                fix=f"did you mean {near!r}?" if near else "add the node that makes it, or remove the output",
            )


def _outer_name(scope: Scope, name: str) -> bool:
    return scope.outer is not None and scope.outer.sees(name)


@rule("IX515", "error", "No outputs")
def no_outputs(ctx: Context) -> Problems:
    if not ctx.model.graph.output:
        yield Problem(
            "the graph has no outputs",
            ctx.where,
            found="0 outputs",
            expected="at least one",
            why="ONNX Runtime loads it and fails in every run",
            fix="declare what the model computes as an output",
        )


@rule("IX516", "error", "A subgraph reuses an outer name")
def shadowed(ctx: Context) -> Problems:
    for scope in ctx.scopes:
        for name in sorted(scope.names) if scope.outer is not None else ():
            if _outer_name(scope, name):
                index = scope.makers.get(name, [-1])[0]
                yield Problem(
                    f"{name!r} is defined in a subgraph, and in a graph around it",
                    scope.nodes[index].where(name) if index >= 0 else scope.place(name),
                    found=f"two values named {name!r} in nested graphs",
                    expected="names that are different throughout nested graphs",
                    why=_WHY_NAMES,
                    fix="rename the one in the subgraph: interchange.graph.passes.unique_names does",
                )


@rule("IX517", "error", "A subgraph hands an outer value through")
def outer_output(ctx: Context) -> Problems:
    for scope in ctx.scopes:
        for name in scope.outputs if scope.outer is not None else ():
            if name not in scope.names and _outer_name(scope, name):
                yield Problem(
                    f"output {name!r} of a subgraph is a value of the graph around it",
                    scope.place(name),
                    found="an outer value as output",
                    expected="a value that the subgraph makes itself",
                    why="the format does not allow it, and ONNX Runtime refuses it",
                    fix=f"add an Identity node to the subgraph that takes {name!r}",
                )


@rule("IX518", "warning", "The graph has no name")
def unnamed(ctx: Context) -> Problems:
    if not ctx.model.graph.name:
        yield Problem(
            "the graph has no name",
            ctx.where,
            found="an empty name",
            expected="a name",
            why="the format asks for one, and onnx.checker refuses the model; runtimes do not mind",
            fix='set graph.name, for example to "main"',
        )


@rule("IX519", "error", "An input or output without a type")
def untyped(ctx: Context) -> Problems:
    graph = ctx.model.graph
    for kind, values in (("input", graph.input), ("output", graph.output)):
        for value in values:
            if not _is_said(value.type):
                yield Problem(
                    f"{kind} {value.name!r} has no type",
                    ctx.main.place(value.name),
                    found="no element type",
                    expected="a type such as float32[batch, 3]",
                    why="a caller cannot know what to give or expect",
                    fix="declare its element type and shape",
                )


def _is_said(declared: Any) -> bool:
    """Whether a TypeProto says which elements it has, down to those of a sequence or map."""
    kind = declared.WhichOneof("value")
    while kind in ("sequence_type", "optional_type", "map_type"):
        inner = getattr(declared, kind)
        declared = inner.value_type if kind == "map_type" else inner.elem_type
        kind = declared.WhichOneof("value")
    return kind == "opaque_type" or (kind is not None and bool(getattr(declared, kind).elem_type))


@rule("IX525", "error", "A negative size")
def negative_size(ctx: Context) -> Problems:
    for scope in ctx.scopes:
        for kind, value in scope.infos():
            for axis, dim in enumerate(value.type.tensor_type.shape.dim):
                if dim.HasField("dim_value") and dim.dim_value < 0:
                    yield Problem(
                        f"{kind} {value.name!r} is declared with a negative size",
                        scope.place(value.name),
                        found=f"{dim.dim_value} at axis {axis}",
                        expected="a size of 0 or more, a name, or nothing where it is open",
                        why="some exporters write -1 for an open size; readers disagree on what it means",
                        fix="give the size a name (dim_param), for example 'batch'",
                    )


@rule("IX526", "error", "An input, output or initializer without a name")
def nameless(ctx: Context) -> Problems:
    for scope in ctx.scopes:
        kinds = (("an input", scope.inputs), ("an output", scope.outputs), ("an initializer", scope.initializers))
        for kind, names in kinds:
            for position, _ in (item for item in enumerate(names) if not item[1]):
                yield Problem(
                    f"{kind} of {scope.path or 'the graph'} has no name",
                    scope.place(),
                    found=f"an empty name at position {position}",
                    expected="a name for each",
                    why="nodes read values by name, and the empty name stands for one that is left out",
                    fix="give it a name, or remove it",
                )
    for function in ctx.model.functions:
        if not function.name:
            yield Problem(
                f"a function of domain {function.domain!r} has no name",
                ctx.where,
                found="an empty name",
                expected="a name by which nodes call it",
                why="nothing can call it",
                fix="give it a name, or remove it",
            )


# -- names ------------------------------------------------------------------------------------------------------------
@rule("IX528", "error", "A name that does not look like what it is")
def deceiving_names(ctx: Context) -> Problems:
    for scope in ctx.scopes:
        names = list(_texts(scope))
        together = "".join(names)
        harmless = together.isprintable() and ".." not in together and max(map(len, names)) <= ctx.limits.name
        bad = [] if harmless else [n for n in dict.fromkeys(names) if _deceives(n) or len(n) > ctx.limits.name]
        if bad:
            control = any(unicodedata.category(c) == "Cc" for n in bad for c in n)
            longest = max(map(len, bad))
            yield Problem(
                f"{plural(len(bad), 'name')} with control or invisible characters or steps of a path, or too long",
                scope.place(),
                found=listed(n if len(n) < 80 else f"{n[:60]}... ({len(n)} characters)" for n in bad),
                expected=f"names of visible characters, at most {ctx.limits.name} (the limit `name`)",
                why="printed they change what a terminal, log or page shows; two may look like one; .. leads elsewhere",
                fix="rename them; the file may be hostile",
                severity=None if control or longest > ctx.limits.name else "warning",
            )


def _deceives(name: str) -> bool:
    return not name.isprintable() or ".." in name.replace("\\", "/").split("/")


def _texts(scope: Scope) -> Iterator[str]:
    """All names in a graph."""
    yield from (scope.proto.name, *scope.inputs, *scope.outputs, *scope.initializers)
    yield from (n.name for n in scope.proto.node)
    yield from itertools.chain.from_iterable(scope.outputs_of)
    for _, info in scope.infos():
        yield info.name
        yield from (d.dim_param for d in info.type.tensor_type.shape.dim)


@rule("IX535", "error", "Declared twice")
def declared_twice(ctx: Context) -> Problems:
    for scope in ctx.scopes:
        said: dict[str, Any] = {}
        for kind, info in scope.infos():
            first = said.setdefault(info.name, info.type)
            if kind == "value_info" and first is not info.type and _contradicts(first, info.type):
                yield Problem(
                    f"value {info.name!r} is declared twice, with two types",
                    scope.place(info.name),
                    found=f"{reader_text(first)} and {reader_text(info.type)}",
                    expected="one type for each value",
                    why="readers differ in the one they take",
                    fix="remove the one that is wrong",
                )
        holders = [(scope.path or "the graph", scope.place(), scope.proto)]
        holders += [
            (f"node {n.label}", n.where(), n.proto)
            for n in (scope.node(i) for i, p in enumerate(scope.proto.node) if len(p.metadata_props) > 1)
        ]
        holders += [("the model", ctx.where, ctx.model)] if scope is ctx.main else []
        for what, where, proto in holders:
            values: dict[str, list[str]] = {}
            for entry in proto.metadata_props:
                values.setdefault(entry.key, []).append(entry.value)
            for key, given in values.items():
                if len(given) == 1:
                    continue
                yield Problem(
                    f"the metadata of {what} has the key {key!r} twice",
                    where,
                    found=listed(v[:60] for v in given),
                    expected="one value for each key",
                    why="readers differ in the one they take; interchange refuses to load it",
                    fix="remove the others",
                )


def _contradicts(one: Any, other: Any) -> bool:
    return bool(conflict(one, other, set())[0])


@rule("IX536", "warning", "Two outputs have one name")
def duplicate_output(ctx: Context) -> Problems:
    for scope in ctx.scopes:
        for name in _twice(n for n in scope.outputs if n):
            yield Problem(
                f"two outputs are named {name!r}",
                scope.place(name),
                found=f"outputs {listed(scope.outputs)}",
                expected="a name of its own for each output",
                why="who asks for outputs by name gets fewer than the model has",
                fix="give one of them a name of its own, by an Identity node",
            )


@rule("IX529", "error", "Something newer than the IR version")
def newer_than_ir(ctx: Context) -> Problems:
    version, graph = ctx.model.ir_version, ctx.model.graph
    inputs = {v.name for v in graph.input}
    alone = [t.name for t in graph.initializer if t.name not in inputs]
    if 1 <= version < 4 and alone:
        yield Problem(
            f"constants are no inputs, as IR version {version} wants them: {listed(alone)}",
            ctx.main.place(alone[0]),
            found=f"{plural(len(alone), 'initializer')} without an input of its name, IR version {version}",
            expected="IR version 4 or newer, or an input for each initializer",
            why="onnx.checker and older runtimes refuse the model",
            fix="set ir_version to 4 or newer",
        )
    if 1 <= version < 8 and ctx.model.functions:
        yield Problem(
            f"IR version {version} has no local functions",
            ctx.where,
            found=f"{plural(len(ctx.model.functions), 'function')}, IR version {version}",
            expected="IR version 8 or newer",
            why="readers of this version do not see the functions, and know none of their calls",
            fix="set ir_version to 8 or newer",
            severity="warning",
        )
