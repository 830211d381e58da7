"""The functions of the Array API standard over ONNX's operators: a function written against the standard can be exported.

They are the public names of `interchange.eager`. What is left out, and where the results differ: docs/array_api.md.
"""

from interchange.eager.array_api import creation, dtypes, elementwise, info, linalg, manipulation, reductions, searching
from interchange.eager.array_api.creation import *
from interchange.eager.array_api.dtypes import *
from interchange.eager.array_api.elementwise import *
from interchange.eager.array_api.info import *
from interchange.eager.array_api.linalg import *
from interchange.eager.array_api.manipulation import *
from interchange.eager.array_api.reductions import *
from interchange.eager.array_api.searching import *

__all__: list[str] = []
__all__ += creation.__all__
__all__ += dtypes.__all__
__all__ += elementwise.__all__
__all__ += info.__all__
__all__ += linalg.__all__
__all__ += manipulation.__all__
__all__ += reductions.__all__
__all__ += searching.__all__
