"""The shipped data files: read once, one operator decoded when it is asked for."""

from __future__ import annotations

import functools
import gzip
import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

from interchange.schemas.allowed import allowed_values
from interchange.schemas.opschema import Attribute, Doc, Formal, OpSchema

FOLDER = Path(__file__).parent
OPTIONS = ("single", "optional", "variadic")


def _read(name: str) -> Any:
    return json.loads(gzip.decompress((FOLDER / name).read_bytes()))


@functools.cache
def structure() -> dict[str, Any]:
    """``from``: the packages it was dumped from; ``types``: lists of types; ``operators``: domain -> name -> rows."""
    found: dict[str, Any] = _read("operators.json.gz")
    return found


@functools.cache
def _docs() -> Any:
    return _read("docs.json.gz")


def decode(domain: str, name: str, row: list[Any]) -> OpSchema:
    """The schema of one row of the structural file."""
    since, flags, inputs, outputs, attributes, constraints, counts = row
    min_inputs, max_inputs, min_outputs, max_outputs = counts
    types = structure()["types"]
    variables = {variable: tuple(types[index]) for variable, index in constraints}

    def text(*path: Any) -> Doc:
        def read() -> str:
            found = _docs()[domain][name][str(since)]
            for step in path:
                found = found[step]
            return str(found)

        return read

    return OpSchema(
        domain,
        name,
        since,
        tuple(_formal(entry, text(1, i)) for i, entry in enumerate(inputs)),
        tuple(_formal(entry, text(2, i)) for i, entry in enumerate(outputs)),
        MappingProxyType(
            {
                a[0]: _attribute(a, allowed_values(domain, name, since, a[0], variables), text(3, a[0]))
                for a in attributes
            }
        ),
        MappingProxyType(variables),
        bool(flags & 1),
        bool(flags & 2),
        min_inputs,
        max_inputs,
        min_outputs,
        max_outputs,
        text(0),
    )


def _formal(entry: list[Any], doc: Doc) -> Formal:
    name, type_, option, homogeneous, min_arity = entry
    return Formal(name, type_, OPTIONS[option], bool(homogeneous), min_arity, doc)


def _attribute(entry: list[Any], allowed: tuple[Any, ...] | None, doc: Doc) -> Attribute:
    name, type_, required, *default = entry
    value = default[0] if default else None
    return Attribute(name, type_, bool(required), tuple(value) if isinstance(value, list) else value, allowed, doc)
