"""A model as the rules see it: its graphs with their scopes, its nodes with their places, its operators' schemas."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from interchange.checker.forms import Form, forms_of
from interchange.checker.report import Where
from interchange.errors import FileError, SchemaError
from interchange.graph.external import Folder
from interchange.graph.limits import DEFAULT, Limits
from interchange.graph.naming import Alike
from interchange.graph.opening import Written
from interchange.graph.scan import too_many

if TYPE_CHECKING:
    import onnx

    from interchange.checker.infer import Inferred
    from interchange.schemas import OpSchema

FunctionKey = tuple[str, str, str]

_LONG = 1_000  # characters of a name that a message shows


def domain_of(proto: Any) -> str:
    """The domain of a node, function or opset import; ``ai.onnx`` is another name of ``""``."""
    return "" if proto.domain == "ai.onnx" else str(proto.domain)


@dataclass(eq=False, slots=True)
class NodeRef:
    """A node where it stands.  key: what it calls, if that is a local function."""

    proto: onnx.NodeProto
    scope: Scope
    index: int
    key: FunctionKey = field(init=False)

    def __post_init__(self) -> None:
        self.key = domain_of(self.proto), self.proto.op_type, self.proto.overload

    @property
    def op(self) -> str:
        """Its operator, with the domain unless that is ONNX's own."""
        domain, op, _ = self.key
        return f"{domain}::{op}" if domain else op

    @property
    def label(self) -> str:
        """Its name in quotes, or else the value it makes. It tells it from the other nodes unless two have one name."""
        made = next((o for o in self.proto.output if o), "")
        if len(self.proto.name) > _LONG:
            return f"#{self.index} {short(self.proto.name)}"
        return repr(self.proto.name) if self.proto.name else f"#{self.index} that makes {short(made)}"

    def where(self, value: str = "") -> Where:
        """Its place."""
        notes = {e.key: e.value for e in self.proto.metadata_props}
        return Where(
            file=self.scope.file,
            graph=self.scope.path,
            node=self.label,
            op=self.op,
            value=value,
            line=notes.get("interchange.line", ""),
            module=notes.get("interchange.module", ""),
            index=self.index,
        )

    def reads(self) -> set[str]:
        """The names it needs: its inputs, and what its subgraphs take from outside."""
        names = {n for n in self.proto.input if n}
        for scope in self.scope.inner.get(self.index, ()):
            names |= scope.free
        return names


