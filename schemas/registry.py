"""Look-ups: an operator at an opset, its versions, what a domain holds; and the operators a user registered."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interchange.errors import SchemaError
from interchange.schemas.data import decode, structure
from interchange.schemas.opschema import OpSchema

_registered: dict[tuple[str, str], dict[int, OpSchema]] = {}  # (domain, name) -> version -> schema
_decoded: dict[tuple[str, str, int], OpSchema] = {}
_asked: dict[tuple[str, int | None, str], OpSchema] = {}
_latest: dict[str, int] = {}


def canonical(domain: str) -> str:
    """``ai.onnx`` is another name of the domain ``""``."""
    return "" if domain == "ai.onnx" else domain


def shown(domain: str) -> str:
    """A domain as a reader knows it."""
    return domain or "ai.onnx"


def _rows(domain: str, op: str) -> list[Any]:
    found: list[Any] = structure()["operators"].get(domain, {}).get(op, [])
    return found


def versions(op: str, domain: str = "") -> tuple[int, ...]:
    """The opsets that brought a version of the operator, oldest first. Raises SchemaError IX401 if there is none."""
    domain = canonical(domain)
    found = {row[0] for row in _rows(domain, op)} | set(_registered.get((domain, op), ()))
    if not found:
        raise _unknown(op, domain)
    return tuple(sorted(found))


def schema(op: str, opset: int | None = None, domain: str = "") -> OpSchema:
    """The operator as it is at an opset: its newest version at or below it; None: the newest of all.

    Raises SchemaError: IX401 unknown operator, IX402 it came with a later opset, IX403 no such opset.
    """
    key = (op, opset, domain)
    found = _asked.get(key)
    if found is None:
        found = _asked[key] = _look_up(op, opset, canonical(domain))
    return found


def _look_up(op: str, opset: int | None, domain: str) -> OpSchema:
    known = versions(op, domain)
    if opset is None:
        return _version(domain, op, known[-1])
    _check_opset(opset, domain)
    reached = [v for v in known if v <= opset]
    if not reached:
        raise SchemaError(
            "IX402",
            f"{op} is not part of {shown(domain)} at opset {opset}",
            found=f"opset {opset}",
            expected=f"opset {known[0]} or later",
            fix=f"ask for opset {known[0]}, or build it from operators that opset {opset} has",
        )
    return _version(domain, op, reached[-1])


def _version(domain: str, op: str, since: int) -> OpSchema:
    own = _registered.get((domain, op), {}).get(since)
    if own is not None:
        return own
    key = (domain, op, since)
    if key not in _decoded:
        _decoded[key] = decode(domain, op, next(row for row in _rows(domain, op) if row[0] == since))
    return _decoded[key]


def domains() -> tuple[str, ...]:
    """All domains which hold an operator, ONNX's own (``""``) first."""
    return tuple(sorted({*structure()["operators"], *(domain for domain, _ in _registered)}))


def operators(domain: str = "", opset: int | None = None) -> tuple[str, ...]:
    """Names of the operators a model may use at an opset (None: the newest), sorted; deprecated ones left out.

    Raises SchemaError IX401 for a domain in which nothing is registered, IX403 for no such opset.
    """
    domain = canonical(domain)
    if opset is not None:
        _check_opset(opset, domain)
    names = _names(domain)
    if not names:
        raise _unknown_domain(domain)
    found = []
    for name in names:
        reached = [v for v in versions(name, domain) if opset is None or v <= opset]
        if reached and not _version(domain, name, reached[-1]).deprecated:
            found.append(name)
    return tuple(found)


def latest_opset(domain: str = "") -> int:
    """The newest version of a domain that the registry knows. Raises SchemaError IX401 for an unknown domain."""
    domain = canonical(domain)
    if domain not in _latest:
        names = _names(domain)
        if not names:
            raise _unknown_domain(domain)
        _latest[domain] = max(versions(name, domain)[-1] for name in names)
    return _latest[domain]


def register(schema: OpSchema | None = None, /, *, replace: bool = False, **description: Any) -> OpSchema:
    """Adds an operator of a user, as an OpSchema or in the words of the operator file (docs/schemas.md)::

        register(
            domain="my.company",
            name="Scale",
            inputs=[{"name": "X", "type": "T"}],
            outputs=[{"name": "Y", "type": "T"}],
            types={"T": ["float16", "float32"]},
            attributes={"factor": {"type": "float", "default": 1.0}},
        )

    The same description again is no error; another one of the same version is, unless `replace`.
    Raises SchemaError: IX410 the description is wrong, IX412 the operator exists.
    """
    from interchange.schemas.userfile import parse  # most programs register nothing: TOML stays unloaded

    if schema is not None:
        keys = ("domain", "name", "since", "deprecated", "doc")
        own = {key: getattr(schema, key) for key in keys}
        sides = {"inputs": schema.inputs, "outputs": schema.outputs}
        description = {**own, **sides, "attributes": schema.attributes, "types": schema.type_constraints, **description}
    return _add([parse(description)], replace)[0]


