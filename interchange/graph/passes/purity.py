"""Which nodes give the same outputs for the same inputs, every time."""

from __future__ import annotations

from interchange.graph.core import FunctionKey, ModelIR, Node

# operators that draw random numbers, in every domain (com.microsoft has BiasDropout and BitmaskDropout)
_RANDOM = ("Random", "Bernoulli", "Multinomial", "Dropout", "Sampling")
_KNOWN = frozenset(("", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training", "com.microsoft"))


class Purity:
    """Answers for the nodes of one model; a local function is pure when all its nodes are."""

    def __init__(self, model: ModelIR) -> None:
        self._functions = model.functions
        self._pure: dict[FunctionKey, bool] = {}

    def __call__(self, node: Node) -> bool:
        """Whether `node` is pure. An operator of a domain nobody knows is taken to be impure."""
        key = (node.domain, node.op_type, node.overload)
        if key in self._functions:
            if key not in self._pure:
                self._pure[key] = False  # the answer for a function that calls itself, which is malformed anyway
                self._pure[key] = all(map(self, self._functions[key].walk()))
            return self._pure[key]
        if node.domain not in _KNOWN or any(word in node.op_type for word in _RANDOM):
            return False
        return all(self(inner) for graph in node.graphs() for inner in graph.walk())
