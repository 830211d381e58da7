"""Triton's config.pbtxt: what is followed, what is told, what is refused; and the format that it is written in."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import scaled

from interchange.protocol.errors import ServingError
from interchange.serving import textproto, triton_config
from interchange.serving.repository import Repository
from interchange.serving.settings import ModelSettings, Settings
from interchange.serving.triton_config import read


def scan(root, settings=None):
    return Repository(root, settings).scan(at_once=True)


def config(folder, text, **files):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(text)
    for name, content in files.items():
        (folder / f"{name}.txt").write_text(content)


def code(entry):
    return entry.error and entry.error.code


# -- config.pbtxt -----------------------------------------------------------------------------------------------------
FULL = """
# as in Triton's documentation
name: "m"
platform: "onnxruntime_onnx"   backend: 'onnxruntime';
max_batch_size: 8
input [
  { name: "x" data_type: TYPE_FP32 dims: [ 3 ] }
]
output { name: "y", data_type: TYPE_FP32, dims: 3, label_filename: "labels.txt" }
version_policy: { specific { versions: [1, 0x3] } }
instance_group [ { count: 2 kind: KIND_CPU }, { kind: KIND_CPU } ]
dynamic_batching <
  preferred_batch_size: [ 2, 4 ]
  max_queue_delay_microseconds: 1500
  default_queue_policy { max_queue_size: 16, default_timeout_microseconds: 250000, allow_timeout_override: true }
