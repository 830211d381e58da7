"""The PyTorch frontend: torch.export captures a module, its graph is interpreted over the vocabulary.

`lower` registers the lowering of a custom operator.
"""

from interchange.frontends.torch.capture import capture_torch
from interchange.frontends.torch.table import TABLE, Out, Real, lower, promote, promote_float

__all__ = ["TABLE", "Out", "Real", "capture_torch", "lower", "promote", "promote_float"]
