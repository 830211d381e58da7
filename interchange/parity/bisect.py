"""Where a model and its source part: the first step of the source whose result the runtime does not have."""

from __future__ import annotations

from collections.abc import Iterable

from interchange.parity.compare import compare
from interchange.parity.report import Arrays, Runnable, Stepped


def first_difference(model: Runnable, arrays: Arrays, steps: Iterable[Stepped]) -> str | None:
    """``aten.gelu.default at model.py:12 in forward, module encoder.0: 3 of 40 elements differ``; None if none does.

    model: has the result of every step as an output. One run of it is enough, and one of the source.
    """
    found = model.run(arrays)
    for step in steps:
        difference = compare(step.value, found[step.value], step.array)
        if difference.problem is not None:
            line = f" at {step.line}" if step.line else ""
            module = f", module {step.module}" if step.module else ""
            return f"{step.op}{line}{module}: {difference.problem}"
    return None
