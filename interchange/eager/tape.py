"""The tape: nodes that remember what a gradient rule needs, and the walk back over them.

There is no global tape: each result points at its node, each node at the edges of its inputs, and a creation counter
gives the order, so that a walk needs no sort.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from interchange.dtypes import name_of
from interchange.eager.tensor import Edge, Leaf, Tensor, current_trace, enable_grad, mode, no_grad, shape_text, wrap
from interchange.errors import OperatorError, user_line

if TYPE_CHECKING:
    from interchange.ops.frame import Bound

_counter = itertools.count()


class Node:
    """One recorded operation: its gradient rule with attributes, the edges of its inputs, and what the rule reads."""

    __slots__ = ("bound", "edges", "order", "outputs", "saved")

    def __init__(self, bound: Bound, edges: tuple[Edge, ...], saved: tuple[Any, ...] | None, outputs: int) -> None:
        self.bound, self.edges, self.saved, self.outputs = bound, edges, saved, outputs
        self.order = next(_counter)


def backward(
    root: Tensor, gradient: Tensor | None = None, *, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """See `Tensor.backward`."""
    if root._edge is None:
        raise OperatorError(
            "IX106",
            "backward() from a tensor that does not depend on any that requires a gradient",
            where=user_line(),
            found=f"{name_of(root.dtype)}{shape_text(root.shape)} without a history",
            expected="the result of operations on a Parameter or a tensor with requires_grad=True",
            fix="check that no .detach(), .numpy() or no_grad lies between the parameters and this tensor",
        )
    leaves: dict[Leaf, Tensor] = {}
    with enable_grad() if create_graph else no_grad():
        _walk(root._edge, seed(root, gradient), leaves, retain_graph or create_graph)
        trace = current_trace()
        for leaf, grad in leaves.items():
            for hook in tuple(leaf.hooks):
                replaced = hook(grad)
                grad = grad if replaced is None else replaced
            if trace:
                trace.add_gradient(leaf, grad)
            else:
                leaf.grad = grad if leaf.grad is None else leaf.grad + grad


def seed(root: Tensor, gradient: Tensor | None) -> Tensor:
    """The gradient to start from: ones for a tensor of one element, else what was given, checked."""
    from interchange.ops.shape_tools import ones

    if gradient is None:
        if not all(d == 1 for d in root.shape):
            raise OperatorError(
                "IX107",
                "backward() without a gradient takes a tensor of one element",
                where=user_line(),
                found=f"shape {shape_text(root.shape)}",
                expected="a loss of shape []",
                fix="reduce it with .sum() or .mean(), or pass a gradient of the same shape",
            )
        return wrap(np.ones(root.shape, root.dtype)) if type(root) is Tensor else ones(root.shape, root.dtype)
    if gradient.dtype != root.dtype or tuple(gradient.shape) != tuple(root.shape):
        raise OperatorError(
            "IX107",
            "the gradient does not fit the tensor",
            where=user_line(),
            found=f"{name_of(gradient.dtype)}{shape_text(gradient.shape)}",
            expected=f"{name_of(root.dtype)}{shape_text(root.shape)}",
            fix="pass a gradient of the same shape and dtype",
        )
    return gradient


def _walk(
    edge: Edge, gradient: Tensor, leaves: dict[Leaf, Tensor], keep: bool, stops: dict[Node, Tensor | None] | None = None
) -> None:
    """Carry `gradient` from `edge` back to the leaves, newest node first; nodes in `stops` are ends."""
    pending: dict[int, list[Tensor | None]] = {}
    nodes: dict[int, Node] = {}
    heap: list[int] = []

    def send(edge: Edge, grad: Tensor) -> None:
        if type(edge) is Leaf:
            before = leaves.get(edge)
            leaves[edge] = grad if before is None else before + grad
            return
        node, index = (edge, 0) if type(edge) is Node else edge
        order = node.order
        slots = pending.get(order)
        if slots is None:
            pending[order] = slots = [None] * node.outputs
            nodes[order] = node
            heapq.heappush(heap, -order)
        held = slots[index]
        slots[index] = grad if held is None else held + grad

    send(edge, gradient)
    while heap:
        order = -heapq.heappop(heap)
        node, grads = nodes.pop(order), pending.pop(order)
        if stops and node in stops:
            held, new = stops[node], grads[0]
            stops[node] = new if held is None or new is None else held + new
            continue
        if node.saved is None:
            raise OperatorError(
                "IX108",
                "backward() a second time through the same operations",
                where=user_line(),
                found=f"the saved values of {node.bound.op.name} were freed by the first backward()",
                expected="one backward() for each forward pass",
                fix="pass retain_graph=True to the first one, or compute the loss again",
            )
        results = node.bound.gradient(node, grads)
        if not keep:
            node.saved = None
        for target, result in zip(node.edges, results, strict=False):
            if target is not None and result is not None:
                send(target, result() if callable(result) else result)


def gradients(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    seeds: Sequence[Tensor | None],
    *,
    create_graph: bool = False,
) -> list[Tensor | None]:
    """Gradients of `outputs`, weighted by `seeds`, by `inputs` (leaves, or results of one-output operations).

    None where no path leads from an output to the input.
    """
    leaves: dict[Leaf, Tensor] = {}
    stops: dict[Node, Tensor | None] = {x._edge: None for x in inputs if type(x._edge) is Node}
    with enable_grad() if create_graph else no_grad():
        for out, start in zip(outputs, seeds, strict=True):
            if out._edge is not None:
                _walk(out._edge, seed(out, start), leaves, True, stops)
    return [leaves.get(x._edge) if type(x._edge) is Leaf else stops.get(x._edge) for x in inputs]


def vjp(function: Callable[..., Any], *primals: Tensor) -> tuple[Any, Callable[..., tuple[Tensor, ...]]]:
    """The value of `function(*primals)`, and a function from a gradient of the value to the gradients of the primals.

    The result can be differentiated again: ``grad(grad(f))`` works.
    """
    from interchange.ops.shape_tools import zeros

    with enable_grad():
        fresh = [_as_leaf(p) for p in primals]
        value = function(*fresh)
    outs = list(value) if isinstance(value, (tuple, list)) else [value]

    def pullback(*seeds: Tensor) -> tuple[Tensor, ...]:
        found = gradients(outs, fresh, seeds or [None] * len(outs), create_graph=True)
        return tuple(zeros(p.shape, p.dtype) if g is None else g for g, p in zip(found, primals, strict=True))

    return value, pullback


def _as_leaf(x: Tensor) -> Tensor:
    """A tensor of its own that stands for `x`, and still passes gradients on to it (which higher orders need)."""
    from interchange.ops.shape import Identity

    if x._edge is not None:
        return Identity(x)
    return x.as_leaf()


def value_and_grad(function: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., tuple[Any, Any]]:
    """A function that returns ``(function(*args), gradients by the arguments in argnums)``; the value is a scalar."""
    single = isinstance(argnums, int)
    wanted = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def both(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        def of_wanted(*chosen: Tensor) -> Any:
            full = list(args)
            for i, c in zip(wanted, chosen, strict=True):
                full[i] = c
            return function(*full, **kwargs)

        value, pullback = vjp(of_wanted, *(args[i] for i in wanted))
        found = pullback()
        return value, found[0] if single else found

    return both


def grad(function: Callable[..., Tensor], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """The gradient of a scalar function by its first argument (or those in argnums); nested, of higher order."""
    both = value_and_grad(function, argnums)
    return lambda *args, **kwargs: both(*args, **kwargs)[1]


def check_gradient(function: Callable[..., Tensor], *primals: Tensor, step: float = 1e-6, rtol: float = 1e-5) -> None:
    """Compare the gradients of ``function(*primals).sum()`` with central differences ``(f(x+h) - f(x-h)) / 2h``.

    primals: float64. Raises OperatorError IX109 with the worst element.
    """
    _, pullback = vjp(lambda *xs: function(*xs).sum(), *primals)
    found = pullback()
    for k, (x, g) in enumerate(zip(primals, found, strict=True)):
        numeric = np.zeros(x._data.shape)
        for i in np.ndindex(*x._data.shape):
            ends = []
            for h in (step, -step):
                moved = x._data.copy()
                moved[i] += h
                with no_grad():
                    ends.append(float(function(*primals[:k], wrap(moved), *primals[k + 1 :]).sum().numpy()))
            numeric[i] = (ends[0] - ends[1]) / (2 * step)
        error = np.abs(g.numpy() - numeric) / np.maximum(1.0, np.abs(numeric))
        if not error.size or error.max() <= rtol:
            continue
        worst = np.unravel_index(int(error.argmax()), error.shape)
        raise OperatorError(
            "IX109",
            f"the gradient by argument {k} is not the derivative",
            where=f"element {tuple(int(w) for w in worst)}",
            found=f"{g.numpy()[worst]!r} from the rule",
            expected=f"{numeric[worst]!r} by central differences, relative error at most {rtol}",
            fix="correct the gradient rule; at a kink (abs at 0, ties of max) choose another point",
        )


__all__ = ["Node", "backward", "check_gradient", "grad", "gradients", "mode", "value_and_grad", "vjp"]
