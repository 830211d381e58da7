"""From a PyTorch model and its inputs to a graph over the vocabulary, with all that is needed to prove it."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.export.graph_signature import InputKind, OutputKind
from torch.utils._pytree import tree_leaves

from interchange.dims import Dim, DimLike, Guard, Spec, evaluate, same, symbols
from interchange.dims import hints as dim_hints
from interchange.dtypes import Array
from interchange.eager.tensor import Tensor, Variable, wrap
from interchange.eager.trace import Trace
from interchange.errors import ConvertError
from interchange.frontends import Captured
from interchange.frontends.inputs import Dynamic, bounds_of
from interchange.frontends.outputs import finish, name_outputs, state_outputs
from interchange.frontends.torch import aten  # noqa: F401  the lowerings register themselves
from interchange.frontends.torch.aliases import needs_functionalisation
from interchange.frontends.torch.files import load_program, load_weights
from interchange.frontends.torch.guards import needed
from interchange.frontends.torch.inputs import Inputs, call_inputs, program_inputs
from interchange.frontends.torch.interpreter import Interpreter
from interchange.frontends.torch.program import Call, capture_program, functional
from interchange.frontends.torch.reference import Source, keys_of, paths_of, structure
from interchange.frontends.torch.sizes import (
    Sizes,
    equality_place,
    guards_of,
    shape_environment,
    user_placeholders,
    written_guards,
)
from interchange.frontends.torch.steps import steps_of
from interchange.frontends.torch.unsupported import refusal
from interchange.frontends.torch.weights import as_array, storage_key, to_numpy, to_torch, variable
from interchange.ops.shape_tools import shape_tensor
from interchange.sampling import random_array

_log = logging.getLogger("interchange")


class TorchTrace(Trace):
    """A trace that takes PyTorch's word: what an operator needs of the sizes was checked by the capture."""

    trusts = True

    def guard(self, guard: Guard) -> None:
        """Nothing: PyTorch's own guards are in the capture."""


# -- the example that is captured --------------------------------------------------------------------------------------
_SIZES = (3, 5, 7, 11, 13, 17, 19, 23)  # for names without an example: no two alike, none special


def example_sizes(inputs: Inputs, unit: int = 1) -> tuple[dict[str, int], bool]:
    """A size for each name, and whether they are those of the user's example.

    PyTorch takes a size of 0 or 1, and two equal sizes, for something special; then multiples of `unit` are taken.
    """
    bounds = bounds_of(inputs.specs)
    hints = {n: h for s in inputs.specs.values() for d in s.shape for n, h in dim_hints(d).items()}
    hints |= {
        str(d): int(size)
        for name, spec in inputs.specs.items()
        for d, size in zip(spec.shape, getattr(inputs.given[name], "shape", ()), strict=False)
        if isinstance(d, Dim) and isinstance(size, int)
    }
    sizes: dict[str, int] = {}
    for name, (low, high) in bounds.items():
        size = hints.get(name, 0)
        if size < 2 or size in sizes.values():
            free = (
                n for n in itertools.chain((unit * n for n in _SIZES), itertools.count(2)) if n not in sizes.values()
            )
            fitting = itertools.islice((n for n in free if n >= low and (high is None or n <= high)), 1)
            last = high if high is not None and high < 2 else max(low, 2)
            size = next(fitting, last) if high is None or high > 2 else last
        sizes[name] = size
    return sizes, all(sizes[n] == hints.get(n) for n in sizes)


def example_arrays(inputs: Inputs, sizes: Mapping[str, int] | None) -> dict[str, Array]:
    """Arrays of these sizes (None: the user's own) made of the user's example where there is one, else random ones."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Array] = {}
    for name, spec in inputs.specs.items():
        leaf = inputs.given[name]
        shape = None if sizes is None else tuple(evaluate(d, sizes) for d in spec.shape)
        if isinstance(leaf, (str, Spec)):
            assert sizes is not None
            arrays[name] = random_array(spec, sizes, rng, None)
            continue
        array = as_array(leaf)
        for axis, size in enumerate(shape or ()):
            if size != array.shape[axis] and array.shape[axis]:
                array = np.take(array, np.arange(size) % array.shape[axis], axis)
        fits = sizes is None or array.shape == shape
        arrays[name] = array if fits else random_array(spec, sizes or {}, rng, None)
    return arrays


def _attempts(inputs: Inputs) -> Iterator[dict[str, Array]]:
    """Examples to capture: the user's if its sizes are fit for it; else made ones, small, then round numbers."""
    sizes, own = example_sizes(inputs)
    yield example_arrays(inputs, sizes)
    if own:
        return
    if not any(isinstance(inputs.given[n], (str, Spec)) for n in inputs.specs):
        yield example_arrays(inputs, None)
    for unit in (4, 32):  # a model that halves a picture five times takes multiples of 32
        yield example_arrays(inputs, example_sizes(inputs, unit)[0])


