"""Model files: what is not a model is named, weights are not read, and no failure leaves a mixture of old and new."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import stat
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from graph_models import F, array, make_graph, make_model, make_node, value

from interchange.dtypes import BY_NAME, bits, float32, string
from interchange.errors import FileError
from interchange.graph import Graph, ModelIR, Node, Tensor, Value, files
from interchange.graph.files import PAGE, load, save, serialize
from interchange.graph.wire import split


def network(fill: float = 1.0, size: int = 1000, **more: Any) -> ModelIR:
    """y = x @ w + b, with `size` elements in w."""
    x, h, y = (Value(n, float32, ("n", size if n == "x" else 1)) for n in "xhy")
    graph = Graph("net", [x], [y])
    w = graph.add_initializer("w", np.full((size, 1), fill, np.float32))
    b = graph.add_initializer("b", np.array([fill], np.float32))
    graph.nodes = [Node("MatMul", [x, w], [h]), Node("Add", [h, b], [y])]
    return ModelIR(graph, **more)


def filled_with(model: ModelIR) -> set[float]:
    """The numbers in its weights."""
    return {float(x) for v in model.graph.initializers.values() if v.const for x in np.unique(v.const.numpy())}


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# -- round trip -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("external", [False, True])
def test_saved_models_load_here_and_in_the_runtime(tmp_path: Path, external: bool) -> None:
    saved = save(network(2.0), tmp_path / "m.onnx", external=external)
    assert names(tmp_path) == sorted(p.name for p in saved)
    assert len(saved) == 1 + external
    model = load(saved[0])
    assert filled_with(model) == {2.0}
    x = np.ones((3, 1000), np.float32)
    session = ort.InferenceSession(saved[0], providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], np.full((3, 1), 2002, np.float32))
    onnx.checker.check_model(saved[0], full_check=True)


def test_loading_from_bytes_and_from_an_open_file(tmp_path: Path) -> None:
    data = serialize(network())
    assert filled_with(load(data)) == {1.0}
    assert filled_with(load(io.BytesIO(data))) == {1.0}
    save(network(3.0), tmp_path / "m.onnx", external=True)
    graph = (tmp_path / "m.onnx").read_bytes()
    assert filled_with(load(graph, base_dir=tmp_path)) == {3.0}
    with pytest.raises(FileError, match="IX304"):
        load(graph)


def test_large_models_get_a_data_file_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interchange.graph.files.EXTERNAL_ABOVE", 4004)
    assert len(save(network(size=1000), tmp_path / "a.onnx")) == 1
    assert len(save(network(size=1001), tmp_path / "b.onnx")) == 2


def test_the_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save(network(), tmp_path / name / "m.onnx", external=True)
        save(load(tmp_path / name / "m.onnx"), tmp_path / name / "m.onnx", external=True)
    assert names(tmp_path / "one") == names(tmp_path / "two")
    for name in names(tmp_path / "one"):
        data = (tmp_path / "one" / name).read_bytes()
        assert data == (tmp_path / "two" / name).read_bytes()
        assert str(tmp_path).encode() not in data


def test_tensors_are_page_aligned_and_shared_storage_is_written_once(tmp_path: Path) -> None:
    weights = np.arange(2000, dtype=np.float32)
    graph = Graph("g")
    for name, data in (("a", weights), ("b", weights), ("c", weights.copy()), ("d", weights[:1000])):
        graph.add_initializer(name, data)
    graph.outputs = list(graph.initializers.values())
    _, data = save(ModelIR(graph), tmp_path / "m.onnx", external=True)
    proto = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    offsets = {t.name: int(t.external_data[1].value) for t in proto.graph.initializer}
    assert offsets["a"] == offsets["b"]
    assert len(set(offsets.values())) == 3
    assert all(offset % PAGE == 0 for offset in offsets.values())
    again = tmp_path / "again.onnx"
    loaded = load(tmp_path / "m.onnx")
    assert save(loaded, again, external=True)[1].read_bytes() == data.read_bytes()
    run = ort.InferenceSession(again, providers=["CPUExecutionProvider"]).run(None, {})
    for got, wanted in zip(run, (weights, weights, weights, weights[:1000]), strict=True):
        np.testing.assert_array_equal(got, wanted)


def samples(dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Some thousand elements of a type, of random bits."""
    codes = np.random.default_rng(0).integers(0, 256, 8192, np.uint8)
    if dtype == string:
        return np.array([f"s{c}" for c in codes], object)
    if dtype == np.bool_:
        return codes > 99
    return (codes & ((1 << min(bits(dtype), 8)) - 1)).view(dtype)


