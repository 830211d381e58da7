"""The op schema registry: every operator and version of ONNX, ONNX Runtime's own, and those a user registers."""

from interchange.schemas.opschema import UNBOUNDED, Attribute, Formal, OpSchema
from interchange.schemas.registry import domains, latest_opset, operators, schema, versions

__all__ = [
    "UNBOUNDED",
    "Attribute",
    "Formal",
    "OpSchema",
    "domains",
    "latest_opset",
    "operators",
    "schema",
    "versions",
]
