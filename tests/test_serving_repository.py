"""What a repository of models holds: layouts, names, versions, config.pbtxt, and nothing that lies outside of it."""

import contextlib
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from interchange.protocol.errors import ServingError
from interchange.serving import textproto, triton_config
from interchange.serving.repository import Repository, name_problem
from interchange.serving.settings import ModelSettings, Settings
from interchange.serving.triton_config import read
from tests.serving import scaled


def scan(root, settings=None):
    return Repository(root, settings).scan(at_once=True)


def versions(entry):
    return [f.version for f in entry.versions]


def config(folder, text, **files):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(text)
    for name, content in files.items():
        (folder / f"{name}.txt").write_text(content)


def code(entry):
    return entry.error and entry.error.code


# -- layouts ----------------------------------------------------------------------------------------------------------
def test_one_file(tmp_path):
    path = scaled(tmp_path / "iris.onnx")
    scaled(tmp_path / "other.onnx")
    found = scan(path)
    assert list(found) == ["iris"]
    assert versions(found["iris"]) == ["1"]
    assert found["iris"].versions[0].path == path


def test_files_and_folders(tmp_path):
    scaled(tmp_path / "iris.onnx")
    scaled(tmp_path / "wine" / "1" / "model.onnx")
    scaled(tmp_path / "wine" / "2" / "model.onnx")
    scaled(tmp_path / "wine" / "10" / "model.onnx")
    found = scan(tmp_path)
    assert {n: versions(e) for n, e in found.items()} == {"iris": ["1"], "wine": ["10", "2", "1"]}


def test_tritons_form_of_a_model_with_several_files(tmp_path):
    path = scaled(tmp_path / "big" / "1" / "model.onnx" / "model.onnx")
    assert scan(tmp_path)["big"].versions[0].path == path.resolve()


def test_junk_is_no_model(tmp_path):
    scaled(tmp_path / "good.onnx")
    for name in (".a.onnx", "b.onnx.tmp", "c.onnx.part", "d.onnx~", "README.md", "weights.bin", ".interchange-0.tmp"):
        (tmp_path / name).write_bytes(b"junk")
    (tmp_path / ".git").mkdir()
    (tmp_path / "lost+found").mkdir()
    for i in range(300):
        (tmp_path / f"junk-{i}").write_bytes(os.urandom(10))
    assert list(scan(tmp_path)) == ["good"]


@pytest.mark.parametrize("name", ["a b", "_a", "-a", "ä", "a" * 129, "a\nb", "a:b", "stats", "a\u202eb"])
def test_names_that_no_model_can_have(tmp_path, name):
    scaled(tmp_path / f"{name}.onnx")
    scaled(tmp_path / "good.onnx")
    (bad,) = (e for n, e in scan(tmp_path).items() if n != "good")
    assert code(bad) == "IX660"
    assert bad.name.isprintable()
    assert not bad.versions
    with pytest.raises(ServingError) as caught:
        Repository(tmp_path / f"{name}.onnx")
    assert caught.value.code == "IX660"


def test_a_name_that_is_no_text(tmp_path):
    try:
        os.mkdir(os.fsencode(tmp_path) + b"/\xff\xfe")
    except OSError:
        pytest.skip("the file system takes no such name")
    (bad,) = scan(tmp_path).values()
    assert code(bad) == "IX660"
    assert bad.name.isprintable()


@pytest.mark.parametrize("name", ["a", "0", "A.b-c_d", "a" * 128, "model.onnx"])
def test_names_that_a_model_can_have(name):
    assert name_problem(name) is None


@pytest.mark.parametrize("version", ["0", "01", "001", "-1", "1.0", "one", "+1", "1 ", "١", "9" * 19])
def test_versions_that_are_none_are_told_and_the_others_served(tmp_path, version):
    scaled(tmp_path / "iris" / version / "model.onnx")
    scaled(tmp_path / "iris" / "3" / "model.onnx")
    entry = scan(tmp_path)["iris"]
    assert versions(entry) == ["3"]
    ((told, error),) = entry.misnamed
    assert error.code == "IX661"
    assert told.strip() == version.strip()


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["iris/"], "no folder of a version"),
        (["iris/readme.md"], "no folder of a version"),
        (["iris/model.onnx"], "model.onnx beside the versions"),
        (["iris/01/model.onnx"], "no folder of a version"),
    ],
)
def test_folders_without_a_version(tmp_path, files, found):
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name.endswith("/") else path.write_bytes(b"x")
    error = scan(tmp_path)["iris"].error
    assert error.code == "IX662"
    assert found in error.found


def test_a_version_without_a_model(tmp_path):
    (tmp_path / "iris" / "1").mkdir(parents=True)
    (found,) = scan(tmp_path)["iris"].versions
    assert found.error.code == "IX662"
    assert found.stamp == ()