def bits_of(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.astype(str) if array.dtype == object else array.view(np.uint8)


@pytest.mark.parametrize("name", BY_NAME)
def test_every_element_type_goes_through_a_data_file(tmp_path: Path, name: str) -> None:
    dtype = BY_NAME[name]
    expected = samples(dtype)
    graph = Graph("g")
    graph.outputs = [graph.add_initializer("w", expected)]
    save(ModelIR(graph), tmp_path / "m.onnx", external=True)
    read = load(tmp_path / "m.onnx").graph.initializers["w"].const
    assert read is not None
    assert read.dtype == dtype
    np.testing.assert_array_equal(bits_of(read.numpy()), bits_of(expected))
    by_onnx = onnx.numpy_helper.to_array(onnx.load(tmp_path / "m.onnx").graph.initializer[0])
    np.testing.assert_array_equal(bits_of(by_onnx), bits_of(expected))


def test_weights_are_mapped_and_not_read(tmp_path: Path) -> None:
    """500 MB that take no room on the disk take none in memory either."""
    path, size = tmp_path / "m.onnx", 500_000_000
    graph = make_graph([], "g", [], [value("w", F, (size // 4,))])
    weight = graph.initializer.add(name="w", data_type=F, dims=[size // 4], data_location=1)
    for key, text in (("location", "w.data"), ("offset", "0"), ("length", str(size))):
        weight.external_data.add(key=key, value=text)
    path.write_bytes(make_model(graph).SerializeToString())
    with open(tmp_path / "w.data", "wb") as f:
        f.truncate(size)
    tracemalloc.start()
    try:
        model = load(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    weights = model.graph.initializers["w"].const
    assert weights is not None
    assert (weights.numpy()[[0, -1]] == 0).all()


def test_raw_data_inside_the_file_becomes_windows() -> None:
    model = network(5.0, size=5000)
    data = memoryview(serialize(model))
    head, windows = split(data)
    assert len(head) < 1000
    assert [len(w) for w in windows.values()] == [20000]
    assert filled_with(load(bytes(data))) == {5.0}
    for cut in range(0, len(data), 37):  # a file that is cut short is an error or a smaller model, never a crash
        with contextlib.suppress(FileError):
            load(bytes(data[:cut]))


def test_saving_over_the_files_that_the_weights_are_mapped_from(tmp_path: Path) -> None:
    for external in (True, False, True, True):
        save(network(7.0, size=400_000), tmp_path / "m.onnx", external=external)
        model = load(tmp_path / "m.onnx")
        model.metadata["round"] = str(external)
        save(model, tmp_path / "m.onnx", external=external)
        assert filled_with(model) == filled_with(load(tmp_path / "m.onnx")) == {7.0}
        assert len(names(tmp_path)) == 1 + external


def test_the_old_data_file_goes_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "m.000000000000.data").write_bytes(b"not the old model's")
    save(network(1.0), tmp_path / "m.onnx", external=True)
    save(network(1.0), tmp_path / "other.onnx", external=True)
    before = set(names(tmp_path))
    save(network(2.0), tmp_path / "m.onnx", external=True)
    after = set(names(tmp_path))
    assert len(before - after) == len(after - before) == 1
    assert (before - after).pop().startswith("m.")
    assert filled_with(load(tmp_path / "other.onnx")) == {1.0}
    save(network(3.0), tmp_path / "m.onnx", external=False)
    assert [n for n in names(tmp_path) if n.startswith("m.")] == ["m.000000000000.data", "m.onnx"]


def test_a_foreign_model_s_data_file_stays(tmp_path: Path) -> None:
    onnx.save(
        make_model(make_graph([], "g", [], [value("w", F, (3000,))], [array("w", np.ones(3000))])),
        tmp_path / "m.onnx",
        save_as_external_data=True,
        location="m.data",
    )
    save(network(), tmp_path / "m.onnx")
    assert names(tmp_path) == ["m.data", "m.onnx"]


def test_permissions_and_links_are_kept(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files = save(network(), tmp_path / "m.onnx", external=True)
        assert [stat.S_IMODE(f.stat().st_mode) for f in files] == [0o640, 0o640]
        files[0].chmod(0o604)
        files = save(network(2.0), tmp_path / "m.onnx", external=True)
        assert [stat.S_IMODE(f.stat().st_mode) for f in files] == [0o604, 0o604]
    finally:
        os.umask(before)
    (tmp_path / "real").mkdir()
    save(network(), tmp_path / "real" / "m.onnx")
    (tmp_path / "link.onnx").symlink_to("real/m.onnx")
    save(network(9.0), tmp_path / "link.onnx", external=True)
    assert (tmp_path / "link.onnx").is_symlink()
    assert filled_with(load(tmp_path / "real" / "m.onnx")) == {9.0}


def test_odd_names_of_files(tmp_path: Path) -> None:
    for name in ("mödel.onnx", "a b:c\\d.onnx", "no_suffix", "v1.2.onnx"):
        path = tmp_path / name
        save(network(4.0), path, external=True)
        assert filled_with(load(path)) == {4.0}
        ort.InferenceSession(path, providers=["CPUExecutionProvider"])


# -- what is not a model ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"PK\x03\x04" + bytes(60), "PyTorch"),
        (b"\x80\x02}q\x00.", "pickle"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"GGUF\x03\0\0\0", "GGUF"),
        (b'\x40\0\0\0\0\0\0\0{"w":{"dtype":"F32"', "safetensors"),
        (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html>", "HTML"),
        (b"hello: world\n", "text: 'hello: world"),
        (bytes(range(256)), "no model from byte 0 on: a field without a number"),
        (array("t", [1.0]).SerializeToString(), ""),
        (b"\x08\x0a", "without a graph"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises(FileError) as caught:
            load(source)
        assert caught.value.code == "IX302"
        assert said in str(caught.value)


def test_two_graphs_in_one_file_are_refused() -> None:
    data = serialize(network())
    with pytest.raises(FileError, match="two graphs"):
        load(data + data)


def test_text_that_is_not_utf8_is_refused() -> None:
    data = serialize(network(producer_name="producer"))
    with pytest.raises(FileError, match="not UTF-8"):
        load(data.replace(b"producer", b"prod\xff\xfeer"))


def test_paths_that_lead_to_no_file(tmp_path: Path) -> None:
    save(network(), tmp_path / "model.onnx")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    os.mkfifo(tmp_path / "pipe")
    for name, said in (
        ("modle.onnx", "here are: model.onnx"),
        ("saved", "SavedModel"),
        ("pipe", "not a regular file"),
        ("a/b", "No such file"),
        ("nul\0", "null"),
    ):
        with pytest.raises(FileError) as caught:
            load(tmp_path / name)
        assert caught.value.code == "IX301"
        assert said in str(caught.value)


# -- external data that is not to be trusted --------------------------------------------------------------------------
def external(tmp_path: Path, location: str, **entries: str) -> Path:
    """A model in tmp_path/model with one float32[4] in a file of that location."""
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    graph = make_graph([], "g", [], [value("w", F, (4,))])
    tensor = graph.initializer.add(name="w", data_type=F, dims=[4], data_location=1)
    for key, text in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=text)
    (folder / "m.onnx").write_bytes(make_model(graph).SerializeToString())
    return folder / "m.onnx"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(bytes(16))
    return path


def refused(path: Path, code: str, **options: Any) -> str:
    with pytest.raises(FileError) as caught:
        load(path, **options)
    assert caught.value.code == code, caught.value
    assert "'w'" in (caught.value.where or "")
    return str(caught.value)


def test_locations_outside_the_folder_are_refused(tmp_path: Path, outside: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "sub").mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "up").symlink_to("..")
    os.link(outside, folder / "hard")
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    (folder / "dir").mkdir()
    for location in (
        "../secret",
        "sub/../../secret",
        str(outside),
        "link",
        "up/secret",
        "hard",
        "pipe",
        "loop",
        "dir",
        "",
        ".",
        "a\\b",
        "nul\0l",
        "x" * 5000,
    ):
        refused(external(tmp_path, location), "IX304")
    assert "not in" not in refused(external(tmp_path, "gone"), "IX305")


def test_links_inside_the_folder_and_trusted_links_are_followed(tmp_path: Path, outside: Path) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "real").write_bytes(bytes(16))
    (folder / "inside").symlink_to("sub/real")
    (folder / "link").symlink_to(outside)
    os.link(outside, folder / "hard")
    for location in ("inside", "sub/real", "./sub/real"):
        assert filled_with(load(external(tmp_path, location))) == {0.0}
    for location in ("link", "hard"):
        assert filled_with(load(external(tmp_path, location), trust_links=True)) == {0.0}
    for location in ("../secret", str(outside)):
        refused(external(tmp_path, location), "IX304", trust_links=True)


def test_ranges_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "w").write_bytes(bytes(32))
    assert filled_with(load(external(tmp_path, "w", offset="16"))) == {0.0}
    for entries in (
        {"offset": "17"},
        {"offset": "-1"},
        {"offset": "x"},
        {"offset": "٣"},
        {"offset": "9" * 400},
        {"offset": str(2**64)},
        {"length": "15"},
        {"length": "17"},
        {"length": ""},
        {"offset": "16", "length": str(2**63)},
    ):
        refused(external(tmp_path, "w", **entries), "IX306")
    (folder / "w").write_bytes(b"")
    refused(external(tmp_path, "w"), "IX306")


# -- failures while saving --------------------------------------------------------------------------------------------
CALLS = ("open", "write", "fsync", "read", "lseek", "replace", "close", "fstat", "stat", "fchmod", "unlink")


@pytest.fixture
def fail_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, int], list[str]]]:
    """fail_at(k, n): the calls number k to k+n-1 of the system fail with "disk full" (or write a part first)."""

    def install(first: int, many: int) -> list[str]:
        made: list[str] = []

        def failing(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **options: Any) -> Any:
                made.append(name)
                if first <= len(made) < first + many:
                    if name == "write" and len(args[1]) > 1:
                        real(args[0], args[1][: len(args[1]) // 2])
                    if name == "close":
                        real(*args)
                    raise OSError(errno.ENOSPC, "No space left on device")
                return real(*args, **options)

            return call

        for name in CALLS:
            monkeypatch.setattr(f"interchange.graph.atomic.os.{name}", failing(name, getattr(os, name)))
        return made

    yield install
    monkeypatch.undo()


@pytest.mark.parametrize("many", [1, 10**9])
@pytest.mark.parametrize("old", ["external", "inline", "none"])
def test_every_call_in_turn_fails_and_the_old_or_the_new_pair_is_there(
    tmp_path: Path, fail_at: Callable[[int, int], list[str]], old: str, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = 0
    failures = 0
    while True:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "m.onnx"
        if old != "none":
            save(network(1.0), path, external=old == "external")
        before = names(folder)
        new = network(2.0)
        made = fail_at(number, many)
        error: FileError | None = None
        try:
            save(new, path, external=True)
        except FileError as caught:
            error = caught
            assert error.code == "IX307"
        finally:
            monkeypatch.undo()
        failed = len(made) >= number
        now = filled_with(load(path)) if path.exists() else None
        was = None if old == "none" else {1.0}
        assert now in (was, {2.0}), made[-3:]
        if error is None:
            assert now == {2.0}
        elif "unchanged" in str(error):
            assert now == was
            left = [n for n in names(folder) if n not in before]
            # when removing fails as well, something must remain; it is never the name of a model
            assert not left or many > 1 or made[number - 1] == "unlink", (left, made[number - 1 :])
            assert "m.onnx" not in left
            failures += 1
        else:
            assert now == {2.0}
        if not failed:
            break
    assert failures > 10


def test_files_are_on_the_disk_before_they_are_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything a rename makes visible has been flushed: the file, and before the model the data file's own rename."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def flush(fd: int) -> None:
        fsync(fd)
        done.append("flush " + Path(os.readlink(f"/proc/self/fd/{fd}")).suffix)

    def rename(source: Any, target: Any) -> None:
        replace(source, target)
        done.append("rename " + Path(target).suffix)

    monkeypatch.setattr("interchange.graph.atomic.os.fsync", flush)
    monkeypatch.setattr("interchange.graph.atomic.os.replace", rename)
    save(network(), tmp_path / "m.onnx", external=True)
    file, folder = "flush .tmp", "flush "
    assert done == [file, file, "rename .data", folder, "rename .onnx", folder]


def test_a_model_that_is_replaced_while_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph was read, then somebody saved and the data file is gone: the new model is loaded."""
    path = tmp_path / "m.onnx"
    save(network(1.0), path, external=True)
    build = files.from_written
    calls = []

    def late(*args: Any) -> ModelIR:
        calls.append(args)
        if len(calls) == 1:
            save(network(2.0), path, external=True)
        return build(*args)

    monkeypatch.setattr(files, "from_written", late)
    assert filled_with(load(path)) == {2.0}
    assert len(calls) == 2
    next(tmp_path.glob("*.data")).unlink()
    with pytest.raises(FileError, match="IX305"):
        load(path)


@pytest.mark.parametrize("kind", ["device", "folder", "no parent", "read-only"])
def test_places_that_cannot_be_saved_to(tmp_path: Path, kind: str) -> None:
    path = {
        "device": Path("/dev/null"),
        "folder": tmp_path,
        "no parent": tmp_path / "gone" / "m.onnx",
        "read-only": Path("/proc/m.onnx"),
    }[kind]
    with pytest.raises(FileError, match="IX307"):
        save(network(), path)
    assert names(tmp_path) == []
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_what_is_read_back_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(
        "interchange.graph.atomic.os.write",
        lambda fd, data: real(fd, bytes(len(data))),  # a disk that keeps zeros
    )
    with pytest.raises(FileError, match="not what was written"):
        save(network(), tmp_path / "m.onnx")
    assert names(tmp_path) == []


def test_a_reader_beside_a_killed_writer_sees_whole_models_only(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    save(network(0.0, size=300_000), path, external=True)
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from test_graph_files import network, save\n"
        "n = 0\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    n += 1; save(network(float(n), size=300_000), sys.argv[1], external=True)\n"
    )
    seen: set[float] = set()
    for round_ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", code, str(path), str(Path(__file__).parent)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        end = time.monotonic() + 0.15 + 0.037 * round_
        while time.monotonic() < end:
            values = filled_with(load(path))
            assert len(values) == 1, "weights and graph of two models"
            seen |= values
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert len(filled_with(load(path))) == 1
    assert len(seen) > 3


def test_models_beyond_two_gigabytes_need_a_data_file(tmp_path: Path) -> None:
    graph = Graph("g")
    huge = np.broadcast_to(np.float32(1), (600_000_000,))  # takes four bytes of memory
    graph.outputs = [graph.add_initializer("w", Tensor(float32, huge.shape, array=huge))]
    for attempt in (
        lambda: serialize(ModelIR(graph)),
        lambda: save(ModelIR(graph), tmp_path / "m.onnx", external=False),
    ):
        with pytest.raises(FileError, match="IX308"):
            attempt()
    assert names(tmp_path) == []


@pytest.mark.conformance
def test_a_model_of_three_gigabytes(tmp_path: Path) -> None:
    graph = Graph("g")
    for i in range(3):
        graph.add_initializer(f"w{i}", np.full(256 << 20, i, np.float32))
    graph.outputs = [graph.initializers["w0"]]
    files = save(ModelIR(graph), tmp_path / "m.onnx")
    assert files[1].stat().st_size == 3 << 30
    model = load(files[0])
    for i in range(3):
        tensor = model.graph.initializers[f"w{i}"].const
        assert tensor is not None
        assert tensor.numpy()[[0, 12345, -1]].tolist() == [i] * 3
    assert make_node("Identity", ["w0"], ["y"]).op_type == "Identity"
