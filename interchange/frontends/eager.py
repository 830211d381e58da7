"""The eager frontend: trace an `interchange.eager` model, or a function of tensors, into a graph."""

from __future__ import annotations

import inspect
import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interchange.dims import Dim, DimLike, Shape, Spec, hint, hints, parse_spec, symbols
from interchange.dtypes import Array
from interchange.eager import nn, pytree
from interchange.eager.tensor import Tensor, to_array, wrap
from interchange.eager.trace import RefineError, Trace
from interchange.errors import TraceError
from interchange.frontends import Arrays, Captured, attributes
from interchange.graph.core import ModelIR
from interchange.importers import GraphModule

Dynamic = Mapping[str, Any] | str | None


def capture_eager(
    model: Callable[..., Any],
    inputs: Any,
    *,
    dynamic: Dynamic = None,
    opset: int,
    output_names: Sequence[str] | None = None,
    specialise: bool = False,
) -> Captured:
    """Trace `model` on `inputs` (see `interchange.export`) at this opset."""
    imported = model if isinstance(model, GraphModule) else None
    if imported is not None:  # it says itself what it takes and returns
        inputs = imported.example_inputs() if inputs is None else inputs
        output_names = output_names or imported.output_names
    arguments = bind_arguments(model, inputs)
    leaves, tree = pytree.flatten(arguments)
    given = {".".join(path): leaf for path, leaf in leaves}
    if len(given) != len(leaves):
        twice = Counter(".".join(path) for path, _ in leaves).most_common(1)[0][0]
        raise TraceError(
            "IX207",
            f"two inputs have one name, {twice}",
            found=", ".join(".".join(path) for path, _ in leaves),
            expected="different names, which are made of keys joined by dots",
            fix="rename a key",
        )
    specs, constants = _specs(given, dynamic)
    request = _Request(model, arguments, tree, given, constants, opset, output_names, specialise)
    merged: dict[str, DimLike] = {}
    refine = dynamic == "auto"
    while True:
        try:
            found = _trace(request, specs, refine)
            break
        except RefineError as error:  # dynamic="auto": two sizes must agree, so there is one free size less
            _merge(merged, *error.pair)
            fewer = {n: Spec(n, s.dtype, tuple(_replaced(d, merged) for d in s.shape)) for n, s in specs.items()}
            refine = str(fewer) != str(specs)  # sizes that the user named stay: then the trace says what is wrong
            specs = fewer
    if imported is not None:
        found.model.graph.name, found.model.doc = imported.name, imported.doc
        found.model.metadata.update(imported.metadata)
    found.example = {n: to_array(v) for n, v in given.items() if n in specs and not isinstance(v, (str, Spec))}
    return found


def _signature(model: Callable[..., Any]) -> inspect.Signature:
    if isinstance(model, GraphModule):
        return model.input_signature()
    return inspect.signature(model.forward if isinstance(model, nn.Module) else model)


