"""The parameters of a request and of its outputs: the same rules at every door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from interchange.dtypes import Array, string
from interchange.protocol.errors import ServingError

# taken by this server; whatever else somebody sends is refused by name, not ignored
REQUEST = ("priority", "timeout", "binary_data_output")
OUTPUT = ("classification", "binary_data")
INPUT = ("binary_data_size",)
MAX_PRIORITY = 100


class Options(NamedTuple):
    """What a request asks for. timeout: seconds, or None."""

    priority: int = 0
    timeout: float | None = None


def read_options(parameters: Mapping[str, Any]) -> Options:
    """The options in a request's parameters: `priority` (1 comes first, 0 is the default), `timeout` (microseconds).

    Raises ServingError IX638 for a parameter or a value that is not taken.
    """
    known(parameters, REQUEST, "the request")
    priority, timeout = parameters.get("priority", 0), parameters.get("timeout")
    if type(priority) is not int or not 0 <= priority <= MAX_PRIORITY:
        raise bad("priority", priority, f"a whole number from 0 to {MAX_PRIORITY}")
    if timeout is not None and (type(timeout) is not int or timeout < 0):
        raise bad("timeout", timeout, "microseconds: a whole number; 0 is no limit of the request's own")
    return Options(priority, timeout / 1e6 if timeout else None)


def known(parameters: Mapping[str, Any], names: Sequence[str], whose: str, input: str | None = None) -> None:
    """Raises ServingError IX638 for parameters that this server does not take."""
    for name in parameters:
        if name not in names:
            raise ServingError(
                "IX638",
                f"{whose} has a parameter that this server does not take",
                input=input,
                found=name[:80] or "an empty name",
                expected=", ".join(names) or "no parameters",
                fix="leave it out; sequences, shared memory and per-request headers are not offered",
            )


def bad(name: str, value: Any, expected: str, input: str | None = None) -> ServingError:
    """The error for a parameter's value."""
    shown = f"a {type(value).__name__}" if isinstance(value, (list, dict)) else repr(value)  # of any size and depth
    return ServingError(
        "IX638",
        f"the parameter {name} cannot be this",
        input=input,
        found=f"{name} = {shown}"[:200],
        expected=expected,
        fix="send another value, or leave it out",
    )


def classes_wanted(parameters: Mapping[str, Any], output: str) -> int | None:
    """The `classification` parameter of an output: how many classes; None where it is not asked for."""
    count = parameters.get("classification")
    if count is None:
        return None
    if type(count) is not int or count < 1:
        raise bad("classification", count, "how many classes, 1 at least", output)
    return count


def classify(scores: Array, count: int, labels: Sequence[str], output: str) -> Array:
    """The best classes of each row: texts ``score:index[:label]``, of shape [..., min(count, classes)].

    Raises ServingError IX638 for an output that has no numbers or no axes.
    """
    if scores.ndim == 0 or scores.dtype == string or scores.dtype.kind == "c":
        raise bad("classification", count, "an output of numbers with an axis of classes", output)
    count = min(count, scores.shape[-1])
    best = np.argsort(-scores.astype(np.float64), axis=-1, kind="stable")[..., :count]
    values = np.take_along_axis(scores, best, axis=-1)
    texts = np.empty(best.shape, object)
    for at in np.ndindex(best.shape):
        index = int(best[at])
        label = f":{labels[index]}" if index < len(labels) else ""
        texts[at] = f"{float(values[at]):f}:{index}{label}"
    return texts
