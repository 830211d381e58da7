"""Which of PyTorch's guards a model needs: those that exclude nothing but the size 1 are tried out.

Libraries ask whether a size is 1 for reasons that do not show in the results: to choose a kernel, to leave out a mask
that is not even there. PyTorch keeps each such comparison as a guard, and a model that decodes one token at a time
would be refused its one token. So the captured graph and the model itself are run at that size, side by side: where
they agree, the guard goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.export.graph_signature import OutputKind
from torch.utils._pytree import tree_leaves

from interchange.dims import Condition, Dim, Guard, parse_dim, symbols
from interchange.dtypes import Array
from interchange.frontends.inputs import bounds_of
from interchange.frontends.torch.aliases import writes_into_given
from interchange.frontends.torch.inputs import Inputs
from interchange.frontends.torch.reference import FAILURES, as_captured, graph_arguments
from interchange.frontends.torch.weights import to_torch

Sizes = dict[str, int]


def needed(
    guards: Sequence[Guard],
    program: Any,
    model: Any,
    called: Inputs,
    sizes: Sizes,
    arrays: Callable[[Sizes], Mapping[str, Array]],
) -> list[Guard]:
    """The guards without those that hold from size 2 on and make no difference at 1.

    sizes: those of the capture; arrays: inputs for any sizes. A model with state, which a run would change, keeps all.
    """
    firm: list[Guard] = []
    doubtful: list[Guard] = []
    for guard in guards:
        (doubtful if _only_excludes_one(guard.condition) else firm).append(guard)
    if not doubtful or _keeps_state(program):
        return list(guards)
    bounds = bounds_of(called.specs)
    known: dict[tuple[str, ...], bool] = {}

    def agrees(names: Sequence[str]) -> bool:
        """Whether nothing speaks against these sizes being 1."""
        key = tuple(sorted(set(names)))
        if key not in known:
            at = {**sizes, **dict.fromkeys(key, 1)}
            admitted = all(bounds[n][0] <= 1 for n in key) and all(g.condition.at(at) for g in firm)
            known[key] = admitted and _same(program, model, called, arrays(at))
        return known[key]

    idle = {id(g) for g in doubtful if agrees([*symbols(g.condition.expr)])}
    if not agrees([n for g in doubtful if id(g) in idle for n in symbols(g.condition.expr)]):  # not all of them at once
        return list(guards)
    return [g for g in guards if id(g) not in idle]


def _keeps_state(program: Any) -> bool:
    """Whether a run of the program may change what it holds."""
    outputs = program.graph_signature.output_specs
    return any(s.kind != OutputKind.USER_OUTPUT for s in outputs) or writes_into_given(program.graph)


def _only_excludes_one(condition: Condition) -> bool:
    """Whether a condition holds for all sizes from 2 on, and not for 1."""
    names = symbols(condition.expr)
    if not isinstance(condition.expr, Dim) or condition.at(dict.fromkeys(names, 1)):
        return False
    larger = {n: Dim(n, min=2) for n in names}
    return Condition(parse_dim(str(condition.expr), larger), condition.op).holds() is True


def _same(program: Any, model: Any, called: Inputs, arrays: Mapping[str, Array]) -> bool:
    """Whether the captured graph gives what the model gives."""
    args, kwargs = called.arguments({n: to_torch(a) for n, a in arrays.items()})
    flat = graph_arguments(program, called.order, arrays)
    try:
        with as_captured():
            wanted = [v for v in tree_leaves(model(*args, **kwargs)) if v is not None]
            found = [v for v in torch.fx.Interpreter(program.graph_module).run(*flat) if v is not None]
    except FAILURES:
        return False  # the size 1 is none for this model
    return len(found) == len(wanted) and all(map(_equal, found, wanted))


def _equal(a: Any, b: Any) -> bool:
    if not (isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)):
        return bool(a == b)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if not (a.is_floating_point() or a.is_complex()):
        return bool(torch.equal(a, b))
    return bool(torch.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True))
