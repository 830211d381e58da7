"""Which runtime releases load a model, and for those that do not, which nodes are the reason; nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from interchange.checker.context import Context, NodeRef, Scope
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
    for node, call in _calls(ctx):
        key = call, *_aspects(ctx, node, call)
        if key in found:
            refusal = found[key]
            if refusal is not None:
                refusal.more += 1
            continue
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


def _calls(ctx: Context) -> Iterator[tuple[NodeRef, Call]]:
    runs: Mapping[Scope, Sequence[Mapping[str, Any]]] = ctx.inferred.runs
    for scope in ctx.scopes:
        # without inference nothing is known of types, but of operators, versions and attributes it is
        for types in runs.get(scope, ()) if runs else ({},):
            yield from _scope_calls(ctx, scope, types)


def _scope_calls(ctx: Context, scope: Scope, types: Mapping[str, Any]) -> Iterator[tuple[NodeRef, Call]]:
    texts: dict[str, str | None] = {"": None}

    def text(name: str) -> str | None:
        if name not in texts:
            proto = types.get(name)
            texts[name] = UNKNOWN if proto is None else text_of(proto)
        return texts[name]

    @cache
    def constants() -> set[str]:
        made = {n for node in scope.proto.node if node.op_type == "Constant" for n in node.output}
        return made | set(scope.initializers).difference(scope.inputs)

    for node in scope.nodes:
        domain, op, _ = node.key
        if node.key not in ctx.functions and not is_users(op, domain):
            proto = node.proto
            sides = tuple(map(text, proto.input)), tuple(map(text, proto.output))
            call = Call(domain, op, scope.opsets, *sides, proto, tuple(map(types.get, proto.input)))
            if op == "MatMul" and call.inputs[:1] == ("tensor(double)",):
                perms = (perm_of(_maker(scope, n), types.get(n), constants()) for n in proto.input)
                call = replace(call, transposed=fuses(call, perms))
            yield node, call


def _maker(scope: Scope, name: str) -> Any:
    """The node of the same graph that makes a value which is no output of it."""
    made = scope.makers.get(name)
    return scope.proto.node[made[0]] if made and name not in scope.outputs else None


def _aspects(ctx: Context, node: NodeRef, call: Call) -> tuple[Any, ...]:
    """What else the verdict depends on: the opset, and attributes and ranks where a kernel or body looks at them."""
    opset, attributes = call.opsets.get(call.domain), node.proto.attribute
    schema = ctx.schema(node)
    if schema is not None and schema.has_function:
        ranks = tuple(None if t is None else len(t.tensor_type.shape.dim) for t in call.types)
        return opset, ranks, *(a.SerializeToString() for a in attributes)
    if is_quirky(call.domain, call.op):
        return opset, *(a.SerializeToString() for a in attributes)
    return opset, frozenset(a.name for a in attributes)
