"""What a PyTorch model is called with: every leaf of its (nested) arguments by name."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch.utils._pytree import SUPPORTED_NODES, tree_flatten_with_path, tree_leaves, tree_unflatten

from interchange.dims import Dim, DimLike, Spec, symbols
from interchange.errors import TraceError
from interchange.frontends.inputs import Dynamic, FileDims, bind_arguments, in_call_order, named_leaves, specs_of
from interchange.frontends.torch.reference import keys_of
from interchange.frontends.torch.sizes import user_placeholders
from interchange.frontends.torch.weights import dtype_of, to_numpy

Arguments = tuple[list[Any], dict[str, Any]]  # positional and keyword arguments


@dataclass(frozen=True, slots=True)
class Inputs:
    """The leaves of a call.

    given: every leaf by name, in call order: tensors, arrays, shape strings, constants. nest: puts leaves back into
    arguments. specs: dtype and shape of those that are tensors. order: the names in the order in which PyTorch
    flattens the call. paths: the keys on the way to each leaf. automatic: (name, axis) that may become static.
    """

    given: dict[str, Any]
    nest: Callable[[Sequence[Any]], Arguments]
    specs: dict[str, Spec]
    order: list[str]
    paths: list[list[str]]
    automatic: frozenset[tuple[str, int]] = field(default_factory=frozenset)

    def arguments(self, leaves: Mapping[str, Any]) -> Arguments:
        """Positional and keyword arguments, with `leaves` in the places of the tensors."""
        return self.nest([leaves.get(name, leaf) for name, leaf in self.given.items()])


def call_inputs(model: Any, inputs: Any, dynamic: Dynamic) -> Inputs:
    """The inputs of a module or a function. Raises TraceError IX207, IX208."""
    called = model.forward if isinstance(model, torch.nn.Module) else model
    signature = _signature(called)
    arguments = bind_arguments(signature, inputs, getattr(model, "__name__", f"{type(model).__name__}.forward"))
    _register_dataclasses(arguments)
    leaves, tree = tree_flatten_with_path(arguments)
    paths = [keys_of(path) for path, _ in leaves]
    given = named_leaves([(path, leaf) for path, (_, leaf) in zip(paths, leaves, strict=True)])

    def nest(values: Sequence[Any]) -> Arguments:
        return in_call_order(signature, tree_unflatten(list(values), tree))

    names = iter(given)  # a container of its own kind may take tensors only, no names: they are counted off
    by_argument = {argument: list(islice(names, len(tree_leaves(value)))) for argument, value in arguments.items()}
    specs, automatic = _specs(given, dynamic)
    return Inputs(given, nest, specs, tree_leaves(in_call_order(signature, by_argument)), paths, automatic)


def _register_dataclasses(value: Any) -> None:
    """Tell PyTorch to look into the user's dataclasses, as it does into lists and dicts."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for x in value:
            _register_dataclasses(x)
    elif dataclasses.is_dataclass(value) and not isinstance(value, (type, Spec)):
        if type(value) not in SUPPORTED_NODES:
            torch.export.register_dataclass(type(value))
        _register_dataclasses([getattr(value, f.name) for f in dataclasses.fields(value)])


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except ValueError:  # a builtin: arguments by position
        return inspect.Signature([inspect.Parameter("input", inspect.Parameter.VAR_POSITIONAL)])


