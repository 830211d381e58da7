"""interchange: from a model in research to a model in production.

    import interchange as ix

    ix.export(model, {"x": "float32[batch, 3]"}, "m.onnx")   # trace, check, prove, write -> ix.Model
    ix.load("m.onnx").run(x=array)                            # the production runtime
    ix.check("m.onnx")                                        # every finding at once
    ix.verify("m.onnx", model)                                # parity with the source
    ix.diff("m.onnx", "received.onnx")                        # what one has that the other has not
    ix.import_model("m.onnx")                                 # eager and trainable again

Names are imported when they are used: `import interchange` is quick, and production does not load the research side.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from interchange.errors import InterchangeError

__version__ = "0.1.0"

if TYPE_CHECKING:
    from interchange.checker import check
    from interchange.comparing import diff
    from interchange.dims import Dim, Spec
    from interchange.exporting import export, verify
    from interchange.importers import import_model
    from interchange.runtime import Model, load

_HOME = {
    "check": "interchange.checker",
    "diff": "interchange.comparing",
    "Dim": "interchange.dims",
    "Spec": "interchange.dims",
    "export": "interchange.exporting",
    "verify": "interchange.exporting",
    "import_model": "interchange.importers",
    "Model": "interchange.runtime",
    "load": "interchange.runtime",
}

__all__ = [
    "Dim",
    "InterchangeError",
    "Model",
    "Spec",
    "__version__",
    "check",
    "diff",
    "export",
    "import_model",
    "load",
    "verify",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is not None:
        return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'interchange' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
