"""Hygiene: what interchange wrote into the metadata, and what a model carries without need."""

from __future__ import annotations

import json
from typing import Any

from interchange.checker.context import Context, listed
from interchange.checker.rule import Problem, Problems, rule
from interchange.dims import Guard, symbols
from interchange.errors import InterchangeError

_SHAPES: dict[str, Any] = {
    "guards": list,
    "dims": dict,
    "state": list,
    "signature": dict,
    "evidence": dict,
    "detours": list,
    "source": dict,
}


@rule("IX590", "error", "Damaged metadata of interchange")
def metadata(ctx: Context) -> Problems:
    for entry in ctx.model.metadata_props:
        name = entry.key.removeprefix("interchange.")
        if name == entry.key or name not in _SHAPES:
            continue
        found = damage(name, entry.value)
        if found:
            yield Problem(
                f"the metadata entry {entry.key} cannot be read",
                ctx.where,
                found=found,
                expected="what the exporter wrote",
                why="the runtime could not enforce the model's conditions",
                fix="export the model again; or remove the entry, if its conditions are not needed",
            )


def damage(name: str, text: str) -> str:
    """What is wrong with the metadata entry ``interchange.<name>``, or ""."""
    try:
        value = json.loads(text)
        if not isinstance(value, _SHAPES[name]):
            return f"{type(value).__name__}, where {_SHAPES[name].__name__} is expected"
        if name == "guards":
            for guard in value:
                Guard.from_dict(guard)
                if not isinstance(guard.get("where"), str | None):
                    return f"a guard from the line {guard['where']!r}"
        elif name == "dims":
            for low, high in value.values():
                if not isinstance(low, int) or not (high is None or isinstance(high, int)):
                    return f"bounds {[low, high]}"
        elif name == "state":
            for part in value:
                str(part["name"] + part["output"])
        elif name == "detours":
            for part in value:
                str(part["op"] + part["from"] + part["to"])
                bool(part["lossy"])
        elif name == "evidence":
            for trial in value.get("trials", []):
                dict(trial["sizes"].items())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InterchangeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


@rule("IX591", "error", "A guard or state entry about nothing")
def dangling(ctx: Context) -> Problems:
    graph = ctx.model.graph
    sizes = {d.dim_param for v in graph.input for d in v.type.tensor_type.shape.dim if d.dim_param}
    named = {name for text in sizes for name in _names(text)}
    for key, text in ((e.key.removeprefix("interchange."), e.value) for e in ctx.model.metadata_props):
        if key not in ("guards", "state") or damage(key, text):
            continue
        for entry in json.loads(text):
            if key == "guards":
                missing = sorted(symbols(Guard.from_dict(entry).condition.expr).keys() - named)
                what, expected = f"the guard {entry['condition']}", f"sizes of inputs: {listed(sorted(named))}"
            else:
                held = {*ctx.main.inputs} & {*ctx.main.initializers}  # state starts at a value in the file
                missing = [n for n in (entry["name"],) if n not in held]
                missing += [n for n in (entry["output"],) if n not in ctx.main.outputs]
                what, expected = (
                    f"the state entry {entry['name']}",
                    "names of an input that has a value, and of an output",
                )
            if missing:
                yield Problem(
                    f"{what} is about {listed(missing)}, which the model does not have",
                    ctx.where,
                    found=listed(missing),
                    expected=expected,
                    why="the condition cannot be enforced",
                    fix="export the model again: its inputs were changed after the export",
                )


def _names(text: str) -> list[str]:
    from interchange.dims import parse_dim

    try:
        return list(symbols(parse_dim(text)))
    except InterchangeError:
        return [text]


@rule("IX595", "note", "Constants that nothing reads")
def unused(ctx: Context) -> Problems:
    for scope in ctx.scopes:
        read = scope.used | set(scope.outputs)
        if not scope.is_function:  # scales and zero points
            read |= {e.value for q in scope.proto.quantization_annotation for e in q.quant_parameter_tensor_names}
        read.update(scope.inputs)
        left = [n for n in dict.fromkeys(scope.initializers) if n not in read]
        if left:
            yield Problem(
                f"{len(left)} of {len(scope.initializers)} initializers are read by nothing",
                scope.place(),
                found=listed(left),
                expected="constants that a node reads",
                why="they make the file larger",
                fix="remove them: interchange.graph.passes.dce does",
            )
