"""What each ONNX Runtime release can run on a CPU, from data files that `dump` wrote under the release itself."""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

FOLDER = Path(__file__).parent
_OPTIONS = {"?": "optional", "+": "variadic", "*": "variadic"}

__all__ = ["FOLDER", "Form", "Formal", "Kernel", "Runtime", "newest", "releases", "runtime"]


@dataclass(frozen=True, slots=True)
class Formal:
    """A formal input or output.  type: a type variable or a type text.  option: single, optional, variadic."""

    name: str
    type: str
    option: str


@dataclass(frozen=True, slots=True)
class Form:
    """One version of an operator as the release knows it.

    variables: type variable -> the type texts it may stand for.  attributes: their names.
    """

    since: int
    deprecated: bool
    inputs: tuple[Formal, ...]
    outputs: tuple[Formal, ...]
    variables: Mapping[str, frozenset[str]]
    attributes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Kernel:
    """One implementation.

    first, last: the versions of the operator it is for; last 0: the end is open, which counts for `first` alone.
    types: type variable, or name of a formal -> the type texts it takes.
    """

    first: int
    last: int
    types: Mapping[str, frozenset[str]]

    def serves(self, since: int) -> bool:
        """Whether the runtime takes it for that version of the operator. An open end does not reach newer versions: the
        runtime cannot know that they mean the same."""
        return self.first == since or self.first < since <= self.last


class Runtime:
    """One release: what its loader accepts, its operators and kernels.

    name: ``1.23``.  version: the patch release that was measured.  ir_version, opsets: the highest that are accepted.
    """

    def __init__(self, name: str, data: Mapping[str, Any]) -> None:
        self.name = name
        self.version: str = data["version"]
        self.build: str = data["build"]
        self.ir_version: int = data["ir"]
        self.opsets: Mapping[str, int] = MappingProxyType(data["opsets"])
        self._types = [frozenset(texts.split(";")) for texts in data["types"]]
        self._schemas: Mapping[str, Mapping[str, list[Any]]] = data["schemas"]
        self._kernels: Mapping[str, Mapping[str, list[Any]]] = data["kernels"]
        self._forms: dict[tuple[str, str, int], Form] = {}
        self._served: dict[tuple[str, str], tuple[Kernel, ...]] = {}

    def versions(self, domain: str, op: str) -> tuple[int, ...]:
        """The versions of the operator it knows, oldest first."""
        return tuple(row[0] for row in self._schemas.get(domain, {}).get(op, ()))

    def since(self, domain: str, op: str, opset: int) -> int:
        """The version of the operator in force at an opset, 0 if there is none."""
        return max((v for v in self.versions(domain, op) if v <= opset), default=0)

    def form(self, domain: str, op: str, since: int) -> Form:
        """A version of an operator that it knows."""
        key = domain, op, since
        if key not in self._forms:
            self._forms[key] = self._form(next(r for r in self._schemas[domain][op] if r[0] == since))
        return self._forms[key]

    def _form(self, row: Sequence[Any]) -> Form:
        since, deprecated, inputs, outputs, variables, attributes = row
        found = {name: self._types[number] for name, number in variables.items()}
        return Form(
            since,
            bool(deprecated),
            tuple(map(_formal, inputs)),
            tuple(map(_formal, outputs)),
            found,
            frozenset(attributes.split()),
        )

    def kernels(self, domain: str, op: str) -> tuple[Kernel, ...]:
        """All kernels of an operator."""
        key = domain, op
        if key not in self._served:
            rows = self._kernels.get(domain, {}).get(op, ())
            self._served[key] = tuple(
                Kernel(first, last, {name: self._types[number] for name, number in types.items()})
                for first, last, types in rows
            )
        return self._served[key]

    def operators(self, domain: str) -> tuple[str, ...]:
        """The operators of a domain."""
        return tuple(self._schemas.get(domain, ()))


def _formal(text: str) -> Formal:
    name, _, type_ = text.partition(" ")
    option = _OPTIONS.get(type_[-1:], "single")
    return Formal(name, type_ if option == "single" else type_[:-1], option)


@functools.cache
def runtime(name: str) -> Runtime:
    """The release ``1.23`` of ONNX Runtime; one of `releases`."""
    return Runtime(name, json.loads(gzip.decompress((FOLDER / f"onnxruntime-{name}.json.gz").read_bytes())))


@functools.cache
def releases() -> tuple[str, ...]:
    """The releases there is data of, oldest first."""
    names = [p.name.removeprefix("onnxruntime-").removesuffix(".json.gz") for p in FOLDER.glob("onnxruntime-*.json.gz")]
    return tuple(sorted(names, key=lambda name: [int(part) for part in name.split(".")]))


def newest() -> str:
    """The newest release there is data of."""
    return releases()[-1]
