"""The messages of the gRPC door: what is shipped is what open_inference.proto says, and what every client of the
protocol understands."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import serving
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2, service_pb2

from interchange.protocol.errors import ServingError
from interchange.serving.grpc import wire
from interchange.serving.grpc.messages import POOL, message_class, read
from interchange.serving.grpc.methods import METHODS, written
from interchange.serving.operations import model_config, model_statistics
from interchange.serving.settings import ModelSettings
from interchange.serving.statistics import Statistics
from interchange.serving.trial import open_served

PACKAGE = files("interchange.serving.grpc")


def ours():
    found = descriptor_pb2.FileDescriptorProto()
    POOL.FindFileByName("open_inference.proto").CopyToProto(found)
    return found


def test_the_compiled_file_is_up_to_date(tmp_path):
    out = tmp_path / "compiled.binpb"
    folder = Path(str(PACKAGE))
    source = folder / "open_inference.proto"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"--descriptor_set_out={out}", str(source)]
    subprocess.run(command, check=True)
    now, shipped = descriptor_pb2.FileDescriptorSet(), descriptor_pb2.FileDescriptorSet()
    now.ParseFromString(out.read_bytes())
    shipped.ParseFromString((PACKAGE / "open_inference.binpb").read_bytes())
    assert now == shipped, f"compile it again: {' '.join(command)}"


def fields(messages, prefix=""):
    """``Message.field`` -> number, type, label of every message."""
    for message in messages:
        name = f"{prefix}{message.name}"
        for field in message.field:
            yield f"{name}.{field.name}", (field.number, field.type, field.label, field.type_name)
        yield from fields(message.nested_type, f"{name}.")


def enums(messages, prefix=""):
    for message in messages:
        name = f"{prefix}{message.name}."
        yield from ((f"{name}{e.name}.{v.name}", v.number) for e in message.enum_type for v in e.value)
        yield from enums(message.nested_type, name)


def tritons():
    """The two files of Triton's client as one."""
    whole = descriptor_pb2.FileDescriptorProto()
    for module in (service_pb2, model_config_pb2):
        part = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(part)
        whole.MergeFrom(part)
    return whole


NOT_TRITONS = {"ModelMetadataResponse.properties", "ModelMetadataResponse.PropertiesEntry.key"} | {
    "ModelMetadataResponse.PropertiesEntry.value"  # KServe's
}


def test_every_field_has_the_number_and_type_that_triton_gives_it():
    theirs = dict(fields(tritons().message_type))
    mine = {n: f for n, f in fields(ours().message_type) if n not in NOT_TRITONS}
    assert {n: theirs.get(n) for n in mine} == mine
    values = dict(enums(tritons().message_type))
    assert {n: values.get(n) for n, _ in enums(ours().message_type)} == dict(enums(ours().message_type))
    assert [str(e) for e in ours().enum_type] == [str(e) for e in tritons().enum_type]


def test_the_messages_of_inference_miss_nothing_of_tritons():
    mine = {n for n, _ in fields(ours().message_type)}
    theirs = {n for n, _ in fields(tritons().message_type)}
    about = ("Infer", "ModelInfer", "ModelStream", "Repository", "ModelRepositoryP", "Statistic", "ModelStat", "Server")
    several = "ResponseStat"  # of requests that have several answers, which newer releases tell of
    missing = {n for n in theirs - mine if n.startswith(about) and several not in n}
    assert missing <= {"ModelStatistics.response_stats"}


def test_every_method_has_tritons_messages():
    theirs, mine = methods(tritons()), methods(ours())
    assert {n: theirs.get(n) for n in mine} == mine
    assert set(mine) == {m.name for m in METHODS} | {"ModelInfer", "ModelStreamInfer"}
    left_out = ("SharedMemory", "TraceSetting", "LogSettings")
    assert {n for n in theirs if not any(part in n for part in left_out)} == set(mine)


def methods(file):
    (service,) = file.service
    assert service.name == "GRPCInferenceService"
    return {m.name: (m.input_type, m.output_type, m.client_streaming, m.server_streaming) for m in service.method}


