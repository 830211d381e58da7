"""Which runtime releases load a model, and for those that do not, which nodes are the reason; nothing is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from interchange.checker.context import Context, FunctionKey, NodeRef, Scope
from interchange.schemas.calls import UNKNOWN, Call, Verdict
from interchange.schemas.capability import judge
from interchange.schemas.functions import text_of
from interchange.schemas.quirks import fuses, is_quirky, perm_of
from interchange.schemas.registry import is_users
from interchange.schemas.runtimes import Runtime, runtime
from interchange.schemas.targets import resolve


class Limit(NamedTuple):
    """What a release does not load.  what: ``opset of ai.onnx`` or ``IR version``.  found: the model's."""

    what: str
    found: int
    highest: int


@dataclass(slots=True)
class Refusal:
    """A call which releases refuse.

    node: the first one with it.  more: how many others there are.  verdicts: release -> what it says.
    """

    call: Call
    node: NodeRef
    verdicts: Mapping[str, Verdict]
    more: int = 0


@dataclass(slots=True)
class Prediction:
    """What some releases say to a model.

    limits: release -> what in the model's opsets or IR version is beyond it.  refusals: the calls that are refused by
    releases which would load the model otherwise.
    """

    releases: tuple[str, ...]
    limits: dict[str, list[Limit]] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def loading(self) -> tuple[str, ...]:
        """The releases that load it."""
        refusing = {name for refusal in self.refusals for name in refusal.verdicts}
        return tuple(name for name in self.releases if name not in self.limits and name not in refusing)


_predictions: WeakKeyDictionary[Context, Prediction] = WeakKeyDictionary()


def predicted(ctx: Context) -> Prediction:
    """`predict` for the releases of the check's target; made once for all the rules that ask."""
    if ctx not in _predictions:
        _predictions[ctx] = predict(ctx, resolve(ctx.target).releases if ctx.target else ())
    return _predictions[ctx]


def predict(ctx: Context, releases: Sequence[str]) -> Prediction:
    """What the releases (``("1.22", "1.23")``) say to a model.

    Every node that runs is looked at: those of subgraphs, and those of functions for the types they are called with.
    Nodes that are wrong in themselves, and operators of a domain that a user registered, are left out: that is not the
    release's affair.
    """
    result = Prediction(tuple(releases))
    runtimes = [runtime(name) for name in releases]
    for release in runtimes:
        beyond = list(_beyond(ctx, release))
        if beyond:
            result.limits[release.name] = beyond
    loaders = [r for r in runtimes if r.name not in result.limits]
    if not loaders:
        return result
    found: dict[Any, Refusal | None] = {}
    for node, key, call_of in _calls(ctx):
        if key in found:
            refusal = found[key]
            if refusal is not None:
                refusal.more += 1
            continue
        call = call_of()
        verdicts = {r.name: v for r in loaders if not (v := judge(call, r))}
        found[key] = Refusal(call, node, verdicts) if verdicts else None
    result.refusals = [refusal for refusal in found.values() if refusal is not None]
    return result


def _beyond(ctx: Context, release: Runtime) -> Iterator[Limit]:
    for domain, version in ctx.opsets.items():
        highest = release.opsets.get(domain, 0)
        if highest and version > highest:
            yield Limit(f"opset of {domain or 'ai.onnx'}", version, highest)
    if ctx.model.ir_version > release.ir_version:
        yield Limit("IR version", ctx.model.ir_version, release.ir_version)


Keyed = tuple[NodeRef, Any, Callable[[], Call]]  # a node, what its verdict depends on, and its call


def _calls(ctx: Context) -> Iterator[Keyed]:
    runs: Mapping[Scope, Sequence[Mapping[str, Any]]] = ctx.inferred.runs
    for scope in ctx.scopes:
        # without inference nothing is known of types, but of operators, versions and attributes it is
        for types in runs.get(scope, ()) if runs else ({},):
            yield from _scope_calls(ctx, scope, types)