def test_a_file_and_a_folder_of_one_name(tmp_path):
    scaled(tmp_path / "iris.onnx")
    scaled(tmp_path / "iris" / "1" / "model.onnx")
    assert code(scan(tmp_path)["iris"]) == "IX662"


def test_places_without_models(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"x")
    for place in ("nothing", "nothing.onnx", "model.pt"):
        with pytest.raises(ServingError) as caught:
            Repository(tmp_path / place)
        assert caught.value.code == "IX668"
    folder = tmp_path / "models"
    folder.mkdir()
    repository = Repository(folder)
    assert repository.scan() == {}
    folder.rmdir()
    with pytest.raises(ServingError) as caught:
        repository.scan()
    assert caught.value.code == "IX668"


# -- nothing outside --------------------------------------------------------------------------------------------------
@pytest.fixture
def outside(tmp_path):
    """A good model, and what nobody may read, beside the repository."""
    scaled(tmp_path / "outside" / "1" / "model.onnx")
    (tmp_path / "outside" / "secret.txt").write_text("secret\nkey\n")
    (tmp_path / "models").mkdir()
    return tmp_path / "outside"


def refused(entry):
    error = entry.error or entry.versions[0].error
    return error is not None and error.code == "IX667"


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("m.onnx", "1/model.onnx"),
        ("m", ""),
        ("m/1", "1"),
        ("m/1/model.onnx", "1/model.onnx"),
    ],
)
def test_links_out_of_the_repository_are_not_followed(tmp_path, outside, link, target, relative):
    path = tmp_path / "models" / link
    path.parent.mkdir(parents=True, exist_ok=True)
    to = outside / target
    path.symlink_to(os.path.relpath(to, path.parent) if relative else to)
    assert refused(scan(tmp_path / "models")["m"])


def test_links_within_the_repository_are(tmp_path):
    """As Kubernetes mounts a ConfigMap, and as people mark the current version."""
    scaled(tmp_path / "..2026" / "iris.onnx")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "iris.onnx").symlink_to("..data/iris.onnx")
    scaled(tmp_path / "wine" / "1" / "model.onnx")
    (tmp_path / "best").symlink_to("wine")
    found = scan(tmp_path)
    assert {n: versions(e) for n, e in found.items()} == {"iris": ["1"], "wine": ["1"], "best": ["1"]}
    assert not any(refused(e) for e in found.values())


def test_a_link_to_the_repository_itself(tmp_path):
    scaled(tmp_path / "v1" / "iris.onnx")
    scaled(tmp_path / "v2" / "wine.onnx")
    link = tmp_path / "current"
    link.symlink_to("v1")
    repository = Repository(link)
    assert list(repository.scan(at_once=True)) == ["iris"]
    link.unlink()
    link.symlink_to("v2")
    assert list(repository.scan(at_once=True)) == ["wine"]


@pytest.mark.parametrize("kind", ["link", "hard link", "up", "absolute", "folder", "fifo", "missing"])
def test_labels_come_from_the_models_own_folder(tmp_path, outside, kind):
    folder = tmp_path / "models" / "m"
    scaled(folder / "1" / "model.onnx")
    name = {"up": "../../outside/secret.txt", "absolute": str(outside / "secret.txt")}.get(kind, "labels.txt")
    labels = folder / "labels.txt"
    match kind:
        case "link":
            labels.symlink_to("../../outside/secret.txt")
        case "hard link":
            os.link(outside / "secret.txt", labels)
        case "folder":
            labels.mkdir()
        case "fifo":
            os.mkfifo(labels)
    config(folder, f'output {{ name: "y" data_type: TYPE_FP32 dims: [3] label_filename: "{name}" }}')
    entry = scan(tmp_path / "models")["m"]
    assert code(entry) == ("IX663" if kind in ("up", "absolute", "missing") else "IX667")
    assert "secret" not in str(entry.settings)


def test_a_label_file_of_another_model_is_not_read(tmp_path):
    for name in ("a", "b"):
        scaled(tmp_path / name / "1" / "model.onnx")
    (tmp_path / "b" / "labels.txt").write_text("x\n")
    (tmp_path / "a" / "labels.txt").symlink_to("../b/labels.txt")
    config(tmp_path / "a", 'output { name: "y" data_type: TYPE_FP32 dims: [3] label_filename: "labels.txt" }')
    assert code(scan(tmp_path)["a"]) == "IX667"


def test_a_config_that_leads_out_is_not_read(tmp_path, outside):
    scaled(tmp_path / "models" / "m" / "1" / "model.onnx")
    (tmp_path / "models" / "m" / "config.pbtxt").symlink_to(outside / "secret.txt")
    entry = scan(tmp_path / "models")["m"]
    assert code(entry) == "IX667"
    assert "secret" not in str(entry.error)