def program_inputs(program: Any, inputs: Any, dynamic: Dynamic) -> Inputs:
    """The inputs of an ExportedProgram, which says itself what it takes; `dynamic` only names its dimensions."""
    if inputs is not None:
        raise TraceError(
            "IX207",
            "an ExportedProgram has its inputs in itself",
            found="inputs for an ExportedProgram",
            expected="no inputs",
            fix="leave them out; name its dimensions with dynamic={input: {axis: name}}",
        )
    tree = program.call_spec.in_spec
    kinds = {s.arg.name: s for s in program.graph_signature.input_specs}
    nodes = user_placeholders(program)
    example = tree_leaves(program.example_inputs) if program.example_inputs is not None else [None] * len(nodes)
    names = _named(dynamic)[0] if isinstance(dynamic, Mapping) else {}
    given: dict[str, Any] = {}
    specs: dict[str, Spec] = {}
    known: dict[Any, Dim] = {}
    for node, leaf in zip(nodes, example, strict=True):
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor):
            given[node.name] = getattr(kinds[node.name].arg, "value", value)
            continue
        wanted = names.get(node.name, {})
        shape = tuple(
            d if type(d) is int else _dim(program, d, wanted.get(i) or f"{node.name}_{i}", known)
            for i, d in enumerate(value.shape)
        )
        specs[node.name] = Spec(node.name, dtype_of(value.dtype), shape)
        given[node.name] = leaf if leaf is not None else specs[node.name]

    def nest(values: Sequence[Any]) -> Arguments:
        args, kwargs = tree_unflatten(list(values), tree)
        return list(args), dict(kwargs)

    every = frozenset((n, i) for n, s in specs.items() for i, d in enumerate(s.shape) if isinstance(d, Dim))
    return Inputs(given, nest, specs, list(given), [[n] for n in given], every)


def _dim(program: Any, size: Any, name: Any, known: dict[Any, Dim]) -> DimLike:
    """The dimension of a program's symbol, with the range that it has in the program."""
    expr = size.node.expr
    if expr not in known:
        limits = program.range_constraints.get(expr)
        low, high = (limits.lower, limits.upper) if limits is not None else (1, None)
        first, last = max(int(low), 1), int(high) if high is not None and high.is_finite and high < 2**31 else None
        if isinstance(name, Dim):  # bounds of the user's make the range smaller, never greater
            least, most = symbols(name).get(str(name), (1, None))
            first, last = max(first, least), min((n for n in (last, most) if n is not None), default=None)
        known[expr] = Dim(str(name), min=first, max=last, hint=size.node.hint)
    return known[expr]


def _specs(given: Mapping[str, Any], dynamic: Dynamic) -> tuple[dict[str, Spec], frozenset[tuple[str, int]]]:
    """Specs of the tensors among the leaves, and which of their axes are dynamic only where that is possible."""
    arrays = {n: to_numpy(v) if isinstance(v, torch.Tensor) else v for n, v in given.items() if v is not None}
    automatic: set[tuple[str, int]] = set()
    if isinstance(dynamic, Mapping):
        dynamic, automatic = _named(dynamic)
    specs, _ = specs_of(arrays, dynamic)
    if dynamic == "auto":
        automatic = {(n, i) for n, s in specs.items() for i in range(len(s.shape))}
    return specs, frozenset(automatic)


def _named(dynamic: Mapping[str, Any]) -> tuple[dict[str, Any], set[tuple[str, int]]]:
    """`dynamic` with PyTorch's own Dim objects as ours; Dim.DYNAMIC and Dim.AUTO get a name of their own."""
    automatic: set[tuple[str, int]] = set()
    made: dict[str, Any] = FileDims() if isinstance(dynamic, FileDims) else {}
    for name, axes in dynamic.items():
        pairs = axes.items() if isinstance(axes, Mapping) else enumerate(axes) if _is_list(axes) else None
        if pairs is None:
            made[name] = axes
            continue
        made[name] = {}
        for axis, dim in pairs:
            kind = getattr(getattr(dim, "type", None), "name", None)
            if kind == "STATIC" or isinstance(dim, int):
                continue
            if kind in ("AUTO", "DYNAMIC"):
                if kind == "AUTO":
                    automatic.add((name, axis))
                dim = f"{name.replace('.', '_')}_{axis}"
            elif isinstance(dim, torch.export.Dim):
                dim = Dim(dim.__name__, min=max(dim.min, 1), max=dim.max if dim.max < 2**31 else None)
            made[name][axis] = dim
    return made, automatic


def _is_list(axes: Any) -> bool:
    return isinstance(axes, (list, tuple))
