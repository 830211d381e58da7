"""Detours: casts around an operator that has no kernel for a dtype, to a dtype that holds every value and has one.

The table is derived from the releases' own, for any set of them: `find` asks `judge` about each wider type in turn.
A detour keeps values, not bits: what a kernel of float16 would round in between, one of float32 does not. Integers that
wrap around wrap again in the cast back, since arithmetic modulo 2^n does not depend on the width it is done in.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from interchange.dtypes import BY_NAME, name_of
from interchange.errors import SchemaError
from interchange.schemas.attributes import DTYPE_ATTRIBUTES
from interchange.schemas.calls import Call
from interchange.schemas.capability import judge
from interchange.schemas.opschema import Formal
from interchange.schemas.registry import schema
from interchange.schemas.runtimes import Runtime
from interchange.schemas.typetext import to_dtype, to_text

# dtype -> the ones that hold all its values, the cheapest first
_WIDER: Mapping[str, tuple[str, ...]] = {
    "bool": ("uint8", "int32", "int64"),
    "int2": ("int8", "int32", "int64"),
    "int4": ("int8", "int32", "int64"),
    "int8": ("int32", "int64"),
    "int16": ("int32", "int64"),
    "int32": ("int64",),
    "uint2": ("uint8", "int32", "int64"),
    "uint4": ("uint8", "int32", "int64"),
    "uint8": ("int32", "uint32", "int64", "uint64"),
    "uint16": ("int32", "uint32", "int64", "uint64"),
    "uint32": ("int64", "uint64"),
    "float4e2m1": ("float32",),
    "float6e2m3": ("float32",),
    "float6e3m2": ("float32",),
    "float8e4m3fn": ("float32",),
    "float8e4m3fnuz": ("float32",),
    "float8e5m2": ("float32",),
    "float8e5m2fnuz": ("float32",),
    "float8e8m0": ("float32",),
    "float16": ("float32", "float64"),
    "bfloat16": ("float32", "float64"),
    "float32": ("float64",),
}
_LOSSY: Mapping[str, tuple[str, ...]] = {"float64": ("float32",)}
_MOVED: Mapping[str, tuple[str, ...]] = {
    "bool": ("float32",),
    "int8": ("float32",),
    "int16": ("float32",),
    "int32": ("float64",),
    "uint8": ("float32",),
    "uint16": ("float32",),
    "uint32": ("float64",),
}
"""For what only moves values: integers as floats which hold them exactly."""
_MOVERS = frozenset(("DepthToSpace", "SpaceToDepth"))
# what these do depends on the very type: on its bits, its limits, or as the thing that is asked for
_BOUND_TO_THEIR_TYPE = frozenset(
    (
        *("BitCast", "CastLike", "ConstantOfShape", "ConvInteger", "DynamicQuantizeLinear", "MatMulInteger"),
        *("QLinearConv", "QLinearMatMul", "If", "Loop", "Scan"),
        *("Optional", "OptionalGetElement", "OptionalHasElement"),
    )
)
# of these on the integers alone; from 23 on an attribute chooses the types apart from each other
_QUANTIZING = {"DequantizeLinear": 23, "QuantizeLinear": 23}
_HALVES = ("tensor(float16)", "tensor(bfloat16)")


@dataclass(frozen=True, slots=True)
class Casts:
    """What to cast around a call.

    inputs, outputs: position -> the type text in which the operator shall have it.  lossy: whether values are rounded.
    """

    inputs: Mapping[int, str]
    outputs: Mapping[int, str]
    lossy: bool

    def of(self, call: Call) -> Call:
        """The call with the casts around it."""
        inputs = tuple(self.inputs.get(i, text) for i, text in enumerate(call.inputs))
        outputs = tuple(self.outputs.get(i, text) for i, text in enumerate(call.outputs))
        return replace(call, inputs=inputs, outputs=outputs, types=(), fused=False)

    def pairs(self, call: Call) -> list[tuple[str, str]]:
        """(dtype, the one it is cast to), each once."""
        sides = ((call.inputs, self.inputs), (call.outputs, self.outputs))
        return list(dict.fromkeys((texts[i] or "", wide) for texts, casts in sides for i, wide in casts.items()))


def find(call: Call, runtimes: Sequence[Runtime], *, lossy: bool = False) -> Casts | None:
    """The fewest casts with which every release runs a call; None if there are none, or none are needed.

    lossy: also float64 to float32.
    """
    if call.op in _BOUND_TO_THEIR_TYPE or all(judge(call, r) for r in runtimes):
        return None
    try:
        found = schema(call.op, call.opsets.get(call.domain, 1), call.domain)
    except SchemaError:  # an operator that another rule tells about
        return None
    quantizing = found.since < _QUANTIZING.get(call.op, 0)
    if DTYPE_ATTRIBUTES & found.attributes.keys() - {"stash_type", "softmax_precision"} and not quantizing:
        return None
    inputs, outputs = _variables(call.inputs, found.inputs), _variables(call.outputs, found.outputs)
    bound: dict[str, str] = {}  # type variable -> its type in this call
    for variables, texts in ((inputs, call.inputs), (outputs, call.outputs)):
        for i, variable in variables.items():
            bound.setdefault(variable, texts[i] or "")
    if quantizing:
        bound = {variable: text for variable, text in bound.items() if text in _HALVES}
    for types in _candidates(bound, lossy, call.op in _MOVERS):
        casts = Casts(
            {i: types[v] for i, v in inputs.items() if v in types},
            {i: types[v] for i, v in outputs.items() if v in types},
            any(t in _texts(_LOSSY, bound[v]) for v, t in types.items()),
        )
        around = [Call("", "Cast", call.opsets, (a,), (b,)) for a, b in _casts(call, casts)]
        if all(judge(c, r) for c in (casts.of(call), *around) for r in runtimes):
            return casts
    return None


def _variables(texts: Sequence[str | None], formals: Sequence[Formal]) -> dict[int, str]:
    """Position -> type variable, for the values whose type is known and one of a choice."""
    if not formals:
        return {}
    pairs = ((i, text, formals[min(i, len(formals) - 1)]) for i, text in enumerate(texts))
    return {i: f.type for i, text, f in pairs if text and "(" not in f.type and f.homogeneous}


def _candidates(bound: Mapping[str, str], lossy: bool, moves: bool) -> Iterator[dict[str, str]]:
    """Type variable -> other type: first the ways to change one variable, then two, and so on."""
    wider = {v: found for v, text in bound.items() if (found := _wider(text, lossy, moves))}
    for count in range(1, len(wider) + 1):
        for chosen in itertools.combinations(wider, count):
            for types in itertools.product(*(wider[v] for v in chosen)):
                yield dict(zip(chosen, types, strict=True))


@functools.cache
def _wider(text: str, lossy: bool, moves: bool) -> tuple[str, ...]:
    tables = [_WIDER, *([_MOVED] if moves else []), *([_LOSSY] if lossy else [])]
    return tuple(found for table in tables for found in _texts(table, text))


def _texts(table: Mapping[str, tuple[str, ...]], text: str) -> tuple[str, ...]:
    dtype = to_dtype(text)
    return () if dtype is None else tuple(to_text(BY_NAME[name]) for name in table.get(name_of(dtype), ()))


def _casts(call: Call, casts: Casts) -> set[tuple[str, str]]:
    """(from, to) of every Cast that is put in."""
    there = {(call.inputs[i] or "", wide) for i, wide in casts.inputs.items()}
    return there | {(wide, call.outputs[i] or "") for i, wide in casts.outputs.items()}