def _scope_calls(ctx: Context, scope: Scope, types: Mapping[str, Any]) -> Iterator[Keyed]:
    texts = _Texts(types)
    constant = cache(lambda: _constants(scope))
    looks_at: dict[FunctionKey, str] = {}
    for node in scope.nodes:
        name, proto = node.key, node.proto
        if name not in looks_at:
            looks_at[name] = _looks_at(ctx, node)
        what = looks_at[name]
        if what == "nothing":
            continue
        inputs, outputs = tuple([texts[n] for n in proto.input]), tuple([texts[n] for n in proto.output])
        aspects: Any = ()
        if what == "names":
            aspects = frozenset(a.name for a in proto.attribute)
        elif what == "attributes":
            aspects = tuple([a.SerializeToString() for a in proto.attribute])
        elif what == "everything":
            ranks = [len(t.tensor_type.shape.dim) if (t := types.get(n)) is not None else None for n in proto.input]
            aspects = (*ranks, *(a.SerializeToString() for a in proto.attribute))
        elif what == "makers":
            aspects = tuple(tuple(_perm(scope, n, types, constant) or ()) for n in proto.input)
        elif what == "gate":
            aspects = inputs[:1] == ("tensor(double)",) and _is_gated(scope, proto, constant)

        def call_of(node: NodeRef = node, inputs: Any = inputs, outputs: Any = outputs, perms: Any = aspects) -> Call:
            domain, op, _ = node.key
            known = tuple(map(types.get, node.proto.input))
            call = Call(domain, op, scope.opsets, inputs, outputs, node.proto, known)
            fused = (op == "MatMul" and fuses(call, perms)) or (op == "Mul" and perms is True)
            return replace(call, fused=True) if fused else call

        yield node, (name, scope.opsets.get(name[0]), inputs, outputs, aspects), call_of


class _Texts(dict[str, str | None]):
    """The types of values as texts, made when they are asked for."""

    def __init__(self, types: Mapping[str, Any]) -> None:
        super().__init__({"": None})
        self.types = types

    def __missing__(self, name: str) -> str | None:
        proto = self.types.get(name)
        self[name] = UNKNOWN if proto is None else text_of(proto)
        return self[name]


def _looks_at(ctx: Context, node: NodeRef) -> str:
    """What the verdict on calls of an operator depends on beside their types."""
    domain, op, _ = node.key
    if node.key in ctx.functions or is_users(op, domain):
        return "nothing"
    schema = ctx.schema(node)
    if schema is not None and schema.has_function:
        return "everything"
    if is_quirky(domain, op):
        return "attributes"
    if domain or schema is None:
        return "names"
    return {"MatMul": "makers", "Mul": "gate"}.get(op, "types")


def _perm(scope: Scope, name: str, types: Mapping[str, Any], constant: Callable[[], set[str]]) -> list[int] | None:
    """The permutation of the Transpose that makes a value, see `schemas.quirks.fuses`."""
    made = scope.makers.get(name)
    if not made or name in scope.outputs or scope.proto.node[made[0]].op_type != "Transpose":
        return None
    outer = perm_of(scope.proto.node[made[0]], types.get(name), constant())
    source = scope.proto.node[made[0]].input[0] if outer else ""
    inner = _perm(scope, source, types, constant) if outer and made[0] > scope.makers.get(source, made)[0] else None
    # the runtime makes one Transpose of two
    return [inner[i] for i in outer] if outer and inner and sorted(outer) == list(range(len(inner))) else outer


def _is_gated(scope: Scope, proto: Any, constant: Callable[[], set[str]]) -> bool:
    """Whether a Mul is x * Sigmoid(a * x), and the Sigmoid has no other use."""
    if len(proto.input) != 2:
        return False
    for x, gate in (proto.input, proto.input[::-1]):
        made = scope.makers.get(gate)
        node = scope.proto.node[made[0]] if made else None
        if node is None or node.op_type != "Sigmoid" or gate in scope.outputs or len(node.input) != 1:
            continue
        inner = scope.makers.get(node.input[0])
        scaled = scope.proto.node[inner[0]] if inner else None
        same = node.input[0] == x or (
            scaled is not None
            and scaled.op_type == "Mul"
            and x in scaled.input
            and not constant().isdisjoint(scaled.input)
        )
        if same and sum(names.count(gate) for names in scope.inputs_of) == 1:
            return True
    return False


def _constants(scope: Scope) -> set[str]:
    """The values whose data the runtime knows before it runs."""
    made = {n for node in scope.proto.node if node.op_type == "Constant" for n in node.output}
    return made | set(scope.initializers).difference(scope.inputs)
