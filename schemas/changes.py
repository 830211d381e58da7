"""What changed in an operator between two opsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from interchange.schemas.attributes import value_text
from interchange.schemas.opschema import Attribute, Formal, OpSchema, attribute_text, formal_text
from interchange.schemas.registry import schema
from interchange.schemas.typetext import plain

_MARKS = {"added": "+", "removed": "-", "changed": "~"}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. kind: ``operator``, ``input``, ``output``, ``attribute`` or ``type``; what: ``added``,
    ``removed`` or ``changed``; old, new: both sides as text, None on the side where it is not; brief: only the
    difference, where both sides are long."""

    kind: str
    name: str
    what: str
    old: str | None
    new: str | None
    brief: str | None = None

    def __str__(self) -> str:
        sides = " -> ".join(side for side in (self.old, self.new) if side is not None)
        return f"{_MARKS[self.what]} {self.kind} {self.brief or sides}"


@dataclass(frozen=True, slots=True)
class SchemaDiff:
    """What changed from one opset to another. `str(diff)` is a readable text, `bool(diff)` whether anything did.

    old, new: the opsets asked for.  old_version, new_version: the versions of the operator in force there.
    """

    domain: str
    name: str
    old: int
    new: int
    old_version: int
    new_version: int
    changes: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __str__(self) -> str:
        head = f"{self.name}: opset {self.old} (version {self.old_version}) -> {self.new} (version {self.new_version})"
        if not self.changes:
            same = self.old_version == self.new_version
            return f"{head}\n  {'the same version' if same else 'no change of the signature; read the documentation'}"
        return "\n".join([head, *(f"  {change}" for change in self.changes)])

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        changes = [{key: getattr(c, key) for key in ("kind", "name", "what", "old", "new")} for c in self.changes]
        head = {key: getattr(self, key) for key in ("domain", "name", "old", "new", "old_version", "new_version")}
        return {**head, "changes": changes}


def diff(op: str, old: int, new: int, domain: str = "") -> SchemaDiff:
    """What changed in an operator from opset `old` to opset `new`.

    Raises SchemaError as `schema` does: IX401, IX402, IX403.
    """
    a, b = schema(op, old, domain), schema(op, new, domain)
    changes: list[Change] = []
    if a.deprecated != b.deprecated:
        changes.append(Change("operator", op, "changed", _status(a), _status(b)))
    changes += _formals("input", a.inputs, b.inputs)
    changes += _formals("output", a.outputs, b.outputs)
    changes += _named("attribute", _attributes(a), _attributes(b))
    changes += _types(a.type_constraints, b.type_constraints)
    return SchemaDiff(a.domain, op, old, new, a.since, b.since, tuple(changes))


def _status(version: OpSchema) -> str:
    return "deprecated" if version.deprecated else "supported"


def _formals(kind: str, old: Sequence[Formal], new: Sequence[Formal]) -> list[Change]:
    # a place that only got another name is a change of that place, not one removed and one added
    renamed = {
        b.name: a.name
        for a, b in zip(old, new, strict=False)
        if a.name != b.name and b.name not in [f.name for f in old] and a.name not in [f.name for f in new]
    }
    before = {f.name: _formal(f, i) for i, f in enumerate(old)}
    after = {renamed.get(f.name, f.name): _formal(f, i) for i, f in enumerate(new)}
    return _named(kind, before, after)


def _formal(formal: Formal, place: int) -> str:
    marks = "" if formal.homogeneous else " (each of any type)"
    least = f" ({formal.min_arity} or more)" if formal.option == "variadic" else ""
    return f"{place}: {formal_text(formal)}{marks}{least}"


def _attributes(version: OpSchema) -> dict[str, str]:
    return {name: _attribute(attribute) for name, attribute in version.attributes.items()}


def _attribute(attribute: Attribute) -> str:
    allowed = (
        "" if attribute.allowed is None else f" in {{{', '.join(value_text(attribute, v) for v in attribute.allowed)}}}"
    )
    return attribute_text(attribute) + (" (required)" if attribute.required else "") + allowed


def _named(kind: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[Change]:
    found = []
    for name in [*old, *(n for n in new if n not in old)]:
        a, b = old.get(name), new.get(name)
        if a != b:
            found.append(Change(kind, name, "added" if a is None else "removed" if b is None else "changed", a, b))
    return found


def _types(old: Mapping[str, tuple[str, ...]], new: Mapping[str, tuple[str, ...]]) -> list[Change]:
    changes = _named(
        "type", {n: f"{n}: {plain(t)}" for n, t in old.items()}, {n: f"{n}: {plain(t)}" for n, t in new.items()}
    )
    return [replace(c, brief=_brief(c.name, old[c.name], new[c.name])) if c.what == "changed" else c for c in changes]


def _brief(name: str, old: Sequence[str], new: Sequence[str]) -> str:
    """A variable may stand for 60 types: what came and what went is the news."""
    came, gone = [t for t in new if t not in old], [t for t in old if t not in new]
    parts = [f"also {plain(came)}"] if came else []
    parts += [f"no longer {plain(gone)}"] if gone else []
    return f"{name}: {', '.join(parts)}"