>
parameters { key: "intra_op_thread_count" value { string_value: "3" } }
response_cache { enable: true }
default_model_filename: "net.onnx"
"""


def test_everything_that_is_followed():
    found = read(FULL, "m")
    assert found.settings == {
        "max_batch": 4,
        "max_delay_ms": 1.5,
        "max_queue": 16,
        "timeout_ms": 250.0,
        "instances": 3,
        "versions": (1, 3),
        "threads": 3,
        "cache": triton_config.CACHED,
    }
    assert (found.filename, found.max_batch_size, found.dynamic_batching) == ("net.onnx", 8, True)
    assert found.inputs == (triton_config.PortConfig("x", "FP32", (3,)),)
    assert found.label_files == {"y": "labels.txt"}
    assert [n.partition(":")[0] for n in found.notes] == ["dynamic_batching.preferred_batch_size"]


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", {}),
        ("max_batch_size: 0", {"max_batch": 1, "batching": False}),
        ("version_policy { all {} }", {"versions": "all"}),
        ("version_policy { latest { num_versions: 3 } }", {"versions": 3}),
        ("version_policy { latest {} }", {"versions": 1}),
        ("response_cache { enable: false }", {"cache": 0}),
        ("dynamic_batching { default_queue_policy { max_queue_size: 0 } }", {}),
        ('parameters { key: "intra_op_thread_count" value: { string_value: "0" } }', {}),
    ],
)
def test_settings_of_a_config(text, settings):
    assert dict(read(text, "m").settings) == settings


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        ("optimization { graph { level: 1 } }", "optimization"),
        ('model_warmup [ { name: "a" batch_size: 1 } ]', "model_warmup"),
        ("max_batchsize: 8", "max_batchsize"),  # a slip of the pen is no less told
        ('metric_tags { key: "a" value: "b" }', "metric_tags"),
        ("dynamic_batching { preserve_ordering: true }", "dynamic_batching.preserve_ordering"),
        ("dynamic_batching { priority_levels: 2 }", "dynamic_batching.priority_levels"),
        (
            "dynamic_batching { default_queue_policy { timeout_action: DELAY } }",
            "dynamic_batching.default_queue_policy.timeout_action",
        ),
        ("dynamic_batching { default_queue_policy { max_queue_size: 0 } }", "dynamic_batching.default_queue_policy."),
        ("instance_group { kind: KIND_GPU gpus: [0] }", "instance_group.kind"),
        ("instance_group { gpus: [0] }", "instance_group.gpus"),
        ("instance_group { rate_limiter { priority: 2 } }", "instance_group.rate_limiter"),
        ('parameters { key: "execution_mode" value { string_value: "1" } }', "parameters[execution_mode]"),
        ('input { name: "x" data_type: TYPE_FP32 dims: 3 format: FORMAT_NHWC }', "input.format"),
        ('input { name: "x" data_type: TYPE_FP32 dims: 3 reshape { shape: [1, 3] } }', "input.reshape"),
        ("version_policy { latest { num_versions: 1 newest: true } }", "version_policy.latest.newest"),
    ],
)
def test_nothing_is_ignored_without_a_word(text, noted):
    assert any(n.startswith(noted) for n in read(text, "m").notes)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("max_batch_size: many", "max_batch_size"),
        ("max_batch_size: -1", "from 0"),
        ("max_batch_size: 1.5", "1.5"),
        ("max_batch_size: 1 max_batch_size: 2", "2 times"),
        ("max_batch_size: 99999999999999999999999", "line 1"),
        ("max_batch_size 8", "colon"),
        ("max_batch_size: 8 }", "line 1"),
        ("dynamic_batching {", "the end of the file"),
        ('name: "m', "not text format"),
        ('name: "other"', "'other'"),
        ("name: m", "text in quotes"),
        ('platform: "tensorflow_savedmodel"', "tensorflow_savedmodel"),
        ('platform: "ensemble"', "ensemble"),
        ('backend: "python"', "python"),
        ("ensemble_scheduling { }", "pipeline"),
        ("sequence_batching { }", "state"),
        ("model_transaction_policy { decoupled: true }", "one answer"),
        ('model_operations { op_library_filename: "evil.so" }', "libraries"),
        ("batch_input { }", "batch_input"),
        ("version_policy { all {} latest {} }", "more than one"),
        ("version_policy { specific { } }", "no versions"),
        ("version_policy { specific { versions: [0] } }", "from 1"),
        ("version_policy { latest { num_versions: 0 } }", "from 1"),
        ("max_batch_size: 4 dynamic_batching { preferred_batch_size: 8 }", "above"),
        ("dynamic_batching: 5", "message in braces"),
        ("response_cache { enable: 2 }", "true or false"),
        ("instance_group { count: 5000 }", "1024"),
        ("instance_group { count: 1000 } instance_group { count: 1000 }", "2000 instances"),
        ('parameters { key: "intra_op_thread_count" value { string_value: "many" } }', "many"),
        ('input { name: "x" dims: 3 }', "data_type"),
        ('default_model_filename: "../model.onnx"', "own folder"),
        ('default_model_filename: "/etc/passwd"', "own folder"),
        ('default_model_filename: ".."', "own folder"),
        ('default_model_filename: ".hidden"', "own folder"),
        ('output { name: "y" data_type: TYPE_FP32 dims: 1 label_filename: "../l" }', "own folder"),
        ("a { " * 100, "inside of each other"),
        ("a: [1, 2", "end of the file"),
        ("a: [1 2]", "expected"),
        ('name: "\\xff"', "UTF-8"),
        ("name: 09", "no number"),
        ("\x00", "not text format"),
    ],
)
def test_a_bad_config_is_refused(tmp_path, text, found):
    with pytest.raises(ServingError) as caught:
        read(text, "m")
    assert caught.value.code == "IX663"
    assert found in caught.value.found
    scaled(tmp_path / "m" / "1" / "model.onnx")
    config(tmp_path / "m", text)
    assert code(scan(tmp_path)["m"]) == "IX663"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"#" * (1 << 23)])
def test_a_config_that_is_no_text(tmp_path, content):
    scaled(tmp_path / "m" / "1" / "model.onnx")
    (tmp_path / "m" / "config.pbtxt").write_bytes(content)
    assert code(scan(tmp_path)["m"]) == "IX667"


def test_settings_of_the_model_before_config_before_defaults(tmp_path):
    scaled(tmp_path / "m" / "1" / "model.onnx")
    scaled(tmp_path / "n" / "1" / "model.onnx")
    for name in "mn":
        config(tmp_path / name, "max_batch_size: 8 instance_group { count: 2 }")
    settings = Settings(
        defaults=ModelSettings(max_batch=32, cache=5),
        models={"m": ModelSettings(max_batch=16, cache=5)},
    )
    found = scan(tmp_path, settings)
    assert (found["m"].settings.max_batch, found["m"].settings.instances, found["m"].settings.cache) == (16, 2, 5)
    assert (found["n"].settings.max_batch, found["n"].settings.instances, found["n"].settings.cache) == (8, 2, 5)
    settings = Settings(models={"m": ModelSettings(config_pbtxt=False)})
    assert scan(tmp_path, settings)["m"].settings == ModelSettings(config_pbtxt=False)


def test_labels(tmp_path):
    scaled(tmp_path / "m" / "1" / "model.onnx")
    text = 'output { name: "y" data_type: TYPE_FP32 dims: 3 label_filename: "l.txt" }'
    config(tmp_path / "m", text + text.replace('"y"', '"z"'), l="iris setosa\nversicolor\n")
    entry = scan(tmp_path)["m"]
    assert entry.settings.labels == ("iris setosa", "versicolor")
    assert any("z: label_filename" in n for n in entry.config.notes)


# -- text format ------------------------------------------------------------------------------------------------------
def test_text_format_is_read_as_tritons_own_message_reads_it():
    pb2 = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    from google.protobuf import json_format, text_format

    message = text_format.Parse(FULL, pb2.ModelConfig())
    wanted = json_format.MessageToDict(message, preserving_proto_field_name=True)
    found = textproto.parse(FULL)
    assert found["name"] == [wanted["name"]]
    assert found["max_batch_size"] == [wanted["max_batch_size"]]
    assert [i["name"] for i in found["input"]] == [["x"]]
    specific = wanted["version_policy"]["specific"]["versions"]
    assert found["version_policy"][0]["specific"][0]["versions"] == list(map(int, specific))
    assert found["dynamic_batching"][0]["preferred_batch_size"] == [2, 4]


def test_texts_beside_each_other_are_one():
    assert textproto.parse("""a: "b\\n" 'c"' "\\x41\\101" """) == {"a": ['b\nc"AA']}


values = st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1))


@given(st.dictionaries(st.from_regex(r"\A[a-z_]{1,9}\Z"), values, max_size=5))
def test_what_protobuf_writes_is_read_back(fields):
    from google.protobuf import text_format

    lines = []
    for name, value in fields.items():
        text = (
            f'"{text_format.text_encoding.CEscape(value.encode(), as_utf8=False)}"' if isinstance(value, str) else value
        )
        lines.append(f"{name}: {text}")
    assert textproto.parse("\n".join(lines)) == {n: [v] for n, v in fields.items()}


@given(st.text(alphabet=st.sampled_from(list("ab1.-:;,{}[]<>\"'\\# \n\x00é"))))
def test_no_text_breaks_the_reader(text):
    with contextlib.suppress(ServingError):
        assert read(text, "m").notes is not None
