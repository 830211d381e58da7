"""ModelProto -> graph -> ModelProto: nothing is lost, and what is malformed is named."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from graph_models import MODELS, F, X, array, make_graph, make_model, make_node, value
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from interchange.dtypes import BY_NAME, bits, to_onnx
from interchange.errors import FileError
from interchange.graph import Attr, AttrType, Graph, ModelIR, Node, Tensor, Value
from interchange.graph.clone import clone_model
from interchange.graph.files import load, serialize
from interchange.graph.proto import from_proto, to_proto


def normal(message: Any) -> Any:
    """The message with the freedoms of `proto`'s docstring taken away: raw data, attribute order, no empty fields."""
    for field, content in message.ListFields():
        if field.message_type is not None:
            for inner in content if field.is_repeated else [content]:
                normal(inner)
        elif not field.is_repeated and not content and field.name in ("domain", "doc_string", "name", "overload"):
            message.ClearField(field.name)
    if isinstance(message, onnx.TensorProto) and message.data_type != TensorProto.STRING:
        raw = numpy_helper.from_array(numpy_helper.to_array(message)).raw_data
        for field in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
            message.ClearField(field)
        message.raw_data = raw
    if isinstance(message, onnx.NodeProto):
        order = sorted(message.attribute, key=lambda a: a.name)
        del message.attribute[:]
        message.attribute.extend(order)
    if isinstance(message, (onnx.GraphProto, onnx.FunctionProto)):
        infos = sorted(message.value_info, key=lambda v: v.name)
        del message.value_info[:]
        message.value_info.extend(infos)
    return message


def text(model: onnx.ModelProto) -> str:
    return str(normal(copy.deepcopy(model)))


@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_lost(name: str) -> None:
    model, _ = MODELS[name]()
    written = to_proto(from_proto(model))
    assert text(written) == text(model)
    first = written.SerializeToString(deterministic=True)
    assert to_proto(from_proto(written)).SerializeToString(deterministic=True) == first


@pytest.mark.parametrize("name", MODELS)
def test_a_copy_is_a_model_of_its_own(name: str) -> None:
    model = from_proto(MODELS[name]()[0])
    before = to_proto(model).SerializeToString(deterministic=True)
    twin = clone_model(model)
    assert to_proto(twin).SerializeToString(deterministic=True) == before
    for graph in twin.all_graphs():
        for v in (*graph.values(), *graph.outputs):
            v.name += "_changed"
        for node in graph.nodes:
            node.inputs.clear()
            node.metadata["changed"] = "yes"
    assert to_proto(model).SerializeToString(deterministic=True) == before


@pytest.mark.conformance
def test_nothing_is_lost_in_the_backend_node_tests() -> None:
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, while onnx computes expected values
        cases = load_model_tests(kind="node")
    assert len(cases) > 1500
    for case in cases:
        assert text(to_proto(from_proto(case.model))) == text(case.model), case.name


def test_no_text_of_a_graph_can_reach_a_terminal_raw() -> None:
    model = from_proto(MODELS["everything_said"]()[0])
    model.graph.nodes[0].outputs[0].name = "h\x1b[31m"
    shown = str(model)
    assert "MatMul(x, w)" in shown
    assert "float32[batch, 3]" in shown
    assert "\x1b" not in shown


# -- element types ----------------------------------------------------------------------------------------------------
def sample(name: str) -> np.ndarray[Any, Any]:
    """Five elements of a type, none of them alike."""
    dtype = BY_NAME[name]
    if name == "string":
        return np.array(["a", "ü", "", "d" * 50, "e"], object)
    if name == "bool":
        return np.array([True, False, True, True, False])
    width = bits(dtype)
    if width < 8:
        return (np.arange(5, dtype=np.uint8) * 3 % (1 << width)).view(dtype)
    if dtype.kind == "c":
        return np.array([1 + 2j, -3, 0.5j, 4, 5], dtype)
    if dtype.kind in "iu":
        return np.array([1, 0, 3, 100, np.iinfo(dtype).max], dtype)
    return np.array([1, 2, 4, 100, 0.5]).astype(dtype)