@dataclass(eq=False)
class Scope:
    """One graph, subgraph or function body.

    path: for a reader.  outer, holder: the graph around it and the number of the node that holds it.
    opsets: what its nodes mean.  inner: by node number, the scopes of the subgraphs it holds.
    """

    proto: Any
    file: str
    path: str
    opsets: Mapping[str, int]
    outer: Scope | None = None
    holder: int = -1
    is_function: bool = False
    inner: dict[int, list[Scope]] = field(default_factory=dict)
    _refs: dict[int, NodeRef] = field(default_factory=dict, repr=False)

    @cached_property
    def known_opsets(self) -> dict[str, int]:
        """`opsets`, with the newest known version for one that is not known, which is another rule's finding."""
        return {domain: _known_version(domain, version) for domain, version in self.opsets.items()}

    @cached_property
    def nodes(self) -> list[NodeRef]:
        """Its nodes in the file's order. Where all of a large graph are not needed, `node` and `forms` are faster."""
        return [self.node(i) for i in range(len(self.proto.node))]

    def node(self, index: int) -> NodeRef:
        """The node of a number."""
        found = self._refs.get(index)
        if found is None:
            found = self._refs[index] = NodeRef(self.proto.node[index], self, index)
        return found

    @cached_property
    def inputs_of(self) -> list[tuple[str, ...]]:
        """The inputs of each node."""
        return [tuple(n.input) for n in self.proto.node]

    @cached_property
    def outputs_of(self) -> list[tuple[str, ...]]:
        """The outputs of each node."""
        return [tuple(n.output) for n in self.proto.node]

    @cached_property
    def forms(self) -> list[Form]:
        """How each node is written: nodes that are written alike share one."""
        return forms_of(self)

    @cached_property
    def in_order(self) -> bool:
        """Whether each value is made before it is read. Then no node waits for itself either."""
        late = set(self.makers) - self.given
        for index, (ins, outs) in enumerate(zip(self.inputs_of, self.outputs_of, strict=True)):
            if index in self.inner:
                ins = (*ins, *(n for scope in self.inner[index] for n in scope.free))
            if not late.isdisjoint(ins):
                return False
            late.difference_update(outs)
        return True

    @cached_property
    def inputs(self) -> list[str]:
        """Names of its inputs."""
        return list(self.proto.input) if self.is_function else [v.name for v in self.proto.input]

    @cached_property
    def outputs(self) -> list[str]:
        """Names of its outputs."""
        return list(self.proto.output) if self.is_function else [v.name for v in self.proto.output]

    @cached_property
    def initializers(self) -> list[str]:
        """Names of its constants, the sparse ones too."""
        if self.is_function:
            return []
        return [t.name for t in self.proto.initializer] + [t.values.name for t in self.proto.sparse_initializer]

    @cached_property
    def makers(self) -> dict[str, list[int]]:
        """Value -> the numbers of the nodes that make it."""
        made: dict[str, list[int]] = {}
        for index, names in enumerate(self.outputs_of):
            for name in names:
                if name in made:
                    made[name].append(index)
                elif name:
                    made[name] = [index]
        return made

    @cached_property
    def given(self) -> set[str]:
        """Names that exist before the first node."""
        return {*self.inputs, *self.initializers}

    @cached_property
    def names(self) -> set[str]:
        """All names it defines."""
        return self.given | self.makers.keys()

    @cached_property
    def free(self) -> set[str]:
        """Names it takes from outside."""
        return (self.used | {o for o in self.outputs if o}) - self.names

    @cached_property
    def used(self) -> set[str]:
        """Names its nodes read, and their subgraphs from here or outside."""
        used = set(itertools.chain.from_iterable(self.inputs_of))
        used.update(*(scope.free for inner in self.inner.values() for scope in inner))
        return used - {""}

    @cached_property
    def alike(self) -> Alike:
        """`names`, to look for what one was meant to be."""
        return Alike(self.names)

    def outward(self) -> Iterator[Scope]:
        """This graph, and those around it."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer

    def sees(self, name: str) -> bool:
        """Whether the name is defined here or in a graph around; not whether it is made in time."""
        return any(name in scope.names for scope in self.outward())

    def place(self, value: str = "") -> Where:
        """The graph as a place."""
        return Where(file=self.file, graph=self.path, value=value)

    def infos(self) -> Iterator[tuple[str, onnx.ValueInfoProto]]:
        """(``input``, ``output`` or ``value_info``, declaration) of each declared value."""
        if not self.is_function:
            yield from (("input", v) for v in self.proto.input)
            yield from (("output", v) for v in self.proto.output)
        yield from (("value_info", v) for v in self.proto.value_info)


class Context:
    """One model being checked. A rule reads it and yields problems; it changes nothing but `broken`."""

    def __init__(
        self,
        written: Written,
        folder: Folder | None,
        file: str,
        target: str | None = None,
        limits: Limits = DEFAULT,
        *,
        deny: Sequence[str] = (),
        scan_weights: bool = False,
        types: bool = True,
    ) -> None:
        """folder None: external data is not looked at.  types: whether types and shapes may be inferred.

        Raises FileError IX303 for more nodes, graphs, functions or metadata, or longer names, than `limits` allow.
        """
        self.written, self.model, self.windows = written, written.proto, written.windows
        self.folder, self.file, self.target, self.limits = folder, file, target, limits
        self.deny, self.scan_weights, self.types = deny, scan_weights, types
        self.opsets = opsets_of(self.model.opset_import)
        self.functions: dict[FunctionKey, Scope] = {}
        self.broken: set[NodeRef] = set()  # nodes that a rule found wrong: later layers leave them alone
        self.scopes: list[Scope] = []
        self._nodes = 0
        self._schemas: dict[tuple[str, str, int], OpSchema | SchemaError] = {}
        self._within("functions", len(self.model.functions), self.limits.functions)
        self._within("metadata", len(self.model.metadata_props), self.limits.metadata)
        self.main = self._scope(Scope(self.model.graph, file, "", self.opsets))
        for function in self.model.functions:
            path = f"function {domain_of(function)}::{function.name}"
            scope = Scope(function, file, path, opsets_of(function.opset_import), is_function=True)
            self.functions.setdefault((domain_of(function), function.name, function.overload), self._scope(scope))

    def _scope(self, scope: Scope) -> Scope:
        self.scopes.append(scope)
        self._within("graphs", len(self.scopes) - 1, self.limits.graphs)
        self._nodes += len(scope.proto.node)
        self._within("nodes", self._nodes, self.limits.nodes)
        for index, node in enumerate(scope.proto.node):
            if not node.attribute:
                continue
            for attribute, graph in graphs_of(node):
                path = f"{scope.path or 'the graph'} / {scope.node(index).label}.{attribute[:_LONG]}"
                child = Scope(graph, self.file, path, scope.opsets, scope, index)
                scope.inner.setdefault(index, []).append(child)
                self._scope(child)
        return scope

    def _within(self, limit: str, found: int, allowed: int) -> None:
        if found > allowed:
            raise too_many(self.file, f"{found} {limit}", f"at most {allowed} (the limit `{limit}`)")

    @property
    def where(self) -> Where:
        """The file as a place."""
        return Where(file=self.file)

    def nodes(self) -> Iterator[NodeRef]:
        """All nodes of all graphs and functions."""
        for scope in self.scopes:
            yield from scope.nodes

    @cached_property
    def forms(self) -> list[Form]:
        """The ways in which nodes are written, of all graphs and functions."""
        found = list(dict.fromkeys(itertools.chain.from_iterable(scope.forms for scope in self.scopes)))
        for form in found:
            form.is_call = form.first.key in self.functions
            form.schema = None if form.is_call else self.schema(form.first)
        return found

    def forms_in(self, scope: Scope) -> list[Form]:
        """How each node of a scope is written."""
        return scope.forms if self.forms else []

    def holders(self) -> Iterator[tuple[NodeRef, list[Scope]]]:
        """The nodes that hold subgraphs, with these."""
        for scope in self.scopes:
            for index, bodies in scope.inner.items():
                yield scope.node(index), bodies

    def nodes_of(self, *ops: str) -> Iterator[NodeRef]:
        """The nodes of ONNX's own operators of these names that nothing is wrong with so far."""
        for form in self.forms:
            domain, op, _ = form.first.key
            if op in ops and not domain and not form.is_call:
                yield from (node for node in form.nodes if node not in self.broken)

    def schema(self, node: NodeRef) -> OpSchema | None:
        """The schema of a node at its scope's opset, None if the registry has none."""
        found = self.look_up(node)
        return None if isinstance(found, SchemaError) else found

    def look_up(self, node: NodeRef) -> OpSchema | SchemaError:
        """The schema of a node, or the registry's error."""
        domain, op, _ = node.key
        key = (domain, op, node.scope.known_opsets.get(domain, 1))
        found = self._schemas.get(key)
        if found is None:
            found = self._schemas[key] = _look_up(*key)
        return found

    @cached_property
    def data_errors(self) -> list[tuple[FileError, Where]]:
        """What is wrong with the data of constants."""
        from interchange.checker.rules.tensors import data_errors

        return data_errors(self)

    @cached_property
    def inferred(self) -> Inferred:
        """Types and shapes of all values, and what is wrong with them."""
        from interchange.checker.infer import Inferred, infer

        return infer(self) if self.types else Inferred()


