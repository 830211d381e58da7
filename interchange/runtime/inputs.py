"""From what a user passes to what the runtime takes: every problem is found here, before the runtime sees anything."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

from interchange.dims import Dim, DimLike, Guard, evaluate, symbols
from interchange.dtypes import COMPLEX, FLOATS, INTEGERS, Array, DType, bool_, name_of, string
from interchange.errors import RuntimeInputError, UsageError
from interchange.runtime.errors import InputsError, problem
from interchange.runtime.signature import Signature, ValueSpec, lines_of, names_of

_REMEMBERED = 256  # combinations of shapes that are known to be right

Sizes = dict[str, tuple[int, str]]  # size name -> its value, and where it was seen


class Inputs:
    """Checks and converts the inputs of one model. Threads may share it."""

    def __init__(self, signature: Signature) -> None:
        self.specs, self.dims, self.guards = signature.inputs, signature.dims, signature.guards
        self._required = frozenset(s.name for s in self.specs.values() if not s.optional)
        self._right: set[tuple[tuple[str, tuple[int, ...]], ...]] = set()

    def prepare(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The feeds by name: C-contiguous arrays of the declared dtype. Raises InputsError with all problems."""
        if not kwargs:
            match args:
                case [Mapping() as named]:
                    args, kwargs = (), named
        if not args:
            feeds = self._known_to_be_right(kwargs)
            if feeds is not None:
                return feeds
        problems: list[RuntimeInputError] = []
        given = self._names(args, kwargs, problems)
        feeds = {}
        for name, value in given.items():
            spec = self.specs[name]
            if spec.kind != "tensor":
                feeds[name] = value
                continue
            array = _as_array(value, spec, problems)
            if array is not None:
                feeds[name] = array
        self._check_sizes({n: a.shape for n, a in feeds.items() if self.specs[n].kind == "tensor"}, problems)
        if problems:
            raise InputsError(problems)
        if len(self._right) < _REMEMBERED:
            self._right.add(tuple((n, a.shape) for n, a in feeds.items() if isinstance(a, np.ndarray)))
        return feeds

    def _known_to_be_right(self, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """The feeds, when arrays of these very shapes were accepted before: the usual case costs next to nothing."""
        shapes = []
        for name, value in given.items():
            spec = self.specs.get(name)
            if spec is None or type(value) is not np.ndarray or value.dtype != spec.dtype or spec.dtype == string:
                return None
            if not value.flags.c_contiguous:
                return None
            shapes.append((name, value.shape))
        return dict(given) if self._required <= given.keys() and tuple(shapes) in self._right else None

    # -- names --------------------------------------------------------------------------------------------------------
    def _names(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], problems: list[RuntimeInputError]
    ) -> dict[str, Any]:
        order = list(self.specs)
        expected = lines_of(self.specs.values())
        if len(args) > len(order):
            problems.append(
                problem(
                    "IX610",
                    f"the model takes {len(order)} inputs, and {len(args)} were given",
                    f"{len(args)} positional inputs",
                    expected,
                    "give one array for each input",
                )
            )
        given = dict(zip(order, args, strict=False))
        for name, value in kwargs.items():
            if name in given:
                problems.append(
                    problem(
                        "IX610", f"input {name} is given twice", "by position and by name", expected, "give it once"
                    )
                )
            elif name not in self.specs:
                close = get_close_matches(str(name), order, 1)
                fix = f"did you mean {close[0]}?" if close else "use the names of the model's inputs"
                message = f"the model has no input {name!r}"
                problems.append(problem("IX602", message, f"{name!r}", expected, fix, str(name)))
            else:
                given[name] = value
        missing = [self.specs[n] for n in order if n in self._required and given.get(n) is None]
        if missing:
            problems.append(
                problem(
                    "IX601",
                    f"input {names_of(missing)} is missing",
                    f"inputs: {names_of(self.specs[n] for n in given if given[n] is not None)}",
                    lines_of(missing),
                    f"give {names_of(missing)}",
                    missing[0].name,
                )
            )
        return {n: v for n, v in given.items() if v is not None}

    # -- sizes --------------------------------------------------------------------------------------------------------
    def _check_sizes(self, shapes: Mapping[str, tuple[int, ...]], problems: list[RuntimeInputError]) -> None:
        sizes: Sizes = {}
        expressions: list[tuple[Dim, int, str]] = []
        for name, shape in shapes.items():
            spec = self.specs[name]
            if not spec.ranked:
                continue
            misfits = [i for i, d in enumerate(spec.shape) if isinstance(d, int) and i < len(shape) and shape[i] != d]
            if len(shape) != len(spec.shape) or misfits:
                problems.append(_wrong_shape(spec, shape, misfits))
                continue
            for axis, (dim, size) in enumerate(zip(spec.shape, shape, strict=True)):
                place = f"axis {axis} of {name}"
                if not isinstance(dim, Dim):
                    continue
                if not str(dim).isidentifier():
                    expressions.append((dim, size, place))
                elif sizes.setdefault(str(dim), (size, place))[0] != size:
                    first = sizes[str(dim)]
                    problems.append(
                        problem(
                            "IX605",
                            f"{dim} is one size, and was given two",
                            f"{first[0]} at {first[1]}, {size} at {place}",
                            f"the same {dim} wherever the signature says {dim}",
                            f"give inputs that belong together: {place} has to be {first[0]}, or {first[1]} {size}",
                        )
                    )
        self._solve(expressions, sizes, problems)
        for name, (size, place) in sizes.items():
            low, high = self.dims.get(name, (0, None))
            if size < low or (high is not None and size > high):
                bounds = f"{low} <= {name}" + ("" if high is None else f" <= {high}")
                problems.append(
                    problem(
                        "IX606",
                        f"{name} is outside the sizes that the model was exported for",
                        f"{name} = {size} ({place})",
                        bounds,
                        f"give {low} or more" if size < low else f"split the input into parts of at most {high}",
                    )
                )
        for guard in self.guards:
            if symbols(guard.condition.expr).keys() <= sizes.keys():
                at = {n: size for n, (size, _) in sizes.items()}
                if not guard.condition.at(at):
                    problems.append(_refused_by(guard, sizes))

    def _solve(
        self, expressions: Sequence[tuple[Dim, int, str]], sizes: Sizes, problems: list[RuntimeInputError]
    ) -> None:
        """Check sizes such as ``2*n``; an n that is known from nowhere else is known from there on, if determined."""
        for dim, size, place in expressions:
            names = list(symbols(dim))
            unknown = [n for n in names if n not in sizes]
            at = {n: sizes[n][0] for n in names if n in sizes}
            if len(unknown) > 1:
                continue
            if unknown:
                found = _root(dim, unknown[0], at, size)
                if found is None:
                    continue  # not determined: nothing can be said against it
                sizes[unknown[0]] = (found, f"{place}: {dim} = {size}")
                at[unknown[0]] = found
            try:
                wanted: int | None = evaluate(dim, at)
            except ZeroDivisionError:
                wanted = None
            if wanted != size:
                said = ", ".join(f"{n} = {sizes[n][0]} ({sizes[n][1]})" for n in names)
                problems.append(
                    problem(
                        "IX605",
                        f"{place} has to be {dim}",
                        f"{size}, where {said}",
                        f"{dim} = {wanted}" if wanted is not None else str(dim),
                        "give inputs that belong together",
                    )
                )


