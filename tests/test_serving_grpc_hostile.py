"""What a client may send wrongly or with bad intent over gRPC: the status and the code it is told, and that the server
answers the next one."""

import socket
import struct
import threading

import grpc
import numpy as np
import pytest
import serving
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from interchange.serving import Server
from interchange.serving.grpc.messages import message_class

Request, Response = message_class("ModelInferRequest"), message_class("ModelInferResponse")
INFER = "/inference.GRPCInferenceService/ModelInfer"
MAX_BODY = 1 << 20
X = np.ones((1, 3), np.float32)
LARGE = np.zeros((100_000, 3), np.float32)  # right, but for the limit: 1.2 MB, which gzip makes a few KB


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    serving.scaled(folder / "scaled.onnx")
    serving.identity(
        folder / "types.onnx",
        {"INT8": TensorProto.INT8, "BYTES": TensorProto.STRING, "BOOL": TensorProto.BOOL, "FP16": TensorProto.FLOAT16},
    )
    serving.node_model(
        [helper.make_node("Add", ["a", "b"], ["c"])],
        [("a", TensorProto.FLOAT, ["n"]), ("b", TensorProto.FLOAT, ["n"])],
        [("c", TensorProto.FLOAT, ["n"])],
        folder / "pair.onnx",
    )
    with Server(
        folder, http_port=None, grpc_port=0, watch_seconds=None, max_body=MAX_BODY, slow_seconds=0.5, max_elements=10**6
    ) as running:
        yield running


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.grpc_address, options=[("grpc.max_send_message_length", -1)]) as made:
        yield made


def refusal(channel, data, path=INFER, **options):
    """The error that bytes are answered with."""
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(path)(data, timeout=20, **options)
    return caught.value


def told(error):
    return {k: v for k, v in error.trailing_metadata() if k.startswith("error-")}


def answers(channel):
    """Whether the server answers a good request."""
    data = scaled().SerializeToString()
    response = Response.FromString(channel.unary_unary(INFER)(data, timeout=20))
    return response.raw_output_contents[0] == (2 * X).tobytes()


def scaled(array=X, **fields):
    return with_inputs("scaled", ("x", "FP32", array.shape, array.tobytes()), **fields)


def with_inputs(model, *inputs, **fields):
    """A request with inputs (name, datatype, shape, raw bytes or None)."""
    request = Request(model_name=model, **fields)
    for name, datatype, shape, raw in inputs:
        request.inputs.add(name=name, datatype=datatype, shape=shape)
        if raw is not None:
            request.raw_input_contents.append(raw)
    return request


def changed(request, change):
    change(request)
    return request


def parameter(**choice):
    return lambda r: r.parameters["timeout"].MergeFrom(message_class("InferParameter")(**choice))


def types(**given):
    """A request to the model of several types; those not given are right."""
    good = {"INT8": b"\1\2", "BYTES": b"\0" * 8, "BOOL": b"\0\1", "FP16": b"\0" * 4} | given
    return with_inputs("types", *((f"x_{n}", n, [1, 2], raw) for n, raw in good.items()))


def with_contents(model, name, datatype, shape, **contents):
    request = Request(model_name=model)
    tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    return request


BAD, N, R, U = "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED"
RAW = X.tobytes()
x = ("x", "FP32", [1, 3], RAW)

