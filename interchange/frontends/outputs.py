"""What a model returns: its results as named outputs of the graph, its state as further ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from interchange.eager import pytree
from interchange.eager.tensor import Tensor, to_array, wrap
from interchange.eager.trace import Trace
from interchange.errors import TraceError


def name_outputs(found: list[tuple[pytree.Path, Any]], names: Sequence[str] | None, model: str) -> dict[str, Any]:
    """Outputs by name: keys of dicts and fields; ``output`` or ``output_0``, ``output_1`` where there are none."""
    if not found:
        raise TraceError(
            "IX209",
            f"{model} returns nothing",
            found="no tensor among the outputs",
            expected="at least one tensor",
            fix="return the result from forward",
        )
    default = [".".join(path) for path, _ in found]
    default = [f"output_{n}" if n[:1].isdigit() else n or "output" for n in default]
    good = names is None or (isinstance(names, (list, tuple)) and all(isinstance(n, str) and n for n in names))
    if names is not None and not (good and len(names) == len(found)):
        raise TraceError(
            "IX209",
            "output_names does not name each output once",
            found=f"{len(names)} names: {', '.join(names)}" if good else repr(names),
            expected=f"{len(found)} outputs: {', '.join(default)}",
            fix="give a list with one name per output",
        )
    outputs = dict(zip(names or default, (leaf for _, leaf in found), strict=True))
    if len(outputs) != len(found):
        raise TraceError(
            "IX209",
            "two outputs have one name",
            found=", ".join(names or default),
            expected="different names",
            fix="pass output_names, or rename the keys",
        )
    for name, leaf in outputs.items():
        if not isinstance(leaf, (Tensor, np.ndarray, np.generic, bool, int, float)):
            raise TraceError(
                "IX209",
                f"output {name} is not a tensor",
                found=type(leaf).__name__,
                expected="tensors in dicts, lists, tuples, dataclasses, or None",
                fix="return tensors only",
            )
    return outputs


def finish(trace: Trace, outputs: Mapping[str, Any]) -> None:
    """Make the results outputs of the graph, each under its own name."""
    taken = {v.name: "input" for v in trace.graph.inputs} | {
        trace.initial(k).name: "parameter" for k in trace.variables
    }
    for name, leaf in outputs.items():
        if name in taken:
            raise TraceError(
                "IX209",
                f"an output has the name of the {taken[name]} {name}",
                found=name,
                expected="different names for inputs, parameters and outputs",
                fix="pass output_names",
            )
        traced = trace.lift(leaf if isinstance(leaf, Tensor) else wrap(to_array(leaf)))
        result = traced._symbolic.value
        if result.producer is None or result in trace.graph.outputs:  # an input, a constant, or returned twice
            result = trace.own(traced)
        trace.rename(result, name)
        trace.graph.outputs.append(result)


def state_outputs(trace: Trace) -> dict[str, str]:
    """Turn each written variable into an input with a default and an output ``NAME.next``; initializer -> output."""
    state: dict[str, str] = {}
    for key, value in trace.written.items():
        initial = trace.initial(key)
        trace.graph.inputs.append(initial)
        result = trace.own(value)
        trace.rename(result, trace.unique(f"{initial.name}.next"))
        trace.graph.outputs.append(result)
        state[initial.name] = result.name
    return state