@pytest.mark.parametrize("name", BY_NAME)
def test_every_element_type_in_raw_and_in_typed_data(name: str) -> None:
    expected = sample(name)
    number = to_onnx(BY_NAME[name])
    protos = [numpy_helper.from_array(expected, "t")]
    protos[0].data_type = number
    if name != "string":
        typed = helper.make_tensor("t", number, [5], expected.tolist() if bits(BY_NAME[name]) >= 8 else expected)
        assert not typed.raw_data
        protos.append(typed)
    for proto in protos:
        model = make_model(make_graph([], "g", [], [value("t", number, [5])], [proto]))
        read = from_proto(model).graph.initializers["t"]
        assert read.const is not None
        assert read.const.numpy().dtype == BY_NAME[name]
        assert read.const.numpy().tolist() == expected.tolist()
        written = to_proto(from_proto(model)).graph.initializer[0]
        assert numpy_helper.to_array(written).tolist() == numpy_helper.to_array(proto).tolist()


def test_arrays_are_wrapped_and_cannot_be_written_through() -> None:
    data = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensor = Tensor.of(data)
    assert np.shares_memory(tensor.numpy(), data)
    assert bytes(tensor.raw()) == data.tobytes()
    with pytest.raises(ValueError, match="read-only"):
        tensor.numpy()[0, 0] = 1
    assert data.flags.writeable
    turned = Tensor.of(data.T)
    assert bytes(turned.raw()) == data.T.tobytes()
    assert turned.storage() != tensor.storage()
    assert Tensor.of(data[:]).storage() == tensor.storage()
    assert Tensor.of(data.astype(">f4")).numpy().tolist() == data.tolist()
    assert Tensor.of(np.array(["a", "b"])).dtype == BY_NAME["string"]
    assert Tensor.of(np.array([-8, 7, 3], ml_dtypes.int4)).nbytes == 2


# -- what is malformed ------------------------------------------------------------------------------------------------
def net(nodes: Iterable[onnx.NodeProto] | None = None, **more: Any) -> onnx.ModelProto:
    nodes = [make_node("Relu", ["x"], ["y"], name="act")] if nodes is None else nodes
    return make_model(make_graph(nodes, "net", [value("x")], [value("y")], **more))


def with_data(**fields: Any) -> onnx.ModelProto:
    return net(initializer=[TensorProto(name="w", **fields)])


def change(f: Callable[[onnx.ModelProto], Any], model: onnx.ModelProto | None = None) -> onnx.ModelProto:
    model = net() if model is None else model
    f(model)
    return model


def node_attribute(**fields: Any) -> onnx.ModelProto:
    return change(lambda m: m.graph.node[0].attribute.add(name="a", **fields))