def _look_up(domain: str, op: str, version: int) -> OpSchema | SchemaError:
    from interchange import schemas

    try:
        return schemas.schema(op, version, domain)
    except SchemaError as error:
        return error


def _known_version(domain: str, version: int) -> int:
    from interchange import schemas

    try:
        newest = schemas.latest_opset(domain)
    except SchemaError:  # a domain without operators: there are none to look up
        return 1
    return version if 1 <= version <= newest else newest


def graphs_of(node: Any) -> Iterator[tuple[str, Any]]:
    """(attribute, subgraph) for each subgraph of a NodeProto."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.name, attribute.g
        for number, graph in enumerate(attribute.graphs):
            yield f"{attribute.name}[{number}]", graph


def opsets_of(imports: Any) -> dict[str, int]:
    """Domain -> version; the first import of a domain counts."""
    found: dict[str, int] = {}
    for entry in imports:
        found.setdefault(domain_of(entry), entry.version)
    return found


def plural(count: int, word: str) -> str:
    """``1 node``, ``2,000 nodes``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def listed(names: Any, limit: int = 8) -> str:
    """Names for a message, shortened."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(short(n) for n in names[:limit]) + more) or "none"


def short(name: str) -> str:
    """A name in quotes; a very long one is cut, since a thousand messages can hold it."""
    return repr(name) if len(name) <= _LONG else f"{name[:_LONG]!r}... ({len(name):,} characters)"


def sentence(text: str) -> str:
    """A message of a library without its prefix, as one line."""
    text = re.sub(r"^\[\w+\]\s*", "", text.strip())
    return " ".join(re.sub(r"\(op_type:[^)]*\):?", "", text).split())