def _captured_program(model: Any, inputs: Inputs) -> Any:
    failure: ConvertError | None = None
    for arrays in _attempts(inputs):
        args, kwargs = inputs.arguments({n: to_torch(a) for n, a in arrays.items()})
        # by place: a container may hold copies of the tensors that it is made of, as a cache of keys and values does
        leaves = zip(inputs.order, tree_leaves((args, kwargs)), strict=True)
        marks = {
            id(leaf): {
                i: _mark(d, (n, i) in inputs.automatic)
                for i, d in enumerate(inputs.specs[n].shape)
                if isinstance(d, Dim)
            }
            for n, leaf in leaves
            if n in inputs.specs and any(isinstance(d, Dim) for d in inputs.specs[n].shape)
        }
        try:
            return capture_program(model, Call(args, kwargs, inputs.order), marks, inputs.specs)
        except ConvertError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def _mark(d: Dim, auto: bool) -> Any:
    if auto:
        return torch.export.Dim.AUTO
    bounds = symbols(d).get(str(d))
    low, high = bounds or (1, None)
    limits = {**({"min": low} if low > 1 else {}), **({"max": high} if high is not None else {})}
    return torch.export.Dim.DYNAMIC(**limits) if limits else torch.export.Dim.DYNAMIC


# -- the graph --------------------------------------------------------------------------------------------------------
def capture_torch(
    model: Any,
    inputs: Any,
    *,
    dynamic: Dynamic = None,
    opset: int,
    output_names: Sequence[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
) -> Captured:
    """Capture a `torch.nn.Module`, a function of torch tensors, an ExportedProgram or its ``.pt2`` file at this opset.

    weights: a ``.safetensors`` file or a checkpoint to put into the module first. The rest: see `interchange.export`.

    Raises ConvertError IX921 with every operator that cannot be lowered, IX922 to IX928.
    """
    if isinstance(model, (str, os.PathLike)):
        model = load_program(model)
    model = getattr(model, "_orig_mod", model)  # of torch.compile: what was compiled
    if weights is not None:
        load_weights(model, weights)
    given = isinstance(model, torch.export.ExportedProgram)
    if given:
        program = model
        called = program_inputs(program, inputs, dynamic)
        model = program.module()
    else:
        called = call_inputs(model, inputs, dynamic)
        program = _captured_program(model, called)
    environment = shape_environment(program)
    sizes = Sizes()
    specs = _agreed(program, called, sizes, environment)
    guards = guards_of(environment, sizes)
    if given:  # a program from a file has its guards as texts
        told = {str(g.condition) for g in guards}
        guards += [g for g in written_guards(program, specs) if str(g.condition) not in told]
    else:
        at = example_sizes(called)[0]
        guards = needed(guards, program, model, called, at, partial(example_arrays, called))
    if needs_functionalisation(program.graph):
        program = functional(program)

    def lower() -> Lowered:
        return lower_program(program, called.order, specs, sizes.copy(), opset, output_names, type(model).__name__)

    _log.info("lowering")
    lowered = lower()
    source = Source(model, called.arguments, lowered)
    ir = lowered.trace.model()
    ir.graph.name = getattr(model, "__name__", type(model).__name__)
    mode = "captured" if given else "train" if getattr(model, "training", False) is True else "eval"
    leaves = list(zip(called.paths, called.given.items(), strict=True))
    example = {n: v for n, v in called.given.items() if n in specs and not isinstance(v, (str, Spec))}
    return Captured(
        model=ir,
        inputs=specs,
        example={n: as_array(v) for n, v in example.items()},
        reference=source.run,
        guards=guards,
        dims=bounds_of(specs),
        state=lowered.state,
        keep=[lowered.trace.initial(k) for k in lowered.trace.variables],
        modules=dict(model.named_modules()) if isinstance(model, torch.nn.Module) else {},
        signature={
            "inputs": structure([(p, v, n in specs) for p, (n, v) in leaves]),
            "outputs": structure([(p, v, True) for p, v in lowered.results]),
        },
        source={"frontend": "torch", "model": ir.graph.name, "mode": mode, "torch": torch.__version__},
        random=lowered.interpreter.random,
        steps=partial(steps_of, program, called.order, lower),
    )


def _agreed(program: Any, called: Inputs, sizes: Sizes, environment: Any) -> dict[str, Spec]:
    """The specs as PyTorch found them: its symbols get the user's names. IX923 where two names must be one size."""
    placeholders = dict(zip(called.order, user_placeholders(program), strict=True))
    specs: dict[str, Spec] = {}
    for name, spec in called.specs.items():
        found = placeholders[name].meta["val"].shape
        shape: list[DimLike] = []
        for axis, (wanted, size) in enumerate(zip(spec.shape, found, strict=True)):
            if type(size) is int or not isinstance(wanted, Dim):
                shape.append(size if type(size) is int else wanted)
                continue
            expr = size.node.expr
            if expr.is_Symbol and not sizes.knows(expr):
                sizes.define(expr, wanted)
            known = sizes.read(expr)
            if (name, axis) not in called.automatic and same(known, wanted) is not True:
                raise _two_names(environment, known, wanted, name, axis)
            shape.append(known)
        specs[name] = Spec(name, spec.dtype, tuple(shape))
    return specs


def _two_names(environment: Any, a: DimLike, b: DimLike, name: str, axis: int) -> ConvertError:
    return ConvertError(
        "IX923",
        f"the model's code needs the sizes {a} and {b} to be equal",
        where=equality_place(environment),
        found=f"{b} (axis {axis} of {name}) is always {a}",
        expected=f"code that works for any {a} and {b}, or one name for both",
        fix=f"call both {a} in `dynamic`, or leave one of them static",
    )


@dataclass(slots=True)
class Lowered:
    """A lowered program. results: path and value of every output, None and numbers among them.

    outputs: the names of the graph's outputs that the user's code returns; changed: input -> output with what the
    model wrote into it; state: initializer -> output with its next value; targets: initializer -> name in the module.
    """

    trace: Trace
    interpreter: Interpreter
    outputs: list[str]
    results: list[tuple[list[str], Any]]
    changed: dict[str, str]
    state: dict[str, str]
    targets: dict[str, str]


def lower_program(
    program: Any,
    names: Sequence[str],
    specs: Mapping[str, Spec],
    sizes: Sizes,
    opset: int,
    output_names: Sequence[str] | None,
    model: str,
) -> Lowered:
    """Interpret a program's graph in a trace; raises ConvertError IX921 with everything that has no lowering."""
    signature = program.graph_signature
    placeholders = [n for n in program.graph.nodes if n.op == "placeholder"]
    variables: dict[str, Variable] = {}  # FQN -> variable; tied weights share one
    by_storage: dict[Any, Variable] = {}
    with TorchTrace(opset) as trace:
        traced = {n: trace.input(n, s.dtype, s.shape) for n, s in specs.items()}
        users = iter(names)
        values: list[Any] = []
        owners: dict[str, tuple[str, str]] = {}  # placeholder -> ("state" | "input", name)
        for node, spec in zip(placeholders, signature.input_specs, strict=True):
            if spec.kind == InputKind.USER_INPUT:
                name = next(users)
                owners[node.name] = ("input", name)
                values.append(traced.get(name, getattr(spec.arg, "value", None)))
            elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
                owners[node.name] = ("state", spec.target)
                kind = "parameter" if spec.kind == InputKind.PARAMETER else "buffer"
                values.append(_variable(program, spec.target, kind, variables, by_storage))
            elif spec.kind == InputKind.CONSTANT_TENSOR:
                values.append(wrap(to_numpy(program.constants[spec.target])))
            else:
                raise ConvertError(
                    "IX925",
                    f"the model holds an object that is no tensor: {spec.target}",
                    found=str(spec.kind),
                    expected="parameters, buffers and constant tensors",
                    fix="keep tensors only, or compute with it before the model is exported",
                )
        interpreter = Interpreter(trace, sizes)
        returned, mutated = interpreter.run(program.graph, values, program.graph_module)
        if interpreter.problems:
            raise refusal(interpreter.problems)
        trace.origin, trace.scope = {}, []
        results: list[Any] = []
        new: dict[tuple[str, str], Any] = {owners[n.name]: v for n, v in mutated.items()}
        for spec, value in zip(signature.output_specs, returned, strict=True):
            if spec.kind == OutputKind.USER_OUTPUT:
                results.append(value)
            elif spec.kind == OutputKind.USER_INPUT_MUTATION:
                new[owners[spec.target]] = value
            else:
                new["state", spec.target] = value
        leaves = zip(signature.output_specs, next(iter(reversed(program.graph.nodes))).args[0], strict=True)
        paths = paths_of(program.call_spec.out_spec, [x for s, x in leaves if s.kind == OutputKind.USER_OUTPUT])
        named = [(keys_of(p), v) for p, v in zip(paths, results, strict=True)]
        tensors = [(tuple(p), _result(v)) for p, v in named if v is not None]
        outputs = name_outputs(tensors, output_names, model)
        if output_names is None:  # a cache that is given and returned: its next value
            outputs = {f"{n}.next" if n in specs else n: v for n, v in outputs.items()}
        changed = {name: trace.unique(f"{name}.next") for (kind, name) in new if kind == "input"}
        finish(trace, {**outputs, **{changed[n]: v for (kind, n), v in new.items() if kind == "input"}})
        targets: dict[str, str] = {}
        for (kind, name), value in new.items():
            if kind == "state":
                if name not in variables:
                    _variable(program, name, "buffer", variables, by_storage)
                owner = variables[name]
                trace.write(owner, value)
                targets[trace.initial(id(owner)).name] = name
        state = state_outputs(trace)
    return Lowered(trace, interpreter, list(outputs), named, changed, state, targets)


def _result(value: Any) -> Any:
    return shape_tensor(value) if isinstance(value, Dim) else value


def _variable(
    program: Any, name: str, kind: str, variables: dict[str, Variable], by_storage: dict[Any, Variable]
) -> Tensor:
    held = program.state_dict.get(name)
    held = program.constants.get(name) if held is None else held  # a buffer that is not in the state_dict
    key = storage_key(held)
    found = by_storage.get(key) if key is not None else None
    if found is None:
        found = variable(held, name, kind)
        if key is not None:
            by_storage[key] = found
    variables[name] = found
    return found
