"""The rules, by layer. Importing this registers them all, in the order in which they run."""

from interchange.checker.rules import wire  # isort: skip
from interchange.checker.rules import structure  # isort: skip
from interchange.checker.rules import functions  # isort: skip
from interchange.checker.rules import tensors  # isort: skip
from interchange.checker.rules import schema  # isort: skip
from interchange.checker.rules import values  # isort: skip
from interchange.checker.rules import types  # isort: skip
from interchange.checker.rules import bombs  # isort: skip
from interchange.checker.rules import policy  # isort: skip
from interchange.checker.rules import deploy  # isort: skip
from interchange.checker.rules import hygiene  # isort: skip
from interchange.checker.rules import lints  # isort: skip

__all__ = [
    "bombs",
    "deploy",
    "functions",
    "hygiene",
    "lints",
    "policy",
    "schema",
    "structure",
    "tensors",
    "types",
    "values",
    "wire",
]