A = onnx.AttributeProto
BAD: dict[str, tuple[str, onnx.ModelProto, str]] = {
    "no graph": ("IX317", onnx.ModelProto(ir_version=10), "no graph"),
    "no ir version": ("IX317", change(lambda m: m.ClearField("ir_version")), "IR version 0"),
    "newer ir": ("IX317", change(lambda m: setattr(m, "ir_version", 99)), "IR version 99"),
    "undefined": ("IX310", net([make_node("Relu", ["xx"], ["y"], name="act")]), "'act'"),
    "undefined in subgraph": (
        "IX310",
        net(
            [
                make_node(
                    "If",
                    ["x"],
                    ["y"],
                    then_branch=make_graph([make_node("Relu", ["q"], ["t"])], "t", [], [value("t")]),
                    else_branch=make_graph([make_node("Relu", ["x"], ["e"])], "e", [], [value("e")]),
                )
            ]
        ),
        "'q'",
    ),
    "subgraph's own value read outside": (
        "IX310",
        net(
            [
                make_node(
                    "If",
                    ["x"],
                    ["b"],
                    then_branch=make_graph([make_node("Relu", ["x"], ["t"])], "t", [], [value("t")]),
                    else_branch=make_graph([make_node("Relu", ["x"], ["e"])], "e", [], [value("e")]),
                ),
                make_node("Relu", ["t"], ["y"]),
            ]
        ),
        "'t'",
    ),
    "undefined output": ("IX310", net([make_node("Relu", ["x"], ["z"])]), "'y'"),
    "value twice": ("IX311", net([make_node("Relu", ["x"], ["y"]), make_node("Neg", ["x"], ["y"])]), "'y'"),
    "input twice": ("IX311", change(lambda m: m.graph.input.append(value("x"))), "'x'"),
    "input without a name": ("IX311", change(lambda m: m.graph.input.append(value(""))), "no name"),
    "initializer twice": ("IX311", net(initializer=[array("w", 1), array("w", 2)]), "'w'"),
    "attribute twice": (
        "IX311",
        change(lambda m: m.graph.node[0].attribute.add(name="a", i=2, type=A.INT), node_attribute(i=1, type=A.INT)),
        "'act'",
    ),
    "metadata twice": ("IX311", change(lambda m: [m.metadata_props.add(key="k") for _ in "ab"]), "'k'"),
    "function twice": (
        "IX311",
        change(lambda m: [m.functions.add(domain="d", name="f") for _ in "ab"]),
        "d::f",
    ),
    "cycle": ("IX314", net([make_node("Add", ["x", "b"], ["y"]), make_node("Neg", ["y"], ["b"])]), "Neg"),
    "unknown dtype": ("IX312", with_data(data_type=99, dims=[1], raw_data=b"1"), "99"),
    "unknown dtype of a value": ("IX312", change(lambda m: m.graph.input.append(value("z", 77))), "77"),
    "too few bytes": ("IX313", with_data(data_type=F, dims=[2], raw_data=b"1234"), "'w'"),
    "too many bytes": ("IX313", with_data(data_type=F, dims=[2], raw_data=b"1" * 12), "12 bytes"),
    "too few items": ("IX313", with_data(data_type=F, dims=[2], float_data=[1]), "1 items"),
    "no data": ("IX313", with_data(data_type=F, dims=[2]), "0 items"),
    "two fields": ("IX313", with_data(data_type=F, dims=[1], raw_data=b"1234", float_data=[1]), "float_data"),
    "wrong field": ("IX313", with_data(data_type=F, dims=[1], int64_data=[1]), "int64_data"),
    "segment": ("IX313", with_data(data_type=F, dims=[0], segment={"begin": 0, "end": 1}), "segment"),
    "negative dim": ("IX313", with_data(data_type=F, dims=[-1, -1], raw_data=b"1234"), "[-1, -1]"),
    "huge dims": ("IX313", with_data(data_type=F, dims=[2**62, 2**62], raw_data=b""), "shape"),
    "huge empty dims": ("IX313", with_data(data_type=F, dims=[0, 2**62, 2**62], raw_data=b""), "shape"),
    "rank 65": ("IX313", with_data(data_type=F, dims=[1] * 65, raw_data=b"1234"), "rank 65"),
    "raw strings": ("IX313", with_data(data_type=8, dims=[1], raw_data=b"a"), "string"),
    "bool of 2": ("IX313", with_data(data_type=9, dims=[1], int32_data=[2]), "from 2"),
    "uint8 of 300": ("IX313", with_data(data_type=2, dims=[1], int32_data=[300]), "300"),
    "uint32 of 2**40": ("IX313", with_data(data_type=12, dims=[1], uint64_data=[2**40]), "uint32"),
    "attribute of two values": ("IX318", node_attribute(i=1, f=2.0, type=A.INT), "'a'"),
    "attribute without a type": ("IX318", node_attribute(), "type number 0"),
    "tensor attribute without tensor": ("IX318", node_attribute(type=A.TENSOR), "TENSOR"),
    "reference outside a function": ("IX318", node_attribute(type=A.INT, ref_attr_name="b"), "'b'"),
    "two opsets": ("IX316", change(lambda m: m.opset_import.add(domain="ai.onnx", version=13)), "13"),
    "external without folder": (
        "IX304",
        with_data(data_type=F, dims=[1], data_location=1, external_data=[{"key": "location", "value": "w"}]),
        "without a folder",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_malformed_models_are_named(name: str) -> None:
    code, model, said = BAD[name]
    with pytest.raises(FileError) as caught:
        from_proto(model)
    assert caught.value.code == code
    assert said in str(caught.value)
    assert caught.value.where
    assert caught.value.fix


@given(st.sampled_from(sorted(MODELS)), st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_model_is_read_or_refused(name: str, data: st.DataObject) -> None:
    """Whatever the bytes: a FileError, or a graph that can be shown and written."""
    content = bytearray(MODELS[name]()[0].SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    with contextlib.suppress(FileError):
        model = load(bytes(content))
        assert str(model)
        assert serialize(load(serialize(model))) == serialize(model)


def test_bool_bytes_other_than_0_and_1_are_found_when_read() -> None:
    tensor = from_proto(with_data(data_type=9, dims=[2], raw_data=b"\x01\x02")).graph.initializers["w"].const
    assert tensor is not None
    with pytest.raises(FileError, match="IX313"):
        tensor.numpy()


def test_a_near_name_is_suggested() -> None:
    with pytest.raises(FileError, match="there is 'hidden'"):
        from_proto(net([make_node("Relu", ["x"], ["hidden"]), make_node("Relu", ["hiden"], ["y"])]))


def test_nodes_out_of_order_are_put_in_order() -> None:
    model = net([make_node("Neg", ["h"], ["y"]), make_node("Relu", ["x"], ["h"])])
    assert [n.op_type for n in from_proto(model).graph.nodes] == ["Relu", "Neg"]


def test_types_are_inferred_for_attributes_that_do_not_state_theirs() -> None:
    assert from_proto(node_attribute(i=3)).graph.nodes[0].attributes["a"].type is AttrType.INT


def test_dims_that_mean_unknown() -> None:
    model = net()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    assert from_proto(model).graph.inputs[0].shape == (None, 3)


# -- what cannot be written -------------------------------------------------------------------------------------------
def built(*nodes: Node, outputs: Iterable[Value] = (), inputs: Iterable[Value] = ()) -> ModelIR:
    return ModelIR(Graph("g", inputs, outputs, nodes))


def v(name: str) -> Value:
    return Value(name, BY_NAME["float32"], (2, 3))


def bad_graphs() -> dict[str, tuple[str, ModelIR]]:
    x, y, z = v("x"), v("y"), v("y")
    relu = Node("Relu", [x], [y])
    two = built(relu, Node("Neg", [x], [z]), inputs=[x], outputs=[y])
    outer, shadow = v("a"), v("a")
    inner = Graph("sub", [], [v("o")])
    inner.nodes = [Node("Relu", [outer], [shadow]), Node("Add", [shadow, outer], inner.outputs)]
    hidden = built(Node("Neg", [x], [outer]), Node("If", [x], [v("r")], {"g": Attr.of(inner)}), inputs=[x])
    late = v("late")
    disordered = built(Node("Neg", [late], [v("n")]), Node("Relu", [x], [late]), inputs=[x])
    empty = built(inputs=[x])
    empty.graph.initializers["w"] = v("w")
    return {
        "two values of one name": ("IX311", two),
        "a name hidden by an inner one": ("IX311", hidden),
        "an input without a name": ("IX311", built(inputs=[v("")])),
        "used before it is made": ("IX310", disordered),
        "never made": ("IX310", built(Node("Neg", [v("q")], [v("n")]))),
        "output never made": ("IX310", built(outputs=[v("q")])),
        "an int beyond int64": ("IX315", built(Node("A", [], [v("n")], {"i": Attr.of(2**63)}))),
        "a float beyond float32": ("IX315", built(Node("A", [], [v("n")], {"f": Attr.of(1e39)}))),
        "metadata that is not text": ("IX319", built(Node("A", [], [v("n")], metadata={"k": 1}))),  # type: ignore[dict-item]
        "a lone surrogate": ("IX319", built(Node("A", [], [v("n")], name="\ud800"))),
        "an initializer without data": ("IX319", empty),
    }


@pytest.mark.parametrize("name", bad_graphs())
def test_what_cannot_be_written_is_named(name: str) -> None:
    code, model = bad_graphs()[name]
    with pytest.raises(FileError) as caught:
        to_proto(model)
    assert caught.value.code == code
    assert caught.value.where


def test_a_changed_type_is_written_and_a_denotation_kept_while_it_holds() -> None:
    model = from_proto(MODELS["maps_and_denotations"]()[0])
    assert to_proto(model).graph.input[0].type.denotation == "IMAGE"
    model.graph.inputs[0].shape = (1, 3, 8, 8)
    written = to_proto(model).graph.input[0].type
    assert [d.dim_value for d in written.tensor_type.shape.dim] == [1, 3, 8, 8]


def test_attributes_are_written_in_the_order_of_their_names() -> None:
    one = Node("Gemm", [], [v("n")], {"transB": Attr.of(1), "alpha": Attr.of(2.0)})
    two = Node("Gemm", [], [v("n")], {"alpha": Attr.of(2.0), "transB": Attr.of(1)})
    assert to_proto(built(one)).SerializeToString() == to_proto(built(two)).SerializeToString()


def test_the_written_model_is_what_the_checker_and_the_runtime_take() -> None:
    import onnxruntime as ort

    for name, make in MODELS.items():
        model, feeds = make()
        if feeds is None:
            continue
        written = to_proto(from_proto(model))
        if name not in ("quantization_training_devices", "sparse"):
            onnx.checker.check_model(written, full_check=True)
        written.ClearField("training_info")
        model.ClearField("training_info")
        runs = [
            ort.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)
            for m in (model, written)
        ]
        for a, b in zip(*runs, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
        assert X.shape == (2, 3)
