"""Repairs of structure: imports, names, order, what nothing reads. None of them changes what a model computes."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from interchange.checker.context import Context, Scope, domain_of, listed, plural
from interchange.checker.fixes.work import Repairs, Work, fixes, rename
from interchange.checker.report import Finding
from interchange.errors import SchemaError
from interchange.graph.naming import Names


# -- imports ----------------------------------------------------------------------------------------------------------
@fixes("IX503")
def equal_imports(work: Work, findings: Sequence[Finding]) -> Repairs:
    """The same domain in the same version twice: one is enough. Of two versions, nobody can say which is meant."""
    ctx = work.ctx
    for imports in (ctx.model.opset_import, *(f.proto.opset_import for f in ctx.functions.values())):
        for i in _equal((domain_of(entry), entry.version) for entry in imports):
            yield f"removed the second import of {domain_of(imports[i]) or 'ai.onnx'}"
            del imports[i]


def _equal(entries: Iterable[tuple[Hashable, Any]]) -> list[int]:
    """Positions of what may go, the last first: entries whose key stands before, if all of one key are equal."""
    found: dict[Hashable, tuple[Any, list[int]]] = {}
    different = set()
    for i, (key, content) in enumerate(entries):
        first, later = found.setdefault(key, (content, [-1]))
        later.append(i)
        if content != first:
            different.add(key)
    return sorted((i for k, (_, at) in found.items() if k not in different for i in at[2:]), reverse=True)


@fixes("IX502")
@fixes("IX505")
def missing_imports(work: Work, findings: Sequence[Finding]) -> Repairs:
    """Import a domain that is used, where all versions it can have mean the same."""
    ctx = work.ctx
    roots = [(ctx.model.opset_import, _inside(ctx.main))]
    roots += [(f.proto.opset_import, _inside(f)) for f in ctx.functions.values()]
    for imports, scopes in roots:
        known = {domain_of(entry) for entry in imports}
        used: dict[str, set[str]] = {}
        for node in (n for s in scopes for n in s.nodes):
            used.setdefault(node.key[0], set()).add(node.key[1])
        for domain in used.keys() - known:
            version = _version(ctx, domain, used[domain])
            if version:
                imports.add(domain=domain, version=version)
                yield f"imported {domain or 'ai.onnx'} {version}"


def _inside(scope: Scope) -> list[Scope]:
    return [scope, *(s for held in scope.inner.values() for inner in held for s in _inside(inner))]


def _version(ctx: Context, domain: str, operators: set[str]) -> int | None:
    """The version of a domain that must be meant; None where it is open."""
    import onnx

    from interchange import schemas

    if any(key[0] == domain for key in ctx.functions):
        return 1  # calls of local functions do not depend on it
    if domain not in schemas.domains():
        return None
    newest = schemas.latest_opset(domain)
    if newest == 1:
        return 1
    # the opsets of the releases that wrote this IR version, if all operators are the same in each of them
    column = {"": 2, "ai.onnx.ml": 3}.get(domain)
    table = onnx.helper.VERSION_TABLE
    rows = [row for row in table if row[1] == ctx.model.ir_version and column is not None and len(row) > column]
    versions = {int(row[column or 0]) for row in rows}
    try:
        found = [{schemas.schema(op, v, domain).since for v in versions} for op in operators]
    except SchemaError:
        return None
    return min(versions) if versions and all(len(f) == 1 for f in found) else None


# -- what stands twice ------------------------------------------------------------------------------------------------
@fixes("IX523")
def equal_functions(work: Work, findings: Sequence[Finding]) -> Repairs:
    """A function that is defined twice with the same content."""
    functions = work.ctx.model.functions
    for i in _equal(((domain_of(f), f.name, f.overload), _content(f)) for f in functions):
        yield f"removed the second, equal definition of function {domain_of(functions[i])}::{functions[i].name}"
        del functions[i]


def _content(message: Any) -> bytes:
    content: bytes = message.SerializeToString(deterministic=True)
    return content


@fixes("IX512")
def equal_initializers(work: Work, findings: Sequence[Finding]) -> Repairs:
    """An initializer that stands twice with the same data."""
    for scope in (s for s in work.ctx.scopes if not s.is_function):
        windows = work.windows if scope is work.ctx.main else {}
        tensors = scope.proto.initializer
        twice = _equal((t.name, (_content(t), windows.get(i))) for i, t in enumerate(tensors))
        for i in twice:
            yield f"removed the second, equal initializer {tensors[i].name!r}"
        work.drop_initializers(scope, set(twice))


@fixes("IX550")
def equal_attributes(work: Work, findings: Sequence[Finding]) -> Repairs:
    """An attribute that a node has twice with the same value."""
    for node in work.ctx.nodes():
        attributes = node.proto.attribute
        for i in range(len(attributes) - 1, 0, -1):
            if any(a == attributes[i] for a in attributes[:i]):
                yield f"removed the second, equal attribute {attributes[i].name!r} of node {node.label}"
                del attributes[i]


# -- names ------------------------------------------------------------------------------------------------------------
@fixes("IX518")
def graph_name(work: Work, findings: Sequence[Finding]) -> Repairs:
    """A name for the main graph."""
    work.ctx.model.graph.name = "main"
    yield "named the graph 'main'"


@fixes("IX510")
def node_names(work: Work, findings: Sequence[Finding]) -> Repairs:
    """A name of its own for each node that has one."""
    for scope in work.ctx.scopes:
        names = Names(n.proto.name for n in scope.nodes)
        seen: set[str] = set()
        for node in scope.nodes:
            old = node.proto.name
            if old and old in seen:
                node.proto.name = names.free(old)
                yield f"renamed the second node {old!r} to {node.proto.name!r}"
            seen.add(old)


@fixes("IX516")
def shadowing(work: Work, findings: Sequence[Finding]) -> Repairs:
    """A name of its own for a value of a subgraph that has the name of an outer one, where it is clear which of the
    two each reader means: one that stands before the maker may mean the outer value, and is left alone."""
    for scope in work.ctx.scopes:
        outer = scope.outer
        for name in sorted(scope.names) if outer is not None else ():
            if outer is None or not outer.sees(name):
                continue
            makers = scope.makers.get(name, [])
            early = any(name in n.reads() for n in scope.nodes[: makers[0] + 1]) if makers else False
            if len(makers) + (name in scope.given) == 1 and not early:
                new = work.names.free(name)
                rename(scope, name, new)
                yield f"renamed {name!r} in {scope.path} to {new!r}"


@fixes("IX517")
def handed_through(work: Work, findings: Sequence[Finding]) -> Repairs:
    """An Identity for an outer value that a subgraph gives as its output."""
    for scope in work.ctx.scopes:
        for output in scope.proto.output if scope.outer is not None else ():
            name = output.name
            if name not in scope.names and scope.outer is not None and scope.outer.sees(name):
                output.name = work.names.free(name)
                scope.proto.node.add(op_type="Identity", input=[name], output=[output.name])
                yield f"added an Identity of {name!r} in {scope.path}"


# -- order ------------------------------------------------------------------------------------------------------------
@fixes("IX507")
def order(work: Work, findings: Sequence[Finding]) -> Repairs:
    """Each node behind those whose values it reads, otherwise in the order of the file."""
    for scope in reversed(work.ctx.scopes):  # inner graphs first: sorting copies them
        wanted = _sorted(scope)
        if wanted is None:
            continue
        nodes = [type(n.proto)() for n in scope.nodes]
        for copy, node in zip(nodes, scope.nodes, strict=True):
            copy.CopyFrom(node.proto)
        del scope.proto.node[:]
        scope.proto.node.extend(nodes[i] for i in wanted)
        yield f"sorted the {plural(len(nodes), 'node')} of {scope.path or 'the graph'}"


def _sorted(scope: Scope) -> list[int] | None:
    """Positions of the nodes in a right order; None if they are in order, or cannot be."""
    needs = [
        {scope.makers[n][0] for n in node.reads() if n in scope.makers and n not in scope.given} for node in scope.nodes
    ]
    if all(p < i for i, makers in enumerate(needs) for p in makers):
        return None
    readers: dict[int, list[int]] = {}
    for i, makers in enumerate(needs):
        for maker in makers:
            readers.setdefault(maker, []).append(i)
    open_needs = [len(makers) for makers in needs]
    ready = [i for i, n in enumerate(open_needs) if not n]
    found = []
    while ready:
        found.append(heapq.heappop(ready))
        for reader in readers.get(found[-1], ()):
            open_needs[reader] -= 1
            if not open_needs[reader]:
                heapq.heappush(ready, reader)
    return found if len(found) == len(needs) else None


# -- declarations, and what nothing reads -----------------------------------------------------------------------------
@fixes("IX525")
def negative_sizes(work: Work, findings: Sequence[Finding]) -> Repairs:
    """A negative size stands for one that is open."""
    for scope in work.ctx.scopes:
        for kind, value in scope.infos():
            for axis, dim in enumerate(value.type.tensor_type.shape.dim):
                if dim.HasField("dim_value") and dim.dim_value < 0:
                    yield f"left size {axis} of {kind} {value.name!r} open, instead of {dim.dim_value}"
                    dim.ClearField("dim_value")


@fixes("IX588")
def dead_nodes(work: Work, findings: Sequence[Finding]) -> Repairs:
    """Nodes that no output depends on."""
    for scope in work.ctx.scopes:
        needed, dead = set(scope.outputs), []
        for node in reversed(scope.nodes) if scope.in_order else ():
            if needed.isdisjoint(node.proto.output):
                dead.append(node)
            else:
                needed |= node.reads()
        for node in dead:
            del scope.proto.node[node.index]
        if dead:
            names = ", ".join(n.label for n in dead[:8])
            yield f"removed {plural(len(dead), 'node')} whose results nothing reads: {names}{', ...' * (len(dead) > 8)}"


@fixes("IX595")
def unread_constants(work: Work, findings: Sequence[Finding]) -> Repairs:
    """Initializers that nothing reads."""
    for scope in (s for s in work.ctx.scopes if not s.is_function):
        read = scope.used | set(scope.outputs) | set(scope.inputs)
        dense, sparse = scope.proto.initializer, scope.proto.sparse_initializer
        unread = {i: t.name for i, t in enumerate(dense) if t.name not in read}
        unread_sparse = {i: t.values.name for i, t in enumerate(sparse) if t.values.name not in read}
        work.drop_initializers(scope, set(unread))
        for i in sorted(unread_sparse, reverse=True):
            del sparse[i]
        names = [*unread.values(), *unread_sparse.values()]
        if names:
            yield f"removed {plural(len(names), 'initializer')} that nothing reads: {listed(names)}"
