"""The eager frontend: trace an `interchange.eager` model, or a function of tensors, into a graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interchange.dims import Dim, DimLike, Spec, hint, hints
from interchange.dtypes import Array
from interchange.eager import nn, pytree
from interchange.eager.tensor import Tensor, to_array, wrap
from interchange.eager.trace import RefineError, Trace
from interchange.errors import TraceError
from interchange.frontends import Arrays, Captured, attributes
from interchange.frontends.inputs import Dynamic, bind_arguments, bounds_of, in_call_order, named_leaves, specs_of
from interchange.frontends.outputs import finish, name_outputs, state_outputs
from interchange.graph.core import ModelIR
from interchange.importers import GraphModule


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
    arguments = bind_arguments(_signature(model), inputs, _called(model))
    leaves, tree = pytree.flatten(arguments)
    given = named_leaves(leaves)
    specs, constants = specs_of(given, dynamic)
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


def _called(model: Callable[..., Any]) -> str:
    return getattr(model, "__name__", f"{type(model).__name__}.forward")


def _call(model: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call the model with arguments named as `bind_arguments` names them."""
    positional, keywords = in_call_order(_signature(model), arguments)
    return model(*positional, **keywords)


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
        return _call(self.model, pytree.unflatten(self.tree, leaves))


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
        outputs = name_outputs(found, request.output_names, type(model).__name__)
        finish(trace, outputs)
        state = state_outputs(trace)
    ir: ModelIR = trace.model()
    ir.graph.name = getattr(model, "__name__", type(model).__name__)
    return Captured(
        model=ir,
        inputs=dict(specs),
        example={},
        reference=_reference(request, trace, list(outputs), state),
        guards=trace.guards,
        dims=bounds_of(specs),
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
