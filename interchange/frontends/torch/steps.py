"""A captured program, node by node: what each node gives in PyTorch, and which value of the graph stands for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from interchange.eager.traced import Traced
from interchange.frontends import Arrays, Step
from interchange.frontends.torch.reference import FAILURES, as_captured, failed, graph_arguments
from interchange.frontends.torch.unsupported import line_of, module_of, operator_of
from interchange.frontends.torch.weights import to_numpy
from interchange.graph.core import ModelIR


class _Watched(torch.fx.Interpreter):  # type: ignore[misc]  # to mypy torch is Any
    """Runs a graph with PyTorch and keeps the result of each node as it was when it was made."""

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.results: list[tuple[Any, Any]] = []

    def run_node(self, n: Any) -> Any:
        result = super().run_node(n)
        if n.op == "call_function" and isinstance(result, torch.Tensor):
            self.results.append((n, to_numpy(result).copy()))
        return result


def steps_of(
    program: Any, order: Sequence[str], lower: Callable[[], Any], arrays: Arrays
) -> tuple[ModelIR, Iterator[Step]]:
    """The graph with every node's result as an output, and what PyTorch computes there, in order.

    lower: lowers the program again, into a graph that no pass has changed. Raises ConvertError IX929.
    """
    lowered = lower()
    ir: ModelIR = lowered.trace.model()
    values: dict[str, str] = {}
    for name, result in lowered.interpreter.values.items():
        if isinstance(result, Traced) and result._symbolic.value.producer is not None:
            value = result._symbolic.value
            values[name] = value.name
            if value not in ir.graph.outputs:
                ir.graph.outputs.append(value)
    watched = _Watched(program.graph_module)
    try:
        with as_captured():
            watched.run(*graph_arguments(program, order, arrays))
    except FAILURES as error:
        raise failed(error, arrays) from error
    return ir, (
        Step(values[n.name], operator_of(n), module_of(n), line_of(n), array)
        for n, array in watched.results
        if n.name in values
    )