def _root(dim: Dim, name: str, at: Mapping[str, int], size: int) -> int | None:
    """The value of `name` at which `dim` is `size`, if the dim is linear in it; rounded down if there is none."""
    try:
        zero, one, two = (evaluate(dim, {**at, name: n}) for n in range(3))
    except ZeroDivisionError:
        return None
    step = one - zero
    return (
        (size - zero) // step
        if step and two - one == step and str(dim).count("//") == str(dim).count("%") == 0
        else None
    )


def _wrong_shape(spec: ValueSpec, shape: tuple[int, ...], misfits: Sequence[int]) -> RuntimeInputError:
    name = spec.name
    found = f"{name_of(spec.dtype)}[{', '.join(map(str, shape))}]"
    if len(shape) != len(spec.shape):
        message = f"input {name} has {len(shape)} axes, the model takes {len(spec.shape)}"
        if len(shape) + 1 == len(spec.shape) and _fits(spec.shape[1:], shape):
            return problem("IX604", message, found, str(spec), f"add the axis {spec.shape[0]}: {name}[None]", name)
        return problem("IX604", message, found, str(spec), "reshape the array to the axes of the signature", name)
    axes = ", ".join(f"axis {i} is {shape[i]} instead of {spec.shape[i]}" for i in misfits)
    orders = itertools.permutations(range(len(shape))) if len(shape) <= 5 else ()
    first = next((p for p in orders if _fits(spec.shape, [shape[i] for i in p])), None)
    fix = f"its axes look permuted: {name}.transpose{first}" if first else "give an array of the declared shape"
    return problem("IX604", f"input {name} has another shape: {axes}", found, str(spec), fix, name)


def _fits(dims: Sequence[DimLike], shape: Sequence[int]) -> bool:
    return all(isinstance(d, Dim) or d == s for d, s in zip(dims, shape, strict=True))


def _refused_by(guard: Guard, sizes: Sizes) -> RuntimeInputError:
    names = list(symbols(guard.condition.expr))
    at = {n: sizes[n][0] for n in names}
    near = ""
    if len(names) == 1:
        size = at[names[0]]
        others = sorted((abs(n - size), n) for n in range(max(size - 200, 0), size + 201))
        good = next((n for _, n in others if n and guard.condition.at({names[0]: n})), None)
        near = f", for example {names[0]} = {good}" if good is not None else ""
    line = f", from {guard.where}" if guard.where else ""
    return problem(
        "IX607",
        f"the model is not valid for these sizes: it needs {guard.condition}",
        ", ".join(f"{n} = {sizes[n][0]} ({sizes[n][1]})" for n in names),
        f"{guard.condition}, because {guard.why or 'the exporter said so'}{line}",
        f"give sizes that satisfy it{near}; or export the model again so that it holds for these",
    )


