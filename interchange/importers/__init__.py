"""Importers: an ONNX model becomes an eager model again."""

from interchange.importers.onnx import GraphModule, import_model

__all__ = ["GraphModule", "import_model"]
