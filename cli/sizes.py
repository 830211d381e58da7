"""Reading the options that say which sizes vary: ``--input``, ``--dynamic``, ``--dim``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from interchange.dims import Dim, Spec, parse_dim, parse_spec, split_dims, symbols
from interchange.errors import UsageError

Bounds = dict[str, Dim]
_BOUNDS = re.compile(r"\s*(?P<name>\w+)\s*=\s*(?P<low>\d*)\s*\.\.\s*(?P<high>\d*)\s*")


def read_bounds(texts: Sequence[str]) -> Bounds:
    """What the ``--dim`` options say: ``batch=1..64``, ``time=2..``, by name. Raises UsageError IX802, IX816."""
    bounds: Bounds = {}
    for text in texts:
        found = _BOUNDS.fullmatch(text)
        if not found or not (found["low"] or found["high"]) or found["name"] in bounds:
            raise UsageError(
                "IX816",
                f"--dim {text!r} " + ("gives a name a second time" if found else "does not give bounds to a name"),
                found=text,
                expected='a name and its least and greatest size: "batch=1..64", "time=2..", "time=..512"',
                fix="give each name once, with two dots between the sizes",
            )
        high = int(found["high"]) if found["high"] else None
        bounds[found["name"]] = Dim(found["name"], min=int(found["low"] or 1), max=high)
    return bounds


def read_shapes(texts: Sequence[str], bounds: Bounds) -> dict[str, Spec] | tuple[Spec, ...]:
    """What the ``--input`` options say: by name, or in call order. Raises UsageError IX803, IX814."""
    specs = [parse_spec(text, bounds) for text in texts]
    if all(s.name for s in specs):
        return {str(s.name): s for s in specs}
    if any(s.name for s in specs):
        raise UsageError(
            "IX814",
            "some inputs are named and some are not",
            found="; ".join(texts),
            expected="a name for each, or none",
            fix='write "name: dtype[dims]" for each',
        )
    return tuple(specs)


def read_dynamic(texts: Sequence[str], bounds: Bounds) -> Mapping[str, Mapping[int, Any]] | str | None:
    """What the ``--dynamic`` options say: ``auto``, or ``x: batch, _, time`` for each input that has such sizes.

    Raises UsageError IX815.
    """
    if list(texts) == ["auto"]:
        return "auto"
    dynamic: dict[str, dict[int, Any]] = {}
    for text in texts:
        name, colon, dims = (part.strip() for part in text.partition(":"))
        axes = [d.strip() for d in split_dims(dims)]
        if not colon or not name or not all(axes) or any(map(str.isdigit, axes)) or name in dynamic:
            raise UsageError(
                "IX815",
                f"--dynamic {text!r} " + ("is for an input a second time" if name in dynamic else "cannot be read"),
                found=text,
                expected='"x: batch, _, time": an input, and for each axis a name or _ (fixed); or "auto" alone',
                fix="give each input once, with a colon after its name",
            )
        dynamic[name] = {i: None if d == "_" else _dim(d, bounds) for i, d in enumerate(axes)}
    return dynamic or None


def _dim(text: str, bounds: Bounds) -> Any:
    """A name or an expression: a Dim if it has bounds, else as it is, since the example tells more of it."""
    dim = parse_dim(text, bounds)
    return dim if symbols(dim).keys() & bounds.keys() else text


def with_bounds(given: Any, bounds: Bounds) -> Any:
    """The inputs that a factory returned, with the bounds put into its shape strings."""
    if isinstance(given, str) and "[" in given:
        return parse_spec(given, bounds)
    if isinstance(given, dict):
        return {k: with_bounds(v, bounds) for k, v in given.items()}
    if type(given) in (list, tuple):
        return type(given)(with_bounds(v, bounds) for v in given)
    return given


def refuse_unused(bounds: Bounds, inputs: Any, dynamic: Any) -> None:
    """Raise UsageError IX816 for bounds of a name that no input has."""
    axes = dynamic.values() if isinstance(dynamic, Mapping) else ()
    used = {n for dims in axes for d in dims.values() if isinstance(d, Dim) for n in symbols(d)}
    used |= {n for spec in _specs(inputs) for n in symbols(spec.shape)}
    unused = [name for name in bounds if name not in used]
    if unused:
        raise UsageError(
            "IX816",
            f"--dim gives bounds to a name that no input has: {', '.join(unused)}",
            found=", ".join(unused),
            expected=", ".join(sorted(used)) or "a name that --input or --dynamic uses",
            fix='name the dimension, for example with --dynamic "x: batch, _"',
        )


def _specs(inputs: Any) -> Iterator[Spec]:
    if isinstance(inputs, Spec):
        yield inputs
    elif isinstance(inputs, (dict, list, tuple)):
        for item in inputs.values() if isinstance(inputs, dict) else inputs:
            yield from _specs(item)