# -- one array --------------------------------------------------------------------------------------------------------
def _as_array(value: Any, spec: ValueSpec, problems: list[RuntimeInputError]) -> Array | None:
    """A C-contiguous array of the spec's dtype, without a copy where possible; None with a problem noted."""
    try:
        array = value if type(value) is np.ndarray else _read(value, spec)
    except _REFUSALS as error:
        problems.append(
            problem(
                "IX608",
                f"input {spec.name} cannot be read as an array",
                f"{_kind_of(value)}: {error}",
                str(spec),
                "give a numpy array on the CPU, e.g. tensor.detach().cpu().numpy(), or nested lists of equal lengths",
                spec.name,
            )
        )
        return None
    if array.dtype.kind in "SUTO" and spec.dtype == string:
        return _strings(array, spec, problems)
    if array.dtype != spec.dtype:
        if array.dtype.kind in "iufc" and array.dtype.newbyteorder("=") == spec.dtype:
            return array.astype(spec.dtype)
        problems.append(_wrong_dtype(spec, array.dtype, _plain(value)))
        return array  # so that its shape is looked at as well
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


_REFUSALS = (TypeError, ValueError, OverflowError, RuntimeError, BufferError, AttributeError, MemoryError)


def _plain(value: Any) -> bool:
    return isinstance(value, (bool, int, float, complex, str, list, tuple))


def _read(value: Any, spec: ValueSpec) -> Array:
    if _plain(value):
        return _from_python(value, spec.dtype)
    if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    array = np.asarray(value)
    if array.dtype == object and spec.dtype != string:
        raise TypeError("not numbers")
    return array


def _from_python(value: Any, dtype: DType) -> Array:
    """Python numbers take the input's dtype where no kind is lost: ints become floats, never the reverse."""
    if dtype == string:
        return np.asarray(value, object)
    array = np.asarray(value)
    if array.size == 0:
        return np.zeros(array.shape, dtype)
    if array.dtype.kind == "O" or (array.dtype.kind == "f" and dtype in INTEGERS):
        exact = np.asarray(value, object)  # ints for which numpy has no common type: beyond int64, or beyond uint64
        if all(type(v) is int for v in exact.flat):
            return _within(exact, dtype) if dtype in INTEGERS else _finite(exact.astype(np.float64), dtype)
        if array.dtype.kind == "O":
            raise TypeError("not numbers")
    kind = array.dtype.kind
    whole = kind in "iu" and (dtype in INTEGERS or dtype in FLOATS or dtype in COMPLEX)
    if kind == "b" or array.dtype == dtype:
        return array
    if whole and dtype in INTEGERS:
        return _within(array, dtype)
    if whole or (kind == "f" and (dtype in FLOATS or dtype in COMPLEX)) or (kind == "c" and dtype in COMPLEX):
        return _finite(array, dtype)
    return array


def _finite(array: Array, dtype: DType) -> Array:
    """The numbers rounded to a float dtype; none that is finite becomes an infinity or NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        result = array.astype(dtype)
        lost = np.isfinite(array) & ~np.isfinite(result)
    if lost.any():
        raise OverflowError(f"{array[lost].flat[0]} does not fit {name_of(dtype)}")
    return result


def _within(array: Array, dtype: DType) -> Array:
    result = array.astype(dtype)
    if not bool((result.astype(object) == array.astype(object)).all()):
        raise OverflowError(f"values from {array.min()} to {array.max()} do not fit {name_of(dtype)}")
    return result


def _strings(array: Array, spec: ValueSpec, problems: list[RuntimeInputError]) -> Array | None:
    """An object array of str; bytes are UTF-8."""
    try:
        flat = [v.decode() if isinstance(v, bytes) else v for v in array.reshape(-1).tolist()]
    except UnicodeDecodeError as error:
        bad = f"bytes that are not UTF-8: {error}"
    else:
        bad = next((f"a {type(v).__name__} among them" for v in flat if not isinstance(v, str)), "")
    if bad:
        problems.append(
            problem(
                "IX603",
                f"input {spec.name} takes strings",
                bad,
                str(spec),
                f"convert it: {spec.name}.astype(str)",
                spec.name,
            )
        )
        return None
    result = np.empty(len(flat), object)
    result[:] = flat
    return result.reshape(array.shape)


def _wrong_dtype(spec: ValueSpec, found: DType, plain: bool) -> RuntimeInputError:
    try:
        shown = name_of(found)
    except UsageError:
        shown = str(found)
    wanted = name_of(spec.dtype)
    if plain:
        fix = f"give {'bools' if spec.dtype == bool_ else 'whole numbers' if spec.dtype in INTEGERS else wanted}"
    elif spec.dtype.isbuiltin == 1:
        fix = f"convert it where you know that nothing is lost: {spec.name}.astype({wanted!r})"
    else:
        fix = f"convert it: {spec.name}.astype(ml_dtypes.{spec.dtype.name})"
    return problem("IX603", f"input {spec.name} takes {wanted}", shown, str(spec), fix, spec.name)


def _kind_of(value: Any) -> str:
    return f"a {type(value).__module__}.{type(value).__qualname__}".replace("builtins.", "")
