"""Operators that ONNX defines by others, and whose own shape rule leaves to those what fits and what does not."""

from __future__ import annotations

import re
from typing import Any

from interchange.checker.looks.seen import Looked, Seen, looks_at


@looks_at("AffineGrid", "Attention", "CausalConvWithState", "CenterCropPad", "GroupNormalization", "LinearAttention")
@looks_at("RMSNormalization", "RotaryEmbedding", "SwiGLU")
def body(s: Seen) -> Looked:
    """Shapes that do not fit inside of the operator's body."""
    model = _called(s)
    if model is None:
        return
    from onnx import shape_inference

    try:
        shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except MemoryError:
        raise
    except Exception as error:  # several unrelated classes of the library, all with a message
        misfit = re.search(r"op_type:(\w+)[^)]*\): \[ShapeInferenceError\] (?!.*op_type)(.*)", str(error), re.DOTALL)
        if misfit is None:
            return
        op, message = misfit[1], " ".join(misfit[2].split())
        yield (
            "sizes",
            s.problem(
                f"its inputs do not fit: {op} inside of what defines {s.proto.op_type} says {message!r}",
                found=s.shown(*range(len(s.proto.input))),
                expected=f"inputs and attributes that {s.proto.op_type} takes together",
                why="runtimes without a kernel of their own refuse the model, others fail when it runs",
                fix=f"look at the shapes of the inputs, and at: interchange schema {s.proto.op_type}",
            ),
        )


def _called(s: Seen) -> Any:
    """A model that calls the body as a function; None if the operator has none for these inputs."""
    import onnx
    from onnx import defs, helper

    names = [n for n in s.proto.input if n]
    if not all(n in s.types for n in names) or any(s.dims(i) is None for i, n in enumerate(s.proto.input) if n):
        return None
    schema: Any = defs.get_schema(s.proto.op_type, s.opset)
    given = [(s.types[n] if n else onnx.TypeProto()).SerializeToString() for n in s.proto.input]
    context = schema.has_context_dependent_function
    versions = schema.context_dependent_function_opset_versions if context else schema.function_opset_versions
    version = max((v for v in versions if v <= s.opset), default=0)
    if not version:
        return None
    try:
        data = (
            schema.get_context_dependent_function_with_opset_version(version, s.proto.SerializeToString(), given)
            if context
            else schema.get_function_with_opset_version(version)
        )
    except Exception:  # several unrelated classes: the call is wrong in itself, which other rules tell
        return None
    function = onnx.FunctionProto.FromString(data)
    if not function.node:
        return None
    function.domain, function.name = "body", s.proto.op_type
    node = onnx.NodeProto()
    node.CopyFrom(s.proto)
    node.domain, node.overload = "body", ""
    told = {a.name for a in node.attribute}
    defaults = [a.default_value for n, a in schema.attributes.items() if a.default_value.type and n not in told]
    node.attribute.extend(a for a in defaults if a.name in function.attribute)
    inputs = [onnx.ValueInfoProto(name=n, type=s.types[n]) for n in dict.fromkeys(names) if n not in s.data]
    constants = []
    for name in dict.fromkeys(n for n in names if n in s.data):
        constants.append(onnx.TensorProto())
        constants[-1].CopyFrom(s.data[name])
        constants[-1].name = name
    graph = helper.make_graph([node], "call", inputs, [], constants)
    imports = [helper.make_opsetid("", s.opset), helper.make_opsetid("body", 1)]
    return helper.make_model(graph, functions=[function], opset_imports=imports, ir_version=onnx.IR_VERSION)
