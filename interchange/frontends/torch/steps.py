"""A captured program, node by node: what each node gives in PyTorch, and which value of the graph stands for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.export.graph_signature import InputKind

from interchange.eager.traced import Traced
from interchange.frontends import Arrays, Step
from interchange.frontends.torch.reference import FAILURES, failed
from interchange.frontends.torch.unsupported import line_of, module_of, operator_of
from interchange.frontends.torch.weights import to_numpy, to_torch
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
        with torch.no_grad():
            watched.run(*_arguments(program, order, arrays))
    except FAILURES as error:
        raise failed(error, arrays) from error
    return ir, (
        Step(values[n.name], operator_of(n), module_of(n), line_of(n), array)
        for n, array in watched.results
        if n.name in values
    )


def _arguments(program: Any, order: Sequence[str], arrays: Mapping[str, Any]) -> list[Any]:
    """What the graph's placeholders stand for; state is copied, since the graph may write into it."""
    names = iter(order)
    found: list[Any] = []
    for spec in program.graph_signature.input_specs:
        if spec.kind == InputKind.USER_INPUT:
            name = next(names)
            found.append(to_torch(arrays[name]) if name in arrays else getattr(spec.arg, "value", None))
        elif spec.kind == InputKind.PARAMETER:
            found.append(program.state_dict[spec.target])
        else:
            held = program.state_dict.get(spec.target)
            found.append((program.constants[spec.target] if held is None else held).clone())
    return found
