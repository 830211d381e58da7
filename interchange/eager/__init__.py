"""The eager frontend: define-by-run tensors with gradients, layers and optimisers, over the ONNX vocabulary.

    from interchange import eager as E
    from interchange.eager import nn, optim

The functions follow the Array API standard (`E.exp`, `E.matmul`, `E.concat`, ...); `E.ops` are ONNX's own operators.
"""

from interchange import ops
from interchange.eager import array_api
from interchange.eager import operators as _operators  # noqa: F401  gives Tensor its operators
from interchange.eager.array_api import *  # noqa: F403  their __all__ is part of ours
from interchange.eager.compiling import compile
from interchange.eager.tape import check_gradient, grad, value_and_grad, vjp
from interchange.eager.tensor import Buffer, Parameter, Tensor, Variable, enable_grad, no_grad

__all__ = [
    "Buffer",
    "Parameter",
    "Tensor",
    "Variable",
    "check_gradient",
    "compile",
    "enable_grad",
    "grad",
    "no_grad",
    "ops",
    "value_and_grad",
    "vjp",
]
__all__ += array_api.__all__
