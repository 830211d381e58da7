"""Help for tests of traces: run a traced graph in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from interchange.dims import parse_spec
from interchange.eager import Tensor
from interchange.eager.tensor import wrap
from interchange.eager.trace import Trace
from interchange.graph.files import serialize
from interchange.schemas import ir_for_opset


def traced(function: Callable[..., Any], *specs: str, opset: int = 21, **options: Any) -> tuple[Trace, list[Tensor]]:
    """`function` traced on inputs given in the shape language; its results are the outputs of `trace.graph`."""
    known: dict[str, Any] = {}
    with Trace(opset, **options) as trace:
        inputs = []
        for text in specs:
            spec = parse_spec(text, known)
            known |= {str(d): d for d in spec.shape if not isinstance(d, int) and str(d).isidentifier()}
            inputs.append(trace.input(spec.name or f"x{len(inputs)}", spec.dtype, spec.shape))
        result = function(*inputs)
        outputs = [trace.lift(t) for t in (result if isinstance(result, (tuple, list)) else [result])]
    trace.graph.outputs = [t._symbolic.value for t in outputs]
    return trace, list(outputs)


def run(trace: Trace, *arrays: Any) -> list[Any]:
    """The outputs of a trace's graph in ONNX Runtime."""
    model = trace.model()
    model.ir_version = ir_for_opset(trace.opset)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(serialize(model), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(zip([v.name for v in session.get_inputs()], arrays, strict=True))))


def agrees(
    function: Callable[..., Any],
    specs: Sequence[str],
    sizes: Sequence[Mapping[str, int]],
    *,
    opset: int = 21,
    rtol: float = 1e-5,
    atol: float = 1e-6,
) -> None:
    """Assert that the function traced once gives, at all these sizes, what it gives eagerly: values, dtypes, shapes."""
    from interchange.dims import evaluate

    trace, _ = traced(function, *specs, opset=opset)
    rng = np.random.default_rng(0)
    for at in sizes:
        arrays = []
        for spec in map(parse_spec, specs):
            shape = tuple(evaluate(d, at) for d in spec.shape)
            values = rng.standard_normal(shape) if spec.dtype.kind == "f" else rng.integers(0, 2, shape)
            arrays.append(values.astype(spec.dtype))
        expected = function(*(wrap(a) for a in arrays))
        found = run(trace, *arrays)
        for a, b in zip(found, expected if isinstance(expected, (tuple, list)) else [expected], strict=True):
            assert a.dtype == b.dtype
            assert a.shape == b.shape, f"{a.shape} instead of {b.shape} at {at}"
            np.testing.assert_allclose(a, b.numpy(), rtol=rtol, atol=atol, err_msg=str(at))