def test_the_default_pool_stays_free_for_other_modules():
    # Triton's messages have the same names, and are in the default pool here
    assert POOL is not descriptor_pool.Default()
    assert message_class("ModelInferRequest") is not service_pb2.ModelInferRequest
    program = (
        "import interchange.serving.grpc.messages\n"
        "from google.protobuf import descriptor_pool\n"
        "try:\n    descriptor_pool.Default().FindMessageTypeByName('inference.ModelInferRequest')\n"
        "except KeyError:\n    print('free')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "free\n"


def test_nothing_of_the_configuration_and_the_statistics_is_lost(tmp_path):
    served = open_served("m", "1", serving.scaled(tmp_path / "m.onnx"), ModelSettings(threads=1, max_delay_ms=2.5))
    config = model_config(served)
    message = message_class("ModelConfigResponse").FromString(
        written(message_class("ModelConfigResponse"), {"config": config})
    )
    back = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)["config"]
    assert without_empty(config) == without_empty(numbers(back, config))

    counted = Statistics()
    counted.ran(3, 1, 2, 3)
    counted.failed("OTHER", 5)
    for histogram in counted.phases.values():
        histogram.add(1_000_000)
    answer = {"model_stats": [model_statistics("m", "1", counted.snapshot())]}
    kind = message_class("ModelStatisticsResponse")
    back = MessageToDict(
        kind.FromString(written(kind, answer)),
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
    assert without_empty(answer) == without_empty(numbers(back, answer))


def numbers(back, like):
    """Protobuf's JSON writes long numbers as texts: as numbers again, where `like` has some."""
    if isinstance(like, dict):
        return {k: numbers(v, like.get(k)) for k, v in back.items()}
    if isinstance(like, list):
        return [numbers(v, like[i]) for i, v in enumerate(back)]
    return int(back) if isinstance(like, int) and isinstance(back, str) else back


def without_empty(value):
    """Without what is the default of its field anyway."""
    if isinstance(value, dict):
        kept = {k: without_empty(v) for k, v in value.items()}
        return {k: v for k, v in kept.items() if v not in ({}, [], "", 0, False)}
    return [without_empty(v) for v in value] if isinstance(value, list) else value


# -- wire format ------------------------------------------------------------------------------------------------------
tensors = st.lists(st.binary(max_size=300), max_size=5)


@given(tensors, st.text(max_size=20), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4))
def test_a_request_is_cut_into_its_tensors_and_the_rest(raws, name, shape):
    request = message_class("ModelInferRequest")(model_name=name, id="i")
    request.inputs.add(name="x", shape=shape)
    without = request.SerializeToString()
    request.raw_input_contents.extend(raws)
    request.parameters["p"].double_param = 1.5
    rest, found = wire.cut(request.SerializeToString(), 7, "ModelInferRequest")
    assert [bytes(f) for f in found] == raws
    again = message_class("ModelInferRequest").FromString(rest)
    assert not again.raw_input_contents
    del request.raw_input_contents[:]
    assert again == request
    assert wire.cut(without, 7, "ModelInferRequest") == (without, [])


@given(st.binary(max_size=60))
def test_bytes_that_protobuf_reads_are_cut_as_it_reads_them(data):
    kind = message_class("ModelInferRequest")
    try:
        whole = kind.FromString(data)
    except DecodeError:
        whole = None
    try:
        rest, found = wire.cut(data, 7, "ModelInferRequest")
        again = read(kind, rest)
    except ServingError:
        again = None
    if whole is None:
        assert again is None
    elif again is not None:  # groups, which no field of ours is, are refused
        assert list(whole.raw_input_contents) == [bytes(f) for f in found]
        whole.ClearField("raw_input_contents")
        assert again == whole


@given(st.integers(1, 2**20), st.binary(max_size=300))
def test_a_field_is_what_protobuf_writes(number, data):
    message = message_class("ModelInferResponse")(raw_output_contents=[data])
    assert wire.field(6, len(data)) + data == message.SerializeToString()
    assert wire.field(number, len(data)).endswith(wire.field(1, len(data))[1:])


def test_too_many_fields():
    with pytest.raises(ServingError) as caught:
        wire.cut(b"\x2a\x00" * 5000, 7, "ModelInferRequest")
    assert caught.value.code == "IX652"
