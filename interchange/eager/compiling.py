"""`compile`: a function of tensors, a whole training step above all, as one graph in ONNX Runtime.

The function is traced once for each kind of arguments (structure, dtypes, shapes, Python constants). Variables it reads
are inputs of the graph and those it assigns are outputs, so ``loss.backward(); optimiser.step()`` inside it becomes
part of the graph and runs on any stock runtime. Python floats are inputs too: a learning-rate schedule does not trace
again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

from interchange.eager import pytree
from interchange.eager.tensor import Edge, Leaf, Tensor, mode, to_array, wrap
from interchange.eager.trace import Trace, active_trace, earlier_gradient, structure
from interchange.eager.traced import Traced
from interchange.errors import TraceError, user_line
from interchange.graph.core import Value

P = ParamSpec("P")
R = TypeVar("R")

_MANY = 16  # compilations of one function after which something that varies is probably meant to be a tensor


def compile(function: Callable[P, R] | None = None, *, opset: int = 21, threads: int | None = None) -> Any:
    """Compile a function: ``step = compile(step)``, or as a decorator, with or without arguments.

    The results, and the variables after the call, equal those of the function itself within rounding. Gradients do not
    leave the call for variables that it assigns (an optimiser consumed them); for others `.grad` is set as usual.
    threads: for ONNX Runtime; all cores by default.

    Raises TraceError where the function asks a tensor for its value or leaks one.
    """

    def decorate(function: Callable[P, R]) -> Compiled[P, R]:
        return Compiled(function, opset, threads)

    return decorate if function is None else decorate(function)


class Compiled(Generic[P, R]):
    """A compiled function. `compilations` counts the graphs made so far."""

    def __init__(self, function: Callable[P, R], opset: int, threads: int | None) -> None:
        functools.update_wrapper(self, function)
        self._function, self._opset, self._threads = function, opset, threads
        self._steps: dict[Any, list[_Step]] = {}
        self.compilations = 0

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if active_trace() is not None:  # within another trace it is simply the function
            return self._function(*args, **kwargs)
        leaves, tree = pytree.flatten((args, kwargs))
        fed: list[Tensor] = []
        key: list[Any] = [tree, mode.grad]
        for path, leaf in leaves:
            if _is_static(leaf):
                key.append((type(leaf), _hashable(path, leaf)))
            else:
                tensor = leaf if isinstance(leaf, Tensor) else wrap(to_array(leaf))
                fed.append(tensor)
                key.append((tensor.dtype, tensor.shape, type(tensor._edge)))
        found = self._steps.setdefault(tuple(key), [])
        step = next((s for s in found if s.still_valid()), None)
        if step is None:
            step = self._trace(leaves, tree)
            found.append(step)
        return step(fed)  # type: ignore[no-any-return]

    def _trace(self, leaves: list[tuple[pytree.Path, Any]], tree: pytree.Tree) -> _Step:
        self.compilations += 1
        if self.compilations == _MANY:
            import warnings

            warnings.warn(
                f"{getattr(self._function, '__name__', 'a function')} was compiled {_MANY} times: a shape or a Python "
                "int, bool or string among its arguments changes from call to call; pad the shape, or pass the number "
                "as a float or a tensor",
                stacklevel=3,
            )
        with Trace(self._opset, specialise=True) as trace:
            fed = []
            inputs: list[Traced] = []
            for path, leaf in leaves:
                if _is_static(leaf):
                    fed.append(leaf)
                    continue
                array = to_array(leaf)
                traced = trace.input(".".join(path), array.dtype, array.shape)
                if isinstance(leaf, Tensor) and leaf.requires_grad:
                    traced._edge = Leaf()  # stands for that of the tensor which is given at each call
                inputs.append(traced)
                fed.append(traced)
            edges = [t._edge for t in inputs]
            args, kwargs = pytree.unflatten(tree, iter(fed))
            result = self._function(*args, **kwargs)
            return _Step(trace, edges, result, self._threads)


def _is_static(leaf: Any) -> bool:
    """Whether a leaf is a constant of the trace, not an input: floats, tensors and arrays are inputs."""
    return isinstance(leaf, (bool, int, str)) or not (isinstance(leaf, (Tensor, float)) or hasattr(leaf, "__array__"))


def _hashable(path: pytree.Path, leaf: Any) -> Any:
    """A constant of the trace as part of a key. Raises TraceError IX212 where it cannot be recognised again."""
    try:
        hash(leaf)
    except TypeError:
        raise TraceError(
            "IX212",
            f"the argument {'.'.join(path[1:])} is neither a tensor nor a constant",
            where=user_line(),
            found=f"a {type(leaf).__name__}, which may change without being seen",
            expected="tensors, arrays, numbers, strings and other immutable objects, nested in lists, tuples and dicts",
            fix="pass a tuple, or what is in it",
        ) from None
    return leaf


class _Step:
    """One graph in a session, and the variables that it reads and writes."""

    def __init__(self, trace: Trace, edges: list[Edge], result: Any, threads: int | None) -> None:
        leaves, self.tree = pytree.flatten(result)
        arguments = [v.name for v in trace.graph.inputs]
        read = list(trace.variables.values())
        self.modules = trace.modules
        self.changes = structure.changes
        self.parts = [m._parts() for m, _ in self.modules]
        self.trained = [(v, v.requires_grad) for v in read]
        written = [trace.variables[k] for k in trace.written]
        self.position = {e: i for i, e in enumerate(edges) if e is not None}  # of an input's leaf among the arguments
        consumed = {v._edge for v in written}
        gradients = {f: g for f, g in trace.gradients.items() if g is not None and f not in consumed}
        self.relied = tuple(trace.relied)
        self.forgotten = tuple(trace.replaced)
        wanted = [leaf if isinstance(leaf, Tensor) else wrap(to_array(leaf)) for _, leaf in leaves]
        values = [trace.own(t) for t in (*wanted, *trace.written.values(), *gradients.values())]
        trace.graph.outputs = values
        initial = [trace.initial(k) for k in trace.variables]
        self._as_inputs(trace, initial)
        self.session = _session(trace, threads)
        used = {v.name for v in trace.graph.inputs}
        self.feeds = [n if n in used else None for n in arguments]
        self.read = [(v.name, x) for v, x in zip(initial, read, strict=True) if v.name in used]
        self.outputs = [v.name for v in values]
        self.results, self.written, self.gradients = len(wanted), written, list(gradients)

    @staticmethod
    def _as_inputs(trace: Trace, initial: list[Value]) -> None:
        """Variables are plain inputs here: their data changes with every call."""
        for value in initial:
            del trace.graph.initializers[value.name]
            value.const = None
            trace.graph.inputs.append(value)

    def still_valid(self) -> bool:
        """Whether modules have the parts and the mode they were traced in, and the same variables are trained."""
        return (
            (self.changes == structure.changes or self._same_parts())
            and all(m.training == training for m, training in self.modules)
            and all((v._edge is not None) == trained for v, trained in self.trained)
        )

    def _same_parts(self) -> bool:
        """Whether the modules have the parts and hooks they were traced with."""
        for (module, _), before in zip(self.modules, self.parts, strict=True):
            now = module._parts()
            if len(now) != len(before) or not all(a is b for a, b in zip(now, before, strict=True)):
                return False
        self.changes = structure.changes
        return True

    def _leaf(self, leaf: Leaf, given: list[Tensor]) -> Leaf:
        """The leaf itself, or that of the argument it stands for."""
        at = self.position.get(leaf)
        if at is None:
            return leaf
        edge = given[at]._edge
        if not isinstance(edge, Leaf):
            raise TraceError(
                "IX211",
                "backward() in a compiled function reaches a tensor that was computed outside of it",
                where=user_line(),
                found=f"argument {at}, the result of operations",
                expected="arguments without a history",
                fix="pass it with .detach(), or compute it inside the function",
            )
        return edge

    def __call__(self, given: list[Tensor]) -> Any:
        if any(self._leaf(leaf, given).grad is not None for leaf in self.relied):
            raise earlier_gradient()
        targets = [self._leaf(leaf, given) for leaf in self.gradients]
        feeds = {n: t._data for n, t in zip(self.feeds, given, strict=True) if n is not None}
        for name, variable in self.read:
            feeds[name] = variable._data
        found = self.session.run(self.outputs, feeds)
        n, m = self.results, self.results + len(self.written)
        for variable, data in zip(self.written, found[n:m], strict=True):
            variable._data = data
        for leaf in self.forgotten:
            self._leaf(leaf, given).grad = None
        for leaf, data in zip(targets, found[m:], strict=True):
            grad = wrap(data)
            leaf.grad = grad if leaf.grad is None else leaf.grad + grad
        return pytree.unflatten(self.tree, iter([wrap(a) for a in found[:n]]))


def _session(trace: Trace, threads: int | None) -> Any:
    import onnxruntime as ort

    from interchange.graph.files import serialize
    from interchange.graph.passes import cse, dce, fold
    from interchange.ops import evaluate_node
    from interchange.schemas import ir_for_opset

    model = trace.model()
    model.ir_version = ir_for_opset(trace.opset)
    fold(model, evaluate_node)
    cse(model)
    dce(model)
    options = ort.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(serialize(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise TraceError(
            "IX210",
            "ONNX Runtime cannot load the compiled graph",
            where=user_line(),
            found=str(error).splitlines()[0],
            expected="operators and dtypes the runtime has kernels for",
            fix="run the function without compile, or in float32",
        ) from error
