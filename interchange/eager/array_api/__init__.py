"""The functions of the Array API standard over ONNX's operators: what is written against the standard can be exported.

They are the public names of `interchange.eager`. What is left out, and where the results differ: docs/array_api.md.
"""

from interchange.eager.array_api import creation, dtypes, elementwise, linalg, manipulation, reductions, searching
from interchange.eager.array_api.creation import *  # noqa: F403
from interchange.eager.array_api.dtypes import *  # noqa: F403
from interchange.eager.array_api.elementwise import *  # noqa: F403
from interchange.eager.array_api.info import *  # noqa: F403
from interchange.eager.array_api.linalg import *  # noqa: F403
from interchange.eager.array_api.manipulation import *  # noqa: F403
from interchange.eager.array_api.reductions import *  # noqa: F403
from interchange.eager.array_api.searching import *  # noqa: F403

__all__ = ["ARRAY_API_VERSIONS", "__array_api_version__", "__array_namespace_info__"]  # noqa: F405  those of info
__all__ += creation.__all__
__all__ += dtypes.__all__
__all__ += elementwise.__all__
__all__ += linalg.__all__
__all__ += manipulation.__all__
__all__ += reductions.__all__
__all__ += searching.__all__
