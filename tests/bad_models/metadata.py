"""What interchange writes into a model, damaged."""

from __future__ import annotations

from typing import Any

import onnx

from .building import F, const, relu, value
from .kind import family

kind = family("metadata")
LOST = "the runtime could not enforce the model's conditions"


def noted(key: str, text: str) -> onnx.ModelProto:
    m = relu(inputs=[value("x", F, ("batch", 3))], outputs=[value("y", F, ("batch", 3))])
    m.metadata_props.add(key=f"interchange.{key}", value=text)
    return m


@kind("guards that are not JSON", "IX590", "interchange.guards", LOST)
def _() -> Any:
    return noted("guards", "[{")


@kind("a guard that cannot be read", "IX590", "interchange.guards", "the condition is Python code, which nobody runs")
def _() -> Any:
    return noted("guards", '[{"condition": "import os", "why": ""}]')


@kind("metadata nested a hundred thousand levels deep", "IX590", "interchange.guards", "JSON that exhausts the stack")
def _() -> Any:
    return noted("guards", "[" * 100_000)


@kind("a guard about a size that no input has", "IX591", "'time'", LOST)
def _() -> Any:
    return noted("guards", '[{"condition": "time%4 == 0", "why": ""}]')


@kind("state that starts at no value", "IX591", "'x'", "nothing says what the state is before the first run")
def _() -> Any:
    return noted("state", '[{"name": "x", "output": "y"}]')


@kind("a constant that nothing reads", "IX595", "'left'", "it makes the file larger")
def _() -> Any:
    return relu(initializers=[const("left", [1.0])])
