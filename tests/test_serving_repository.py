"""What a repository of models holds: layouts, names, versions, config.pbtxt, and nothing that lies outside of it."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from serving import scaled

from interchange.protocol.errors import ServingError
from interchange.serving.repository import Repository, name_problem


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
    scaled(tmp_path / "copying.part" / "1" / "model.onnx")
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


def test_a_folder_whose_only_version_is_none(tmp_path):
    scaled(tmp_path / "iris" / "01" / "model.onnx")
    assert code(scan(tmp_path)["iris"]) == "IX661"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["iris/"], "no folder of a version"),
        (["iris/readme.md"], "no folder of a version"),
        (["iris/model.onnx"], "model.onnx beside the versions"),
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


def test_what_is_in_a_folder_outside_is_not_told(tmp_path, outside):
    (outside / "private").mkdir()
    (tmp_path / "models" / "m").symlink_to(outside)
    entry = scan(tmp_path / "models")["m"]
    assert code(entry) == "IX667"
    assert (entry.misnamed, entry.versions) == ((), ())


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


def test_other_data_files_of_a_model_that_is_saved_again(tmp_path):
    with_data(tmp_path / "m.onnx")
    repository = Repository(tmp_path)
    assert repository.scan(at_once=True)["m"].versions[0].data == ("weights.bin",)
    with_data(tmp_path / "m.onnx", "other.bin")
    assert repository.scan(at_once=True)["m"].versions[0].data == ("other.bin",)


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
