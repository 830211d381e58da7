"""What a model is given: its arguments by name, the dtype and shape of each tensor among them, the dims that vary."""

from __future__ import annotations

import inspect
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from interchange.dims import Dim, DimLike, Shape, Spec, hints, parse_dim, parse_spec, symbols
from interchange.eager.tensor import to_array
from interchange.errors import TraceError

Dynamic = Mapping[str, Any] | str | None
Bounds = tuple[int, int | None]  # the least and the greatest size


class FileDims(dict[str, Any]):
    """The dimensions that an exported file has, as `dynamic`; inputs given by shape strings keep their own."""

    def with_examples(self, shape: Shape) -> Shape:
        """A shape whose names have the sizes in the file as their examples."""
        at = {n: size for axes in self.values() for d in axes.values() for n, size in hints(d).items()}
        known = {n: Dim(n, min=b[0], max=b[1], hint=at[n]) for n, b in symbols(shape).items() if n in at}
        return tuple(parse_dim(str(d), known) if known else d for d in shape)


def bind_arguments(signature: inspect.Signature, inputs: Any, where: str) -> dict[str, Any]:
    """The model's arguments by name, from a mapping, a tuple in call order, or a single tensor or shape string."""
    try:
        if isinstance(inputs, Mapping):
            positional, keywords = in_call_order(signature, inputs)
            bound = signature.bind(*positional, **keywords)
        elif isinstance(inputs, (tuple, list)) or inputs is None:
            bound = signature.bind(*inputs or ())
        else:
            bound = signature.bind(inputs)
    except TypeError as error:
        raise TraceError(
            "IX207",
            f"the inputs do not fit the model's arguments: {error}",
            where=where,
            found=_described(inputs),
            expected=str(signature),
            fix="give one entry per argument, by name or in call order",
        ) from None
    arguments: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            arguments |= {f"{name}_{i}": v for i, v in enumerate(value)}
        elif kind is inspect.Parameter.VAR_KEYWORD:
            arguments |= value
        else:
            arguments[name] = value
    return arguments


def _described(inputs: Any) -> str:
    if isinstance(inputs, Mapping):
        return ", ".join(inputs) or "no inputs"
    count = 0 if inputs is None else len(inputs) if isinstance(inputs, (tuple, list)) else 1
    return f"{count or 'no'} input{'' if count == 1 else 's'} in call order"