def register_file(path: str | os.PathLike[str], *, replace: bool = False) -> tuple[OpSchema, ...]:
    """Adds all operators of a TOML or JSON file (its format: docs/schemas.md), or none if anything is wrong with it.

    Raises SchemaError: IX410 with all problems of the file, IX411 it cannot be read, IX412 an operator exists.
    """
    from interchange.schemas.userfile import load_file

    return _add(load_file(Path(path)), replace)


def registered() -> list[dict[str, Any]]:
    """The operators that users added, each as plain data that `register` takes in another process."""
    found = []
    for known in _registered.values():
        for data in (schema.to_dict() for schema in known.values()):
            attributes = {a.pop("name"): a for a in data["attributes"]}
            found.append(
                {key: data[key] for key in ("domain", "name", "since", "deprecated", "inputs", "outputs")}
                | {"attributes": attributes, "types": data["type_constraints"]}
            )
    return found


def unregister(op: str, domain: str, since: int | None = None) -> None:
    """Takes a user's operator out again: one version, or all of them. Raises SchemaError IX401 if there is none."""
    known = _registered.get((canonical(domain), op), {})
    if not known or (since is not None and since not in known):
        raise SchemaError(
            "IX401",
            f"no operator {op} of {shown(domain)} was registered by a user",
            found=f"{op}" if since is None else f"{op}, version {since}",
            expected=", ".join(f"{d}::{n}" for d, n in sorted(_registered)) or "none is registered",
            fix="only what schemas.register or schemas.register_file added can be taken out",
        )
    for version in list(known) if since is None else [since]:
        del known[version]
    if not known:
        del _registered[canonical(domain), op]
    _asked.clear()
    _latest.clear()


def is_users(op: str, domain: str) -> bool:
    """Whether a user registered the operator."""
    return (canonical(domain), op) in _registered


def _add(schemas: Sequence[OpSchema], replace: bool) -> tuple[OpSchema, ...]:
    for new in schemas:
        _check_free(new, replace)
    added = []
    for new in schemas:
        versions_ = _registered.setdefault((canonical(new.domain), new.name), {})
        old = versions_.get(new.since)
        if old is None or old.to_dict() != new.to_dict():
            versions_[new.since] = new
        added.append(versions_[new.since])
    _asked.clear()
    _latest.clear()
    return tuple(added)


def _check_free(new: OpSchema, replace: bool) -> None:
    domain = canonical(new.domain)
    onnx = domain == "" or domain.startswith("ai.onnx.")
    old = _registered.get((domain, new.name), {}).get(new.since)
    if not onnx and not _rows(domain, new.name) and (replace or old is None or old.to_dict() == new.to_dict()):
        return
    owner = f"the domain {shown(domain)} is ONNX's own" if onnx else f"{new.title} is registered already"
    again = old is not None and not onnx
    raise SchemaError(
        "IX412",
        f"{new.name} cannot be registered: {owner}",
        found=new.title,
        expected="a domain of your own, e.g. my.company" if not again else "the description given before",
        fix="count up `since`, or register it with replace=True" if again else "choose another domain",
    )


def _names(domain: str) -> list[str]:
    return sorted({*structure()["operators"].get(domain, ()), *(n for d, n in _registered if d == domain)})


def _check_opset(opset: int, domain: str) -> None:
    newest = latest_opset(domain)
    # a user's domain may be imported at any version: its author numbers it
    if opset < 1 or (opset > newest and domain in structure()["operators"]):
        raise SchemaError(
            "IX403",
            f"there is no opset {opset} of {shown(domain)} in the registry",
            found=f"opset {opset}",
            expected=f"1 to {newest}",
            fix=f"ask for an opset from 1 to {newest}",
        )


def _unknown(op: str, domain: str) -> SchemaError:
    names = _names(domain)
    if not names:
        return _unknown_domain(domain)
    elsewhere = [d for d in domains() if d != domain and op in _names(d)]
    near = _similar(op, names)
    if elsewhere:
        fix = f"it exists in the domain {', '.join(shown(d) for d in elsewhere)}: ask there"
    elif near:
        fix = f"did you mean {' or '.join(near)}?"
    else:
        fix = "see schemas.operators(), or register your own with schemas.register(...)"
    return SchemaError(
        "IX401",
        f"{shown(domain)} has no operator {op}",
        found=op,
        expected=f"one of the {len(names)} operators of {shown(domain)}",
        fix=fix,
    )


def _unknown_domain(domain: str) -> SchemaError:
    near = _similar(domain, [shown(d) for d in domains()])
    return SchemaError(
        "IX401",
        f"no operator is registered in the domain {domain}",
        found=repr(domain),
        expected=", ".join(shown(d) for d in domains()),
        fix=f"did you mean {' or '.join(near)}?"
        if near
        else "register its operators: interchange.schemas.register_file",
    )


def _similar(word: str, words: list[str]) -> list[str]:
    folded = {w.lower(): w for w in words}
    return [folded[m] for m in difflib.get_close_matches(word.lower(), folded, 2)]