def test_what_is_no_file_is_not_opened(tmp_path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    os.mkfifo(tmp_path / "m" / "1" / "model.onnx")
    (tmp_path / "loop.onnx").symlink_to("loop.onnx")
    found = scan(tmp_path)
    assert refused(found["m"])
    assert refused(found["loop"])


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    scaled(tmp_path / "m.onnx").chmod(0)
    assert refused(scan(tmp_path)["m"])


def test_a_file_that_may_not_be_read_even_by_root(tmp_path, monkeypatch):
    path = scaled(tmp_path / "m.onnx")
    monkeypatch.setattr(os, "access", lambda p, mode: Path(p) != path)
    assert refused(scan(tmp_path)["m"])


# -- what has changed -------------------------------------------------------------------------------------------------
def quiet(repository):
    return {(n, f.version): f.quiet for n, e in repository.scan().items() for f in e.versions}


def test_a_file_is_quiet_when_two_looks_see_the_same(tmp_path):
    path = scaled(tmp_path / "m.onnx")
    repository = Repository(tmp_path)
    assert quiet(repository) == {("m", "1"): False}
    assert quiet(repository) == {("m", "1"): True}
    with path.open("ab") as file:
        file.write(b"x")
    assert quiet(repository) == {("m", "1"): False}
    repository.scan(at_once=True)  # which is forgotten: nothing has been quiet for the sake of it
    os.utime(path, ns=(1, 1))
    assert quiet(repository) == {("m", "1"): False}
    assert quiet(repository) == {("m", "1"): True}
    shutil.copy(path, tmp_path / "new")
    os.utime(tmp_path / "new", ns=(1, 1))
    os.replace(tmp_path / "new", path)  # same size and time: another inode
    assert quiet(repository) == {("m", "1"): False}


def test_what_has_gone_is_told_once_as_not_quiet(tmp_path):
    path = scaled(tmp_path / "m" / "1" / "model.onnx")
    repository = Repository(tmp_path)
    quiet(repository)
    path.unlink()
    assert quiet(repository) == {("m", "1"): False}
    assert quiet(repository) == {("m", "1"): True}  # the folder is there, the model is not
    shutil.rmtree(tmp_path / "m")
    assert quiet(repository) == {}


def test_a_folder_that_has_gone_is_told_once_as_not_quiet(tmp_path):
    scaled(tmp_path / "m" / "1" / "model.onnx")
    repository = Repository(tmp_path)
    quiet(repository)
    shutil.rmtree(tmp_path / "m")
    assert quiet(repository) == {("m", "1"): False}
    assert quiet(repository) == {}


def with_data(path, location="weights.bin"):
    weights = numpy_helper.from_array(np.arange(3000, dtype=np.float32).reshape(3, 1000), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1000])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, path, save_as_external_data=True, location=location, size_threshold=0)
    return path.parent / location


def test_data_files_are_watched_with_their_model(tmp_path):
    data = with_data(tmp_path / "m.onnx")
    repository = Repository(tmp_path)
    seen = [quiet(repository)["m", "1"] for _ in range(4)]
    assert seen == [False, False, True, True]  # it is looked into once it is quiet itself
    (found,) = repository.scan()["m"].versions
    assert found.data == ("weights.bin",)
    data.write_bytes(data.read_bytes()[:100])
    assert found.changed()
    assert quiet(repository) == {("m", "1"): False}
    assert quiet(repository) == {("m", "1"): True}
    data.unlink()
    assert quiet(repository) == {("m", "1"): False}


def test_data_files_that_no_model_may_have_are_not_looked_at(tmp_path):
    with_data(tmp_path / "models" / "m.onnx")
    model = onnx.load(tmp_path / "models" / "m.onnx", load_external_data=False)
    model.graph.initializer[0].external_data[0].value = "../secret"
    onnx.save(model, tmp_path / "models" / "m.onnx")
    (found,) = scan(tmp_path / "models")["m"].versions
    assert [p.name for p in found.files] == ["m.onnx"]


def test_a_changed_config_or_label_file_changes_every_version(tmp_path):
    for version in "12":
        scaled(tmp_path / "m" / version / "model.onnx")
    config(tmp_path / "m", 'output { name: "y" data_type: TYPE_FP32 dims: 3 label_filename: "l.txt" }', l="a\nb\n")
    repository = Repository(tmp_path)
    quiet(repository)
    assert set(quiet(repository).values()) == {True}
    (tmp_path / "m" / "l.txt").write_text("a\nb\nc\n")
    assert set(quiet(repository).values()) == {False}
    assert repository.scan()["m"].settings.labels == ("a", "b", "c")


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