def in_call_order(signature: inspect.Signature, arguments: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Named arguments, those of ``*rest`` as rest_0, rest_1, by position as far as possible, the others by name."""
    positional: list[Any] = []
    keywords = dict(arguments)
    for name, p in signature.parameters.items():
        if p.kind is p.VAR_POSITIONAL:
            given = itertools.takewhile(keywords.__contains__, (f"{name}_{i}" for i in itertools.count()))
            positional += [keywords.pop(key) for key in given]
        elif p.kind is p.KEYWORD_ONLY or name not in keywords:  # what follows one left out goes by name
            break
        else:
            positional.append(keywords.pop(name))
    return positional, keywords


_STATIC = (bool, int, float, str)
_SHAPE = re.compile(r"\[|(float|int|bool)\d*\s*\(")  # what is meant as a shape, even where it is none


def specs_of(given: Mapping[str, Any], dynamic: Dynamic) -> tuple[dict[str, Spec], dict[str, Any]]:
    """Name, dtype and shape of each tensor among the inputs; the Python constants among them."""
    known: dict[str, Dim] = {}
    specs: dict[str, Spec] = {}
    constants: dict[str, Any] = {}
    if not (dynamic is None or dynamic == "auto" or isinstance(dynamic, Mapping)):
        raise _not_dynamic(dynamic)
    wanted = dict(dynamic) if isinstance(dynamic, Mapping) else {}
    for name, leaf in sorted(given.items(), key=lambda item: _computed(wanted.get(item[0]))):
        if isinstance(leaf, str) and _SHAPE.search(leaf):
            leaf = parse_spec(leaf, known)
        if isinstance(leaf, Spec):
            shape = dynamic.with_examples(leaf.shape) if isinstance(dynamic, FileDims) else leaf.shape
            specs[name] = Spec(name, leaf.dtype, shape)
        elif isinstance(leaf, _STATIC):
            constants[name] = leaf
            continue
        else:
            data = to_array(leaf)
            specs[name] = Spec(
                name, data.dtype, _dims(name, data.shape, wanted.pop(name, None), dynamic == "auto", known)
            )
        for d in specs[name].shape:
            if isinstance(d, Dim) and str(d).isidentifier():
                known.setdefault(str(d), d)
    if wanted and not isinstance(dynamic, FileDims):
        static = [n for n in wanted if n in specs]
        raise TraceError(
            "IX208",
            f"dynamic names {'inputs given by shape strings' if static else 'no input'}: {', '.join(wanted)}",
            found=", ".join(wanted),
            expected=", ".join(specs) or "an input",
            fix="name the dimension in the shape string itself" if static else "use the names of the inputs",
        )
    _check_ranges(specs)
    return {n: specs[n] for n in given if n in specs}, constants


def bounds_of(specs: Mapping[str, Spec]) -> dict[str, Bounds]:
    """The named sizes of inputs, each with its (min, max)."""
    return {n: b for s in specs.values() for n, b in symbols(s.shape).items()}


def named_leaves(leaves: Sequence[tuple[Sequence[str], Any]]) -> dict[str, Any]:
    """Leaves of nested arguments, given by their paths, by name: the keys joined by dots. TraceError IX207."""
    names = [".".join(path) for path, _ in leaves]
    if len(set(names)) != len(names):
        raise TraceError(
            "IX207",
            f"two inputs have one name, {Counter(names).most_common(1)[0][0]}",
            found=", ".join(names),
            expected="different names, which are made of keys joined by dots",
            fix="rename a key",
        )
    return dict(zip(names, (leaf for _, leaf in leaves), strict=True))


def _computed(wanted: Any) -> bool:
    """Whether an axis is an expression: those are read last, when the names that they are made of are known."""
    dims = wanted.values() if isinstance(wanted, Mapping) else wanted if isinstance(wanted, (list, tuple)) else ()
    return any(isinstance(d, str) and not d.isidentifier() for d in dims)


def _not_dynamic(found: Any) -> TraceError:
    return TraceError(
        "IX208",
        "dynamic does not say which dimensions vary",
        found=repr(found),
        expected='{"x": {0: "batch"}}, by input and axis, or "auto"',
        fix="name the input, the axis and the dimension",
    )


def _check_ranges(specs: Mapping[str, Spec]) -> None:
    """A name is one size, so it has one range."""
    ranges: dict[str, tuple[int, int | None]] = {}
    for spec in specs.values():
        for d in spec.shape:
            for name, found in symbols(d).items():
                if ranges.setdefault(name, found) != found:
                    raise TraceError(
                        "IX208",
                        f"the dimension {name} has two ranges",
                        where=spec.name,
                        found=" and ".join(f"min={low}, max={high}" for low, high in (ranges[name], found)),
                        expected="one range for one name",
                        fix=f"use the same Dim({name!r}, ...) for each, or two names",
                    )


def _dims(name: str, sizes: tuple[int, ...], wanted: Any, auto: bool, known: dict[str, Dim]) -> Shape:
    """The shape of an example array with its dynamic dimensions named."""
    if auto:
        return tuple(_own_dim(f"{_identifier(name)}_{i}", d, known) for i, d in enumerate(sizes))
    if not (wanted is None or isinstance(wanted, (Mapping, list, tuple))):
        raise _not_dynamic({name: wanted})
    pairs = wanted.items() if isinstance(wanted, Mapping) else enumerate(wanted or ())
    shape: list[DimLike] = list(sizes)
    for axis, dim in pairs:
        if not isinstance(axis, int) or not -len(sizes) <= axis < len(sizes):
            raise TraceError(
                "IX208",
                f"dynamic names an axis that {name} does not have",
                found=f"axis {axis}",
                expected=f"an axis of {name}, which has shape {list(sizes)}",
                fix="count the axes from 0",
            )
        if dim is None:  # static, as it is said
            continue
        if isinstance(dim, str):
            plain = dim.isidentifier()
            dim = known.setdefault(dim, Dim(dim, hint=sizes[axis])) if plain else parse_dim(dim, known)
        if not isinstance(dim, Dim):
            raise TraceError(
                "IX208",
                f"a dynamic dimension of {name} is not a name",
                found=repr(dim),
                expected='a name such as "batch", an expression ("past + time"), or Dim("batch", min=..., max=...)',
                fix="leave out axes that are static",
            )
        shape[axis] = dim
    return tuple(shape)


def _own_dim(name: str, size: int, known: dict[str, Dim]) -> Dim:
    """A dimension of an automatic name that no other has (the inputs a.b and a_b differ)."""
    while name in known:
        name += "_"
    known[name] = dim = Dim(name, min=min(size, 1), hint=size)
    return dim


def _identifier(name: str) -> str:
    text = "".join(c if c.isalnum() else "_" for c in name)
    return f"_{text}" if text[:1].isdigit() else text
