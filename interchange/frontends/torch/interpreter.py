"""Lowering is interpreting: each node of PyTorch's graph is a call of functions of the vocabulary.

Inside a trace that records the ONNX graph. Nothing is decomposed as long as there is a lowering; a node without one is
decomposed alone, by PyTorch's own decomposition, and its pieces are interpreted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch._guards import detect_fake_mode
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_unflatten

from interchange.dims import DimLike
from interchange.dtypes import name_of
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.eager.trace import Trace
from interchange.eager.traced import Symbolic, Traced
from interchange.errors import ConvertError, InterchangeError
from interchange.frontends.torch.aliases import needs_functionalisation, written
from interchange.frontends.torch.sizes import Sizes
from interchange.frontends.torch.table import TABLE, Lowering, Out, Real
from interchange.frontends.torch.unsupported import Unsupported, line_of, module_of, place_of, problem
from interchange.frontends.torch.weights import dtype_of, to_numpy
from interchange.graph.core import Value
from interchange.ops.shape import Reshape

_PLACEMENT = frozenset(("device", "layout", "memory_format", "pin_memory", "non_blocking"))  # where memory lies
_CHECKS = frozenset(  # what they assert of sizes is among the guards; what they assert of data PyTorch asserts too late
    (
        "aten._assert_tensor_metadata",
        "aten._assert_scalar",
        "aten._assert_async",
        "aten.sym_constrain_range",
        "aten.sym_constrain_range_for_size",
    )
)
_ITEMS = ("aten.item", "aten._local_scalar_dense")


class Interpreter:
    """Interprets graphs of one capture in one trace.

    problems: what could not be lowered. random: the lines of operators that draw random numbers.
    values: the result of each node of the outermost graph, by its name.
    """

    def __init__(self, trace: Trace, sizes: Sizes) -> None:
        self.trace, self.sizes = trace, sizes
        self.problems: list[Unsupported] = []
        self.random: list[str] = []
        self.values: dict[str, Any] = {}
        self._found: dict[Any, Lowering | None] = {}
        self._depth = 0

    def run(self, graph: Any, inputs: Sequence[Any], owner: Any = None) -> tuple[Any, dict[Any, Any]]:
        """Interpret a graph on values of its placeholders.

        owner: the module whose attributes get_attr nodes read. Returns what the graph returns, and the new value of
        each placeholder that the graph writes into.
        """
        env: dict[Any, Any] = {}
        same: dict[Any, Any] = {}  # the result of an in-place op -> what it wrote into: one tensor
        mutated: dict[Any, Any] = {}
        given = iter(inputs)

        def value(node: Any) -> Any:
            return env[same.get(node, node)]

        for node in graph.nodes:
            if node.op == "placeholder":
                env[node] = next(given)
            elif node.op == "get_attr":
                env[node] = self._attribute(owner, node.target)
            elif node.op == "output":
                return torch.fx.node.map_arg(node.args[0], value), mutated
            else:
                env[node] = result = self._node(node, value, owner)
                for target in written(node):
                    target = same.get(target, target)
                    same[node] = target
                    env[target] = result
                    if target.op == "placeholder":
                        mutated[target] = result
                if not self._depth:
                    self.values[node.name] = result
        raise AssertionError("a graph without an output")

    def _attribute(self, owner: Any, target: str) -> Any:
        for part in target.split("."):
            owner = getattr(owner, part)
        return wrap(to_numpy(owner)) if isinstance(owner, torch.Tensor) else owner

    # -- one node ------------------------------------------------------------------------------------------------------
    def _node(self, node: Any, value: Callable[[Any], Any], owner: Any) -> Any:
        meta = node.meta.get("val")
        if isinstance(meta, (torch.SymInt, torch.SymFloat, torch.SymBool, bool, int, float)):
            return self._scalar(node, meta, value)
        target = node.target
        if getattr(target, "__name__", "") == "getitem":
            if not node.users:  # a result that nobody asked for, which a lowering may leave out
                return None
            container, index = torch.fx.node.map_arg(node.args, value)
            return container[index] if isinstance(container, (tuple, list)) else container
        packet = str(target).rpartition(".")[0]
        if packet in _CHECKS:
            return None
        line, module = line_of(node), module_of(node)
        if line or not self._depth:
            origin = {"interchange.line": line} if line else {}
            if module:
                origin["interchange.module"] = module
            self.trace.origin, self.trace.scope = origin, [module]
        try:
            return self._call(node, meta, value, owner)
        except InterchangeError as error:
            self.problems.append(problem(node, error, self.sizes))
        return self._stand_in(meta)

    def _call(self, node: Any, meta: Any, value: Callable[[Any], Any], owner: Any) -> Any:
        target = node.target
        if isinstance(target, torch._ops.HigherOrderOperator):
            return self._higher_order(node, value, owner)
        args = self._argument(torch.fx.node.map_arg(node.args, value))
        kwargs = {
            k: self._argument(v) for k, v in torch.fx.node.map_arg(node.kwargs, value).items() if k not in _PLACEMENT
        }
        entry = self._lowering(target)
        if entry is None:
            return self._decomposed(node, value)
        if entry.random is True or (entry.random and entry.random(*args, **kwargs)):
            self.random.append(f"{target} at {place_of(node)}")
        if entry.takes_out:
            kwargs["out"] = self._outs(meta)
        return self._settled(entry.handler(*args, **kwargs), meta, str(target))

    def _lowering(self, target: Any) -> Lowering | None:
        try:
            return self._found[target]
        except KeyError:
            overload = str(target)
            packet = overload.rpartition(".")[0]
            names = [overload, packet]
            if packet.endswith("_") and getattr(getattr(target, "_schema", None), "is_mutable", False):
                names += [f"{packet[:-1]}.{overload.rpartition('.')[2]}", packet[:-1]]
            found = self._found[target] = next((TABLE[n] for n in names if n in TABLE), None)
            return found

    def _argument(self, x: Any) -> Any:
        """An argument as handlers take it: sizes as Dims, dtypes as numpy's, SymFloats as Real."""
        if isinstance(x, (list, tuple)):
            return [self._argument(v) for v in x]
        if isinstance(x, torch.dtype):
            return dtype_of(x)
        if isinstance(x, torch.SymInt):
            return self.sizes.size(x)
        if isinstance(x, torch.SymFloat):
            return self.sizes.real(x)
        return x

    def _outs(self, meta: Any) -> Any:
        if isinstance(meta, torch.Tensor):
            return Out(dtype_of(meta.dtype), self._shape(meta.shape))
        return [self._outs(m) for m in meta] if isinstance(meta, (list, tuple)) else None

    def _shape(self, shape: Any) -> Any:
        """The shape of a result; where only the data decides and nothing has shown the size yet, None for an axis."""
        return tuple(map(self.sizes.known, shape))

    # -- results -------------------------------------------------------------------------------------------------------
    def _settled(self, result: Any, meta: Any, op: str) -> Any:
        """A result with the dtype and the shape that PyTorch gives it."""
        if isinstance(meta, (list, tuple)) and isinstance(result, (list, tuple)):
            return [self._settled(r, m, op) for r, m in zip(result, meta, strict=False)]
        if not isinstance(meta, torch.Tensor) or result is None:
            return result
        wanted = dtype_of(meta.dtype)
        if result.dtype != wanted:
            result = astype(result, wanted)
        if len(result.shape) != meta.dim():
            raise self._wrong_shape(op, result, meta)
        if isinstance(result, Traced):
            self._learn(result, meta)
        elif tuple(result.shape) != tuple(self._shape(meta.shape)):
            raise self._wrong_shape(op, result, meta)
        return result

    def _learn(self, result: Traced, meta: Any) -> None:
        """What PyTorch knows of a shape counts, and it tells of sizes that only the data decides."""
        symbolic = result._symbolic
        shape: list[DimLike] = []
        for ours, theirs in zip(symbolic.shape, meta.shape, strict=True):
            if type(theirs) is int:
                shape.append(theirs)
                continue
            expr = theirs.node.expr
            if expr.is_Symbol and not self.sizes.knows(expr):
                self.sizes.define(expr, ours)
            known = self.sizes.known(theirs)
            shape.append(ours if known is None else known)
        symbolic.shape = tuple(shape)
        if symbolic.value.producer is not None:
            symbolic.value.shape = tuple(d if isinstance(d, int) else str(d) for d in shape)
        self.trace._learn(result)

    def _wrong_shape(self, op: str, result: Tensor, meta: Any) -> ConvertError:
        return ConvertError(
            "IX927",
            f"the lowering of {op} gives another shape than PyTorch",
            found=f"{name_of(result.dtype)}[{', '.join(map(str, result.shape))}]",
            expected=f"[{', '.join(map(str, meta.shape))}]",
            fix="correct the lowering if it is yours; otherwise please report it with the model's line",
        )

    def _stand_in(self, meta: Any) -> Any:
        """What the nodes after one that cannot be lowered are looked at with."""
        if isinstance(meta, (list, tuple)):
            return [self._stand_in(m) for m in meta]
        if not isinstance(meta, torch.Tensor):
            return None
        for d in meta.shape:  # of sizes that only the data decides later nodes may speak
            if type(d) is not int and d.node.expr.is_Symbol and not self.sizes.knows(d.node.expr):
                self.sizes.define(d.node.expr, self.trace.fresh_dim("unknown"))
        try:
            shape = tuple(d if d is not None else self.trace.fresh_dim("unknown") for d in self._shape(meta.shape))
            dtype = dtype_of(meta.dtype)
        except InterchangeError:
            return None
        return Symbolic(self.trace, Value("unsupported", dtype, None), dtype, shape).traced()

    def _scalar(self, node: Any, meta: Any, value: Callable[[Any], Any]) -> Any:
        """A node whose result is a number: sizes are taken from PyTorch's expression, not from the arithmetic."""
        if str(node.target).rpartition(".")[0] in _ITEMS and not isinstance(meta, (bool, int, float)):
            return self._item(value(node.args[0]), meta)
        if str(node.target) == "aten.sym_storage_offset.default":
            return None  # where a tensor lies in memory, which only checks read
        if isinstance(meta, torch.SymInt):
            return self.sizes.size(meta)
        if isinstance(meta, torch.SymFloat):
            return self.sizes.real(meta)
        return meta  # a number, or a SymBool, which only checks read

    def _item(self, tensor: Tensor, meta: Any) -> Any:
        expr = meta.node.expr
        if isinstance(meta, torch.SymInt):
            size = self.trace.size_from(tensor, "item")
            self.sizes.define(expr, size)
            return size
        if isinstance(meta, torch.SymFloat):
            number = Reshape(astype(tensor, np.float64), np.array([], np.int64))
            self.sizes._reals[expr] = number
            return Real(number)
        return meta

    # -- graphs within -------------------------------------------------------------------------------------------------
    def _within(self, inner: Any, values: Sequence[Any]) -> tuple[Any, dict[Any, Any]]:
        self._depth += 1
        try:
            return self.run(inner.graph, values, inner)
        finally:
            self._depth -= 1

    def _higher_order(self, node: Any, value: Callable[[Any], Any], owner: Any) -> Any:
        name = node.target.__name__
        args = torch.fx.node.map_arg(node.args, value)
        if name == "wrap_with_set_grad_enabled":
            inner, operands = args[1], args[2:]
            return self._within(inner, operands)[0]
        raise ConvertError(
            "IX928",
            f"control flow by torch.{name} has no lowering yet",
            found=f"torch.ops.higher_order.{name}",
            expected="operations on tensors",
            fix="choose between results with torch.where, or unroll the loop",
        )

    def _decomposed(self, node: Any, value: Callable[[Any], Any]) -> Any:
        """Interpret PyTorch's own decomposition of one node."""
        inner = None if written(node) else self._decomposition(node)
        if inner is None:
            self.problems.append(problem(node, None, self.sizes))
            return self._stand_in(node.meta.get("val"))
        before = len(self.problems)
        leaves = tree_flatten(_plain(torch.fx.node.map_arg((node.args, node.kwargs), value)))[0]
        result, mutated = self._within(inner, [self._argument(x) for x in leaves])
        if len(self.problems) > before:  # the user's code has the whole op, not its pieces
            pieces = sorted({p.op for p in self.problems[before:]})
            del self.problems[before:]
            unknown = all(p.startswith("prims.") for p in pieces)  # then there is nothing below that a user could lower
            why = None if unknown else _in_pieces(str(node.target), ", ".join(pieces))
            self.problems.append(problem(node, why, self.sizes))
            return self._stand_in(node.meta.get("val"))
        assert not mutated
        return self._settled(result, node.meta.get("val"), str(node.target))

    def _decomposition(self, node: Any) -> Any:
        """What PyTorch makes of one op, a graph on fake tensors; None where it has no decomposition for all sizes."""
        target = node.target
        function = torch._decomp.decomposition_table.get(target)
        if function is None and _falls_apart(target):
            function = target.decompose
        if function is None:
            return None
        leaves, tree = tree_flatten(_plain(torch.fx.node.map_arg((node.args, node.kwargs), lambda n: n.meta["val"])))

        def call(*flat: Any) -> Any:
            args, kwargs = tree_unflatten(list(flat), tree)
            return function(*args, **kwargs)

        mode = detect_fake_mode(leaves)
        environment = getattr(mode, "shape_env", None)
        # what is right for some sizes only, or fixes one, is no decomposition
        unguarded = nullcontext() if environment is None else environment.error_on_new_guards()
        with mode or FakeTensorMode(allow_non_fake_inputs=True), unguarded:
            try:
                inner = make_fx(call)(*leaves)
            except Exception:  # PyTorch's own code, which fails in many ways: then there is no decomposition
                return None
        again = any(n.target is target for n in inner.graph.nodes)
        return None if again or needs_functionalisation(inner.graph) else inner


def _falls_apart(target: Any) -> bool:
    """Whether PyTorch computes an op by others."""
    try:
        return bool(target._can_decompose())
    except (AttributeError, RuntimeError):  # no ATen op; or one of TorchScript only, such as aten.size
        return False


def _plain(arguments: Any) -> Any:
    """Arguments of a node with lists of Python: those of a graph refuse to be changed, which decompositions do."""
    if isinstance(arguments, (list, tuple)):
        return type(arguments)(map(_plain, arguments)) if type(arguments) is tuple else list(map(_plain, arguments))
    return {k: _plain(v) for k, v in arguments.items()} if isinstance(arguments, dict) else arguments


def _in_pieces(op: str, pieces: str) -> ConvertError:
    return ConvertError(
        "IX928",
        f"PyTorch takes {op} apart into operators without a lowering",
        found=pieces,
        fix="write the lowering of one of them: @interchange.frontends.torch.lower(name) (docs/pytorch.md)",
    )
