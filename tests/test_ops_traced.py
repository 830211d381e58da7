"""Every operator with its gradient, traced with symbolic sizes and run in ONNX Runtime at several, against eager."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from ops_cases import CASES, DIMS, NORMAL, Case, Fill, Sizes
from tracing import run

from interchange.dims import evaluate, parse_spec
from interchange.dtypes import is_float
from interchange.eager.tape import gradients
from interchange.eager.tensor import Tensor, enable_grad, wrap
from interchange.eager.trace import Trace
from interchange.ops.shape_tools import shape_tensor

TRACED = [pytest.param(c, id=c.id) for c in CASES if any(isinstance(i, (str, Fill)) for i in c.inputs)]


def _by(case: Case) -> list[int]:
    """The inputs to differentiate by: the float ones that are traced."""
    if not (case.gradient and case.operator.rule):
        return []
    dtypes = {i: parse_spec(x if isinstance(x, str) else x.spec).dtype for i, x in _inputs(case)}
    return [i for i, dtype in dtypes.items() if dtype == np.float32 and (case.by is None or i in case.by)]


def _inputs(case: Case) -> list[tuple[int, str | Fill]]:
    return [(i, x) for i, x in enumerate(case.inputs) if isinstance(x, (str, Fill))]


def _outputs_and_gradients(case: Case, inputs: Sequence[Tensor | None]) -> list[Tensor]:
    with enable_grad():
        at = _by(case)
        full = [x.as_leaf() if x is not None and i in at else x for i, x in enumerate(inputs)]
        result = case.operator(*full, **case.attributes)
        outputs = list(result) if isinstance(result, tuple) else [result]
        losses = [(y * y).sum() for y in outputs if is_float(y.dtype)]
        if not at or not losses:
            return outputs
        found = gradients(losses, [full[i] for i in at], [None] * len(losses))
    return outputs + [g for g in found if g is not None]


@pytest.mark.parametrize("case", TRACED)
def test_traced_operator_and_gradient_agree_with_eager(case: Case) -> None:
    arrays = case.arrays()
    with Trace(21) as trace:
        trace.input("sizes", np.dtype(np.float32), tuple(DIMS.values()))  # a size may stand alone in no other input
        inputs: list[Tensor | None] = []
        for i, (x, a) in enumerate(zip(case.inputs, arrays, strict=True)):
            if isinstance(x, (str, Fill)):
                spec = parse_spec(x if isinstance(x, str) else x.spec, DIMS)
                inputs.append(trace.input(f"x{i}", spec.dtype, spec.shape))
            elif isinstance(x, Sizes):
                inputs.append(shape_tensor(x.dims()[0] if x.scalar else x.dims()))
            else:
                inputs.append(None if a is None else wrap(a))
        outputs = [trace.lift(t) for t in _outputs_and_gradients(case, inputs)]
    trace.graph.outputs = [t._symbolic.value for t in outputs]
    tried = 0
    for n in case.at:
        where = {**NORMAL, **case.sizes, "n": n}
        if not all(g.condition.at(where) for g in trace.guards):
            continue
        tried += 1
        concrete = case.arrays(n=n)
        carrier = np.zeros([evaluate(d, where) for d in DIMS.values()], np.float32)
        found = run(trace, carrier, *(concrete[i] for i, _ in _inputs(case)))
        wanted = _outputs_and_gradients(case, [None if a is None else wrap(a) for a in concrete])
        for a, b in zip(found, wanted, strict=True):
            assert a.dtype == b.dtype
            assert a.shape == b.shape, f"{a.shape} instead of {b.shape} at n = {n}"
            np.testing.assert_allclose(a, b.numpy(), rtol=2e-4, atol=2e-4, err_msg=f"at n = {n}")
    assert tried >= 2, "the guards leave no sizes to try"


@pytest.mark.parametrize("case", [p for p in TRACED if p.values[0].op == "CumProd"])
def test_an_operator_newer_than_the_opset_is_decomposed(case: Case) -> None:
    """CumProd (opset 26) in opset 21, of a size that is known: in log2(size) steps."""
    x, axis = case.arrays(n=5)
    with Trace(21) as trace:
        y = trace.lift(case.operator(trace.input("x", x.dtype, x.shape), wrap(axis), **case.attributes))
    trace.graph.outputs = [y._symbolic.value]
    assert "CumProd" not in {node.op_type for node in trace.graph.nodes}
    np.testing.assert_allclose(
        run(trace, x)[0], case.operator(wrap(x), wrap(axis), **case.attributes).numpy(), rtol=1e-5
    )
