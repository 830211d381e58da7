"""Models to compare: one with a little of everything, one of parts that look alike, and any laid out anew."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator

import fuzzing
import numpy as np
import onnx
from onnx import helper, numpy_helper

TEXT = """
<ir_version: 10, opset_import: ["": 21]>
main (float[batch, 2] x, bool c) => (float[batch, 2] y)
<float[2, 2] w = {1, 2, 3, 4}, float[2, 2] v = {1, 2, 3, 4}, float[2] b = {0.5, 0.5}>
{
  [project] h = MatMul(x, w)
  [again] k = MatMul(h, v)
  [shift] s = Add(k, b)
  [choose] t = If(c) <then_branch = then () => (float[batch, 2] p) { [pos] p = Relu(s) },
                      else_branch = other () => (float[batch, 2] q) { [neg] q = Neg(s) }>
  [last] y = LeakyRelu<alpha = 0.5>(t)
}
"""


def model(*changes: tuple[str, str]) -> onnx.ModelProto:
    """The model above, with pieces of its text replaced."""
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return onnx.parser.parse_model(text)


ORDER_OF = {  # fields whose order says nothing
    "GraphProto": {"node", "initializer", "sparse_initializer", "value_info", "quantization_annotation",
                   "metadata_props"},
    "FunctionProto": {"attribute", "attribute_proto", "node", "opset_import", "value_info", "metadata_props"},
    "ModelProto": {"opset_import", "metadata_props", "functions"},
    "NodeProto": {"attribute", "metadata_props"},
    "TensorAnnotation": {"quant_parameter_tensor_names"},
}  # fmt: skip


def laid_out_anew(proto: onnx.ModelProto, rnd: random.Random, rename: bool) -> onnx.ModelProto:
    """The same model in another order, constants in another form, inner names others."""
    done = copy.deepcopy(proto)
    if rename:
        rename_all(done, rnd)
    for message in [*fuzzing.messages(done)]:
        for name in ORDER_OF.get(message.DESCRIPTOR.name, ()):
            items = getattr(message, name)
            copies = [copy.deepcopy(i) for i in items]
            rnd.shuffle(copies)
            if name == "node":
                copies = in_order(copies)
            del items[:]
            items.extend(copies)
        if isinstance(message, onnx.TensorProto) and message.float_data:
            raw = np.array(message.float_data, np.float32).tobytes()
            del message.float_data[:]
            message.raw_data = raw
    return done


def in_order(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Nodes sorted so that each stands after those it reads from, subgraphs included; else in the order given."""
    maker = {o: at for at, n in enumerate(nodes) for o in n.output if o}
    needs = [sorted({maker[name] for name in reads_of(n) if name in maker}) for n in nodes]
    order: dict[int, None] = {}
    stack = [*reversed(range(len(nodes)))]
    while stack:
        missing = [n for n in needs[stack[-1]] if n not in order]
        if missing:
            stack += missing
        else:
            order.setdefault(stack.pop())
    return [nodes[at] for at in order]


def reads_of(node: onnx.NodeProto) -> set[str]:
    return {name for m in fuzzing.messages(node) if isinstance(m, onnx.NodeProto) for name in m.input if name}


def rename_all(proto: onnx.ModelProto, rnd: random.Random) -> None:
    kept = {v.name for v in (*proto.graph.input, *proto.graph.output)} | {""}
    names: dict[str, str] = {}

    def new(old: str) -> str:
        if old in kept:
            return old
        return names.setdefault(old, f"{rnd.randrange(10**9)}_{len(names)}")

    for message in [*fuzzing.messages(proto)]:
        match message:
            case onnx.NodeProto():
                message.name = new("node " + message.name)
                message.input[:] = map(new, message.input)
                message.output[:] = map(new, message.output)
            case onnx.FunctionProto():
                message.input[:] = map(new, message.input)
                message.output[:] = map(new, message.output)
            case onnx.ValueInfoProto():
                message.name = new(message.name)
            case onnx.TensorAnnotation():
                message.tensor_name = new(message.tensor_name)
                for entry in message.quant_parameter_tensor_names:
                    entry.value = new(entry.value)
            case onnx.GraphProto():
                for tensor in (*message.initializer, *(s.values for s in message.sparse_initializer)):
                    tensor.name = new(tensor.name)


def layers(width: int, rnd: random.Random) -> Iterator[onnx.NodeProto]:
    """Nodes that are alike: three projections of one value with weights of one shape, added in an order that counts."""
    for at in range(width):
        for which in "qkv":
            yield helper.make_node("MatMul", [f"x{at}", f"{which}{at}"], [f"{which}_out{at}"])
        yield helper.make_node("Sub", [f"q_out{at}", f"k_out{at}"], [f"s{at}"])
        yield helper.make_node("Concat", [f"s{at}", f"v_out{at}", f"s{at}"], [f"c{at}"], axis=rnd.choice([0]))
        yield helper.make_node("ReduceSum", [f"c{at}", "axes"], [f"x{at + 1}"])


def alike(size: int = 4) -> onnx.ModelProto:
    """A model of layers whose parts only their wiring tells apart; all weights have one shape, and half one content."""
    rnd = random.Random(0)
    weights = [
        numpy_helper.from_array(np.full((size, size), (n + at) % 2, np.float32), f"{w}{n}")
        for n in range(6)
        for at, w in enumerate("qkv")
    ]
    x, y = (helper.make_tensor_value_info(n, 1, None) for n in ("x0", "x6"))
    weights.append(numpy_helper.from_array(np.array([0]), "axes"))
    return helper.make_model(helper.make_graph([*layers(6, rnd)], "g", [x], [y], weights))