# what is sent -> (status, code, input)
HOSTILE = {
    "no message of protobuf": (b"\xff" * 40, BAD, "IX630", None),
    "a length beyond the end": (b"\x0a\x7f", BAD, "IX630", None),
    "a length beyond all ends": (b"\x3a" + b"\xff" * 9 + b"\x01", BAD, "IX630", None),
    "a number without an end": (b"\xff" * 20, BAD, "IX630", None),
    "a group": (b"\x0b\x0c", BAD, "IX630", None),
    "a name that is no UTF-8": (b"\x0a\x02\xff\xfe", BAD, "IX630", None),
    "an empty message": (b"", N, "IX640", None),
    "more than the largest message": (scaled(LARGE), R, None, None),
    "millions of empty inputs": (b"\x2a\x00" * (MAX_BODY // 2 - 9), R, "IX652", None),
    "millions of empty tensors": (b"\x3a\x00" * (MAX_BODY // 2 - 9), R, "IX652", None),
    "an endless id": (scaled(id="a" * (MAX_BODY // 2)), R, "IX652", None),
    "endless parameters": (
        changed(scaled(), lambda r: [r.inputs[0].parameters[str(i)].SetInParent() for i in range(20_000)]),
        R,
        "IX652",
        None,
    ),
    "an endless shape": (with_inputs("scaled", ("x", "FP32", [1] * 200_000, RAW)), R, "IX652", None),
    "another model": (with_inputs("none", x), N, "IX640", None),
    "a path for a model": (with_inputs("../scaled", x), N, "IX640", None),
    "another version": (scaled(model_version="9"), N, "IX641", None),
    "no version at all": (scaled(model_version="newest"), N, "IX641", None),
    "another output": (changed(scaled(), lambda r: r.outputs.add(name="z")), BAD, "IX637", None),
    "an output twice": (changed(scaled(), lambda r: [r.outputs.add(name="y") for _ in "ab"]), BAD, "IX635", None),
    "an unknown parameter of an output": (
        changed(scaled(), lambda r: r.outputs.add(name="y").parameters["shared_memory_region"].SetInParent()),
        BAD,
        "IX638",
        None,
    ),
    "no classes": (
        changed(
            scaled(),
            lambda r: (
                r.outputs.add(name="y")
                .parameters["classification"]
                .MergeFrom(message_class("InferParameter")(int64_param=0))
            ),
        ),
        BAD,
        "IX638",
        "y",
    ),
    "no inputs": (with_inputs("scaled"), BAD, "IX601", "x"),
    "one input of two": (with_inputs("pair", ("a", "FP32", [1], b"\0" * 4)), BAD, "IX601", "b"),
    "another input": (with_inputs("scaled", ("z", "FP32", [1, 3], RAW)), BAD, "IX602", "z"),
    "an input twice": (with_inputs("scaled", x, x), BAD, "IX635", "x"),
    "a parameter of an input": (
        changed(scaled(), lambda r: r.inputs[0].parameters["shared_memory_region"].SetInParent()),
        BAD,
        "IX638",
        "x",
    ),
    "another datatype": (with_inputs("scaled", ("x", "FP64", [1, 3], b"\0" * 24)), BAD, "IX603", "x"),
    "no datatype": (with_inputs("scaled", ("x", "", [1, 3], RAW)), BAD, "IX603", "x"),
    "a datatype in small letters": (with_inputs("scaled", ("x", "fp32", [1, 3], RAW)), BAD, "IX603", "x"),
    "too few axes": (with_inputs("scaled", ("x", "FP32", [3], RAW)), BAD, "IX604", "x"),
    "no axes": (with_inputs("scaled", ("x", "FP32", [], RAW[:4])), BAD, "IX604", "x"),
    "65 axes": (with_inputs("scaled", ("x", "FP32", [1] * 64 + [3], RAW)), BAD, "IX631", "x"),
    "a fixed size that is another": (scaled(np.ones((1, 4), np.float32)), BAD, "IX604", "x"),
    "sizes that belong together and differ": (
        with_inputs("pair", ("a", "FP32", [1], b"\0" * 4), ("b", "FP32", [2], b"\0" * 8)),
        BAD,
        "IX605",
        None,
    ),
    "a negative size": (with_inputs("scaled", ("x", "FP32", [-1, 3], RAW)), BAD, "IX631", "x"),
    "two negative sizes": (with_inputs("scaled", ("x", "FP32", [-1, -3], RAW)), BAD, "IX631", "x"),
    "a size beyond all": (with_inputs("scaled", ("x", "FP32", [1 << 62, 3], RAW)), R, "IX652", "x"),
    "sizes whose product overflows to the right one": (
        with_inputs("scaled", ("x", "FP32", [1 << 32, 1 << 32], b"")),
        R,
        "IX652",
        "x",
    ),
    "a size beyond all, and none": (with_inputs("scaled", ("x", "FP32", [(1 << 63) - 1, 0], b"")), R, "IX652", "x"),
    "fewer bytes": (with_inputs("scaled", ("x", "FP32", [1, 3], RAW[:-1])), BAD, "IX636", "x"),
    "more bytes": (with_inputs("scaled", ("x", "FP32", [1, 3], RAW + b"\0")), BAD, "IX636", "x"),
    "no bytes and no contents": (with_inputs("scaled", ("x", "FP32", [1, 3], None)), BAD, "IX632", "x"),
    "bytes of no input": (changed(scaled(), lambda r: r.raw_input_contents.append(RAW)), BAD, "IX636", None),
    "bytes of one input of two": (
        with_inputs("pair", ("a", "FP32", [1], b"\0" * 4), ("b", "FP32", [1], None)),
        BAD,
        "IX636",
        None,
    ),
    "bytes and contents": (
        changed(scaled(), lambda r: r.inputs[0].contents.fp32_contents.extend([1, 2, 3])),
        BAD,
        "IX631",
        "x",
    ),
    "bytes and empty contents": (changed(scaled(), lambda r: r.inputs[0].contents.SetInParent()), BAD, "IX631", "x"),
    "fewer contents": (with_contents("scaled", "x", "FP32", [1, 3], fp32_contents=[1]), BAD, "IX632", "x"),
    "contents in another field": (
        with_contents("scaled", "x", "FP32", [1, 3], fp64_contents=[1] * 3),
        BAD,
        "IX631",
        "x",
    ),
    "contents in two fields": (
        with_contents("scaled", "x", "FP32", [1, 3], fp32_contents=[1] * 3, int_contents=[1]),
        BAD,
        "IX631",
        "x",
    ),
    "contents of FP16": (
        with_contents("types", "x_FP16", "FP16", [1, 2], fp32_contents=[1, 2]),
        BAD,
        "IX631",
        "x_FP16",
    ),
    "a number beyond its datatype": (
        with_contents("types", "x_INT8", "INT8", [1, 2], int_contents=[1, 128]),
        BAD,
        "IX633",
        "x_INT8",
    ),
    "contents that are no UTF-8": (
        with_contents("types", "x_BYTES", "BYTES", [1, 2], bytes_contents=[b"a", b"\xff"]),
        BAD,
        "IX633",
        "x_BYTES",
    ),
    "raw texts that are no UTF-8": (types(BYTES=struct.pack("<I1sI1s", 1, b"a", 1, b"\xff")), BAD, "IX633", "x_BYTES"),
    "a text longer than all bytes": (types(BYTES=struct.pack("<I", 0xFFFFFFFF) + b"a"), BAD, "IX636", "x_BYTES"),
    "texts that end within a length": (types(BYTES=b"\0\0\0"), BAD, "IX636", "x_BYTES"),
    "more texts": (types(BYTES=b"\0" * 12), BAD, "IX636", "x_BYTES"),
    "a BOOL of 2": (types(BOOL=b"\0\2"), BAD, "IX633", "x_BOOL"),
    "an unknown parameter": (
        changed(scaled(), lambda r: r.parameters["sequence_id"].SetInParent()),
        BAD,
        "IX638",
        None,
    ),
    "a parameter without a value": (changed(scaled(), parameter()), None, None, None),
    "a timeout in words": (changed(scaled(), parameter(string_param="soon")), BAD, "IX638", None),
    "a timeout that is negative": (changed(scaled(), parameter(int64_param=-1)), BAD, "IX638", None),
    "a timeout with a fraction": (changed(scaled(), parameter(double_param=1.5)), BAD, "IX638", None),
    "a timeout of true": (changed(scaled(), parameter(bool_param=True)), BAD, "IX638", None),
    "the longest timeout": (changed(scaled(), parameter(uint64_param=(1 << 64) - 1)), None, None, None),
    "a name of a kilobyte": (with_inputs("n" * 1000, x), N, "IX640", None),
    "a name in another script": (with_inputs("модель\u2028\0", x), N, "IX640", None),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(channel, name):
    sent, status, code, input = HOSTILE[name]
    data = sent if isinstance(sent, bytes) else sent.SerializeToString()
    if status is None:  # odd, and right
        channel.unary_unary(INFER)(data, timeout=20)
        return
    error = refusal(channel, data)
    assert error.code() is grpc.StatusCode[status], error.details()
    if code is not None:
        assert told(error)["error-code"] == code, error.details()
        assert error.details().startswith(f"{code}: ")
        assert len(error.details()) >= 1000 or ("expected: " in error.details() and "fix: " in error.details())
        assert told(error).get("error-input") == input
    assert answers(channel)


def test_all_that_is_wrong_is_told_at_once(channel):
    request = with_inputs("pair", ("a", "FP64", [1], b"\0" * 8), ("b", "FP32", [-1], b""))
    details = refusal(channel, request.SerializeToString()).details()
    assert "IX603: input a takes FP32" in details
    assert "IX631: b has no valid shape" in details


@pytest.mark.parametrize("letter", ["a", "%", "ж", "𝄞", "\n"])
def test_metadata_fit_into_what_a_client_takes(channel, letter):
    inputs = [(letter * 200 + str(i), "FP32", [1, 3], RAW) for i in range(40)]
    error = refusal(channel, with_inputs("scaled", *inputs).SerializeToString())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert told(error)["error-code"] == "IX602"
    sent = sum(1 if " " <= c <= "~" and c != "%" else 3 * len(c.encode()) for c in error.details())
    sent += sum(len(k) + len(v) for k, v in error.trailing_metadata())
    assert sent < 7000  # a client may refuse more than 8 KiB


@pytest.mark.parametrize(
    ("method", "data", "status", "code"),
    [
        ("ModelMetadata", b"\xff", BAD, "IX630"),
        ("ModelMetadata", b"", N, "IX640"),
        ("ModelMetadata", b"\x0a\x06scaled\x12\x019", N, "IX641"),
        ("ModelConfig", b"\x0a\x04none", N, "IX640"),
        ("ModelReady", b"\x0a\x04none", N, "IX640"),
        ("ModelStatistics", b"\x0a\x04none", N, "IX640"),
        ("ServerLive", b"\x0a\x04none" * 20_000, R, "IX652"),
        ("RepositoryModelLoad", b"\x12\x06scaled", "PERMISSION_DENIED", "IX655"),
        ("RepositoryModelUnload", b"\x12\x06scaled", "PERMISSION_DENIED", "IX655"),
        ("SystemSharedMemoryRegister", b"", U, "IX650"),
        ("TraceSetting", b"", U, "IX650"),
        ("", b"", U, "IX650"),
    ],
)
def test_other_methods(channel, method, data, status, code):
    error = refusal(channel, data, f"/inference.GRPCInferenceService/{method}")
    assert error.code() is grpc.StatusCode[status]
    assert told(error)["error-code"] == code
    assert answers(channel)


def test_no_message_at_all(channel):
    with pytest.raises(grpc.RpcError) as caught:
        channel.stream_unary(INFER)(iter(()), timeout=20)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert told(caught.value)["error-code"] == "IX630"


def test_a_message_that_does_not_come(channel):
    done = threading.Event()

    def never():
        done.wait(20)
        yield b""

    with pytest.raises(grpc.RpcError) as caught:
        channel.stream_unary(INFER)(never(), timeout=20)
    done.set()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert told(caught.value)["error-code"] == "IX657"
    assert answers(channel)


def test_a_compressed_message_is_as_large_as_what_it_holds(server):
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc_address, options, grpc.Compression.Gzip) as channel:
        data = scaled(LARGE).SerializeToString()
        error = refusal(channel, data)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert answers(channel)


def test_metadata_that_are_too_large(channel):
    error = refusal(channel, scaled().SerializeToString(), metadata=(("a", "b" * 100_000),))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert answers(channel)


def test_what_is_no_http2(server):
    host, port = server.grpc_address.split(":")
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 1000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 1000):
        with socket.create_connection((host, int(port)), timeout=20) as client:
            client.sendall(data)
            while client.recv(4096):
                pass  # until the server closes
    with grpc.insecure_channel(server.grpc_address) as channel:
        assert answers(channel)


def test_bad_requests_in_a_stream_are_answered_each(channel):
    hostile = [(n, h) for n, h in HOSTILE.items() if h[2] is not None]
    sent = [h[0] if isinstance(h[0], bytes) else h[0].SerializeToString() for _, h in hostile]
    method = channel.stream_stream(
        "/inference.GRPCInferenceService/ModelStreamInfer", None, message_class("ModelStreamInferResponse").FromString
    )
    found = list(method(iter([*sent, scaled(id="last").SerializeToString()]), timeout=20))
    assert len(found) == len(sent) + 1
    for (name, (_, _, code, _)), answer in zip(hostile, found, strict=False):
        assert answer.error_message.startswith(f"{code}: "), name
    assert not found[-1].error_message
    assert found[-1].infer_response.id == "last"


ALLOWED = (
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_bytes_changed_anywhere_never_hurt(channel, data):
    original = bytearray(data.draw(st.sampled_from([scaled(id="i"), types()])).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(original) - 1))
        original[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        original = original or bytearray(1)
    future = channel.unary_unary(INFER).future(bytes(original), timeout=20)
    assert future.code() in ALLOWED, future.details()
