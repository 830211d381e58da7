"""The op schema registry: every operator and version of ONNX, ONNX Runtime's own, and those a user registers."""

from interchange.schemas.changes import Change, SchemaDiff, diff
from interchange.schemas.opschema import UNBOUNDED, Attribute, Formal, OpSchema
from interchange.schemas.registry import (
    domains,
    latest_opset,
    operators,
    register,
    register_file,
    schema,
    unregister,
    versions,
)
from interchange.schemas.support import Support, supports
from interchange.schemas.targets import Target, ir_for_opset, resolve

__all__ = [
    "UNBOUNDED",
    "Attribute",
    "Change",
    "Formal",
    "OpSchema",
    "SchemaDiff",
    "Support",
    "Target",
    "diff",
    "domains",
    "ir_for_opset",
    "latest_opset",
    "operators",
    "register",
    "register_file",
    "resolve",
    "schema",
    "supports",
    "unregister",
    "versions",
]