# -- inputs ----------------------------------------------------------------------------------------------------------
def bind_arguments(model: Callable[..., Any], inputs: Any) -> dict[str, Any]:
    """The model's arguments by name, from a mapping, a tuple in call order, or a single tensor or shape string."""
    signature = _signature(model)
    try:
        if isinstance(inputs, Mapping):
            positional, keywords = _in_call_order(signature, inputs)
            bound = signature.bind(*positional, **keywords)
        elif isinstance(inputs, (tuple, list)) or inputs is None:
            bound = signature.bind(*inputs or ())
        else:
            bound = signature.bind(inputs)
    except TypeError as error:
        raise TraceError(
            "IX207",
            f"the inputs do not fit the model's arguments: {error}",
            where=getattr(model, "__name__", f"{type(model).__name__}.forward"),
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


def call_model(model: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call the model with arguments named as `bind_arguments` names them."""
    positional, keywords = _in_call_order(_signature(model), arguments)
    return model(*positional, **keywords)


def _in_call_order(signature: inspect.Signature, arguments: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
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


def _specs(given: Mapping[str, Any], dynamic: Dynamic) -> tuple[dict[str, Spec], dict[str, Any]]:
    """Name, dtype and shape of each tensor among the inputs; the Python constants among them."""
    known: dict[str, Dim] = {}
    specs: dict[str, Spec] = {}
    constants: dict[str, Any] = {}
    if not (dynamic is None or dynamic == "auto" or isinstance(dynamic, Mapping)):
        raise _not_dynamic(dynamic)
    wanted = dict(dynamic) if isinstance(dynamic, Mapping) else {}
    for name, leaf in given.items():
        if isinstance(leaf, str) and _SHAPE.search(leaf):
            specs[name] = Spec(name, (s := parse_spec(leaf, known)).dtype, s.shape)
        elif isinstance(leaf, Spec):
            specs[name] = Spec(name, leaf.dtype, leaf.shape)
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
    if wanted:
        static = [n for n in wanted if n in specs]
        raise TraceError(
            "IX208",
            f"dynamic names {'inputs given by shape strings' if static else 'no input'}: {', '.join(wanted)}",
            found=", ".join(wanted),
            expected=", ".join(specs) or "an input",
            fix="name the dimension in the shape string itself" if static else "use the names of the inputs",
        )
    _check_ranges(specs)
    return specs, constants


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
        if dim is None:
            continue
        if not isinstance(axis, int) or not -len(sizes) <= axis < len(sizes):
            raise TraceError(
                "IX208",
                f"dynamic names an axis that {name} does not have",
                found=f"axis {axis}",
                expected=f"an axis of {name}, which has shape {list(sizes)}",
                fix="count the axes from 0",
            )
        if isinstance(dim, str):
            dim = known.setdefault(dim, Dim(dim, hint=sizes[axis]))
        if not isinstance(dim, Dim):
            raise TraceError(
                "IX208",
                f"a dynamic dimension of {name} is not a name",
                found=repr(dim),
                expected='a name such as "batch", or Dim("batch", min=..., max=...)',
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


def _merge(merged: dict[str, DimLike], a: DimLike, b: DimLike) -> None:
    """Note that two sizes are one: a name that was made up stands for the other, or for its number in the example."""
    for one, other in ((a, b), (b, a)):
        name, size = str(one), hint(one)
        if not isinstance(one, Dim) or size is None or not name.isidentifier() or name == str(other):
            continue
        if size == 1 != hint(other):  # it broadcasts in the example
            merged[name] = 1
            return
        if hint(other) in (None, size) and (isinstance(other, int) or str(other).isidentifier()):
            merged[name] = other
            return
    merged.update(hints(a) | hints(b))  # related by an expression: only the example's numbers are known to be right


def _replaced(d: DimLike, merged: Mapping[str, DimLike]) -> DimLike:
    while isinstance(d, Dim) and str(d) in merged:
        d = merged[str(d)]
    return d


# -- the trace -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Request:
    """What to trace. given: the leaves of the arguments by name; constants: those that are Python values."""

    model: Callable[..., Any]
    arguments: Mapping[str, Any]
    tree: pytree.Tree
    given: Mapping[str, Any]
    constants: Mapping[str, Any]
    opset: int
    output_names: Sequence[str] | None
    specialise: bool

    def call(self, tensors: Mapping[str, Any]) -> Any:
        """Call the model with these tensors (traced or not) in the places of the arguments' leaves."""
        leaves = iter([self.constants[n] if n in self.constants else tensors[n] for n in self.given])
        return call_model(self.model, pytree.unflatten(self.tree, leaves))


def _trace(request: _Request, specs: Mapping[str, Spec], refine: bool) -> Captured:
    model = request.model
    names: dict[int, str] = {}
    if isinstance(model, nn.Module):
        names = {id(v): n for n, v in (*model.named_parameters(), *model.named_buffers())}
        for name in specs.keys() & set(names.values()):
            raise TraceError(
                "IX207",
                f"an input and a parameter are both called {name}",
                where=type(model).__name__,
                found=f"the argument {name} of forward, and {type(model).__name__}.{name}",
                expected="different names: an ONNX model has one list of names",
                fix="rename the argument or the parameter",
            )
    with Trace(request.opset, names=names, specialise=request.specialise, refine=refine) as trace:
        if isinstance(model, nn.Module):
            trace.paths = {id(m): path for path, m in model.named_modules()}
        tensors = {n: trace.input(n, s.dtype, s.shape) for n, s in specs.items()}
        before = attributes.snapshot(model)
        try:
            found, out_tree = pytree.flatten(request.call(tensors))
            attributes.refuse_state(before, lambda t: id(t._data) in trace.lifted)
        finally:
            attributes.put_back(before)
        outputs = _name_outputs(found, request.output_names, type(model).__name__)
        _finish(trace, outputs)
        state = _state(trace)
    ir: ModelIR = trace.model()
    ir.graph.name = getattr(model, "__name__", type(model).__name__)
    used = {n: b for s in specs.values() for n, b in symbols(s.shape).items()}
    return Captured(
        model=ir,
        inputs=dict(specs),
        example={},
        reference=_reference(request, trace, list(outputs), state),
        guards=trace.guards,
        dims=used,
        state=state,
        keep=[trace.initial(k) for k in trace.variables],
        modules=dict(model.named_modules()) if isinstance(model, nn.Module) else {},
        signature={"inputs": _with_constants(request).to_json(), "outputs": out_tree.to_json()},
        source={"frontend": "eager", "model": ir.graph.name, "mode": _mode(model)},
    )


def _mode(model: object) -> str:
    return "train" if isinstance(model, nn.Module) and model.training else "eval"


def _with_constants(request: _Request) -> pytree.Tree:
    """The inputs' structure with Python constants in place of their leaves."""
    names = iter(request.given)
    constants = request.constants

    def visit(t: pytree.Tree) -> pytree.Tree:
        if t.kind == "leaf":
            name = next(names)
            return pytree.Tree("constant", value=constants[name]) if name in constants else t
        return pytree.Tree(t.kind, t.keys, tuple(visit(c) for c in t.children), t.type)

    return visit(request.tree)


def _name_outputs(found: list[tuple[pytree.Path, Any]], names: Sequence[str] | None, model: str) -> dict[str, Any]:
    """Outputs by name: keys of dicts and fields; ``output`` or ``output_0``, ``output_1`` where there are none."""
    if not found:
        raise TraceError(
            "IX209",
            f"{model} returns nothing",
            found="no tensor among the outputs",
            expected="at least one tensor",
            fix="return the result from forward",
        )
    default = [".".join(path) for path, _ in found]
    default = [f"output_{n}" if n[:1].isdigit() else n or "output" for n in default]
    good = names is None or (isinstance(names, (list, tuple)) and all(isinstance(n, str) and n for n in names))
    if names is not None and not (good and len(names) == len(found)):
        raise TraceError(
            "IX209",
            "output_names does not name each output once",
            found=f"{len(names)} names: {', '.join(names)}" if good else repr(names),
            expected=f"{len(found)} outputs: {', '.join(default)}",
            fix="give a list with one name per output",
        )
    outputs = dict(zip(names or default, (leaf for _, leaf in found), strict=True))
    if len(outputs) != len(found):
        raise TraceError(
            "IX209",
            "two outputs have one name",
            found=", ".join(names or default),
            expected="different names",
            fix="pass output_names, or rename the keys",
        )
    for name, leaf in outputs.items():
        if not isinstance(leaf, (Tensor, np.ndarray, np.generic, bool, int, float)):
            raise TraceError(
                "IX209",
                f"output {name} is not a tensor",
                found=type(leaf).__name__,
                expected="tensors in dicts, lists, tuples, dataclasses, or None",
                fix="return tensors only",
            )
    return outputs


def _finish(trace: Trace, outputs: Mapping[str, Any]) -> None:
    """Make the results outputs of the graph, each under its own name."""
    taken = {v.name: "input" for v in trace.graph.inputs} | {
        trace.initial(k).name: "parameter" for k in trace.variables
    }
    for name, leaf in outputs.items():
        if name in taken:
            raise TraceError(
                "IX209",
                f"an output has the name of the {taken[name]} {name}",
                found=name,
                expected="different names for inputs, parameters and outputs",
                fix="pass output_names",
            )
        traced = trace.lift(leaf if isinstance(leaf, Tensor) else wrap(to_array(leaf)))
        result = traced._symbolic.value
        if result.producer is None or result in trace.graph.outputs:  # an input, a constant, or returned twice
            result = trace.own(traced)
        trace.rename(result, name)
        trace.graph.outputs.append(result)


def _state(trace: Trace) -> dict[str, str]:
    """Turn each written variable into an input with a default and an output ``NAME.next``; initializer -> output."""
    state: dict[str, str] = {}
    for key, value in trace.written.items():
        initial = trace.initial(key)
        trace.graph.inputs.append(initial)
        result = trace.own(value)
        trace.rename(result, trace.unique(f"{initial.name}.next"))
        trace.graph.outputs.append(result)
        state[initial.name] = result.name
    return state


# -- running the source again ----------------------------------------------------------------------------------------
def _reference(
    request: _Request, trace: Trace, output_names: list[str], state: Mapping[str, str]
) -> Callable[[Arrays], Arrays]:
    variables = list(trace.variables.values())
    written = [trace.variables[k] for k in trace.written]
    leaves = {*trace.gradients, *(v._edge for v in variables if v.is_leaf and v.requires_grad)}

    def once(arrays: Arrays) -> Arrays:
        before = [(v, v._data) for v in variables]
        gradients = [(leaf, leaf.grad) for leaf in leaves]
        try:
            for leaf in leaves:
                leaf.grad = None
            found, _ = pytree.flatten(request.call({n: wrap(np.asarray(a)) for n, a in arrays.items()}))
            results = [_array(leaf) for _, leaf in found]
            updates = [v._data for v in written]
        finally:
            for variable, data in before:
                variable._data = data
            for leaf, gradient in gradients:
                leaf.grad = gradient
        return dict(zip((*output_names, *state.values()), (*results, *updates), strict=True))

    tried_twice = False

    def run(arrays: Arrays) -> Arrays:
        nonlocal tried_twice
        before = attributes.snapshot(request.model)
        try:
            results = once(arrays)
            if not tried_twice:
                tried_twice = True
                _refuse_other_results(results, once(arrays))
            return results
        finally:
            attributes.put_back(before)

    return run


def _refuse_other_results(first: Arrays, second: Arrays) -> None:
    """A model that gives something else when it is called again is not what was exported (TraceError IX213)."""
    for name, a in first.items():
        b = second[name]
        equal = a.shape == b.shape and (
            np.array_equal(a, b)
            if a.dtype.kind in "biuO"
            else np.allclose(a.astype(np.complex128), b.astype(np.complex128), rtol=1e-3, atol=1e-3, equal_nan=True)
        )
        if not equal:
            raise TraceError(
                "IX213",
                "called again with the same inputs the model gives other results: it keeps a state that is no Buffer, "
                "or draws random numbers that are not of interchange.eager.random",
                where=name,
                found=f"another {name} in the second call",
                expected="results that follow from the inputs and the Variables",
                fix="keep state in Buffers and change it by .assign(...)",
            )


def _array(leaf: Any) -> Array:
    return leaf.numpy() if isinstance(leaf, Tensor) else to_array(leaf)
