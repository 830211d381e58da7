"""The production side: `load` a model, `run` it in ONNX Runtime. Knows nothing of eager models and frontends."""

from interchange.runtime.errors import InputsError, LoadError, RunError
from interchange.runtime.model import Model, load
from interchange.runtime.runner import Runner
from interchange.runtime.signature import ValueSpec

__all__ = ["InputsError", "LoadError", "Model", "RunError", "Runner", "ValueSpec", "load"]
