"""The rules, by layer. Importing this registers them all, in the order in which they run."""

from interchange.checker.rules import structure  # isort: skip
from interchange.checker.rules import tensors  # isort: skip
from interchange.checker.rules import schema  # isort: skip
from interchange.checker.rules import types  # isort: skip
from interchange.checker.rules import deploy  # isort: skip
from interchange.checker.rules import hygiene  # isort: skip

__all__ = ["deploy", "hygiene", "schema", "structure", "tensors", "types"]
