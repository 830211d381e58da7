"""Models come, change and go while requests are answered; what is broken takes nothing away."""

import asyncio
import itertools
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array

from interchange.errors import InterchangeError
from interchange.protocol.errors import ServingError
from interchange.serving.engine import Engine
from interchange.serving.lifecycle import MAX_LOADS, Lifecycle
from interchange.serving.settings import ModelSettings, Settings
from interchange.serving.trial import open_served
from tests import serving
from tests.serving import node_model

ONE = np.ones((1, 3), np.float32)
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
_times = itertools.count(10**18, 10**9)


def scaled(path, by=2.0):
    """``y = by * x``, in a file that is newer than all before it (a clock of files may tick slowly)."""
    serving.scaled(path, by)
    touch(path)
    return path


def touch(path):
    os.utime(path, ns=(0, next(_times)))


def with_data(path):
    """Rows i of a table, which is in a file beside the model."""
    table = np.random.default_rng(0).random((20000, 64), np.float32)
    nodes = [helper.make_node("Gather", ["table", "i"], ["y"])]
    node_model(nodes, [("i", INT64, ["n"])], [("y", FLOAT, ["n", 64])], path, initializers=[from_array(table, "table")])
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location=f"{path.name}.data")
    return path


def serve(test, root, opener=None, start=True, **settings):
    """Run an asynchronous test with an engine that serves a repository."""

    async def run():
        engine = Engine(Settings(**settings))
        lifecycle = Lifecycle(engine, root, opener=opener)
        if start:
            await lifecycle.start()
        try:
            return await test(lifecycle)
        finally:
            await lifecycle.close()
            await engine.close()

    return asyncio.run(run())


def states(lifecycle, name=None):
    return {(r["name"], r["version"]): r["state"] for r in lifecycle.index() if name in (None, r["name"])}


def reason(lifecycle, name, version="1"):
    return next(r["reason"] for r in lifecycle.index() if (r["name"], r["version"]) == (name, version))


async def answer(lifecycle, name="m", version=""):
    """What the model multiplies by."""
    return float((await lifecycle.engine.infer(name, {"x": ONE}, version=version))["y"][0, 0])


async def settle(lifecycle):
    """As many looks as it takes for what has been copied to be quiet, and followed."""
    for _ in range(4):
        await lifecycle.look()


def broken(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"this is no model")
    return path


# -- start ------------------------------------------------------------------------------------------------------------
def test_what_is_broken_does_not_keep_the_others_from_being_served(tmp_path):
    scaled(tmp_path / "good.onnx")
    broken(tmp_path / "bad.onnx")
    (tmp_path / "empty").mkdir()
    scaled(tmp_path / "good too.onnx")

    async def test(lifecycle):
        assert states(lifecycle) == {
            ("bad", "1"): "UNAVAILABLE",
            ("empty", ""): "UNAVAILABLE",
            ("good", "1"): "READY",
            ("good too", ""): "UNAVAILABLE",
        }
        assert lifecycle.ready
        assert lifecycle.index(ready_only=True) == [
            {"name": "good", "version": "1", "state": "READY", "reason": ""}
        ]  # fmt: skip
        for row in lifecycle.index():
            assert str(tmp_path) not in row["reason"]
            assert "\n" not in row["reason"]
            assert row["state"] == "READY" or row["reason"].startswith("IX")

    serve(test, tmp_path)


def test_ready_is_a_server_that_answers(tmp_path):
    """A server whose only model is broken takes no requests away from one that works."""
    path = broken(tmp_path / "m.onnx")

    async def test(lifecycle):
        assert not lifecycle.ready
        scaled(path)
        await lifecycle.load("m")
        assert lifecycle.ready
        await lifecycle.unload("m")
        assert lifecycle.ready  # as it was asked for

    serve(test, tmp_path)


def test_an_empty_folder_is_ready(tmp_path):
    async def test(lifecycle):
        assert lifecycle.ready
        assert lifecycle.index() == []

    serve(test, tmp_path)


def test_while_models_load(tmp_path):
    scaled(tmp_path / "m.onnx")
    go = threading.Event()

    def opener(*args, **kwargs):
        go.wait()
        return open_served(*args, **kwargs)

    async def test(lifecycle):
        starting = asyncio.create_task(lifecycle.start())
        while not states(lifecycle):
            await asyncio.sleep(0)
        while states(lifecycle) != {("m", "1"): "LOADING"}:
            await asyncio.sleep(0)
        assert not lifecycle.ready
        with pytest.raises(ServingError) as caught:
            lifecycle.engine.find("m")
        assert (caught.value.code, caught.value.retry_after) == ("IX642", 1)
        go.set()
        await starting
        assert lifecycle.ready
        assert await answer(lifecycle) == 2

    serve(test, tmp_path, opener, start=False)


def test_one_file(tmp_path):
    path = scaled(tmp_path / "m.onnx")
    scaled(tmp_path / "other.onnx")

    async def test(lifecycle):
        assert states(lifecycle) == {("m", "1"): "READY"}
        scaled(path, 5)
        await settle(lifecycle)
        assert await answer(lifecycle) == 5

    serve(test, path)


# -- load and unload --------------------------------------------------------------------------------------------------
def test_unloaded_stays_unloaded_until_it_is_loaded(tmp_path):
    path = scaled(tmp_path / "m.onnx")

    async def test(lifecycle):
        await lifecycle.unload("m")
        await lifecycle.unload("m")
        assert lifecycle.index() == [{"name": "m", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}]
        with pytest.raises(ServingError, match="unloaded") as caught:
            await answer(lifecycle)
        assert caught.value.code == "IX642"
        scaled(path, 3)
        await settle(lifecycle)
        await lifecycle.refresh()
        path.unlink()
        await settle(lifecycle)
        assert lifecycle.index() == []
        scaled(path, 4)
        await settle(lifecycle)
        assert states(lifecycle) == {("m", ""): "UNAVAILABLE"}
        await lifecycle.load("m")
        assert await answer(lifecycle) == 4
        scaled(path, 5)
        await settle(lifecycle)
        assert await answer(lifecycle) == 5

    serve(test, tmp_path)


def test_loading_what_has_not_changed_does_nothing(tmp_path):
    scaled(tmp_path / "m.onnx")

    async def test(lifecycle):
        before = lifecycle.engine.find("m")
        await lifecycle.load("m")
        await lifecycle.refresh()
        await settle(lifecycle)
        assert lifecycle.engine.find("m") is before

    serve(test, tmp_path)


@pytest.mark.parametrize("name", ["nothing", "", ".", "..", "../m", "/etc/passwd", "m/1", "m\0", "m.onnx", "m/../m"])
def test_names_are_looked_up_and_never_opened(tmp_path, name):
    scaled(tmp_path / "models" / "m" / "1" / "model.onnx")
    scaled(tmp_path / "m.onnx")
    scaled(tmp_path / "models" / ".onnx")

    async def test(lifecycle):
        for act in (lifecycle.load(name), lifecycle.unload(name), lifecycle.engine.infer(name, {"x": ONE})):
            with pytest.raises(ServingError) as caught:
                await act
            assert caught.value.code == "IX640"
        assert states(lifecycle) == {("m", "1"): "READY"}

    serve(test, tmp_path / "models")


def test_loading_a_broken_model_tells_what_is_wrong_and_leaves_the_old_one(tmp_path):
    path = scaled(tmp_path / "m.onnx")

    async def test(lifecycle):
        broken(path)
        for _ in range(2):  # it is tried again when somebody asks
            with pytest.raises(InterchangeError) as caught:
                await lifecycle.load("m")
            assert caught.value.code == "IX302"
        assert await answer(lifecycle) == 2
        assert states(lifecycle) == {("m", "1"): "READY"}
        assert reason(lifecycle, "m").startswith("IX302")
        scaled(path, 3)
        await lifecycle.load("m")
        assert await answer(lifecycle) == 3
        assert reason(lifecycle, "m") == ""

    serve(test, tmp_path)


def test_deleting_the_files_unloads(tmp_path):
    for name in "ab":
        scaled(tmp_path / name / "1" / "model.onnx")
    scaled(tmp_path / "c.onnx")

    async def test(lifecycle):
        shutil.rmtree(tmp_path / "a")
        (tmp_path / "b" / "1" / "model.onnx").unlink()
        (tmp_path / "c.onnx").unlink()
        await lifecycle.look()
        assert set(states(lifecycle).values()) == {"READY"}  # they may be on their way back
        await lifecycle.look()
        assert states(lifecycle) == {("b", "1"): "UNAVAILABLE"}
        assert lifecycle.engine.models == {}

    serve(test, tmp_path)


def test_a_repository_that_is_away_unloads_nothing(tmp_path):
    root = tmp_path / "models"
    scaled(root / "m.onnx")

    async def test(lifecycle):
        root.rename(tmp_path / "away")
        await settle(lifecycle)
        await lifecycle.refresh()
        assert lifecycle.problem.code == "IX668"
        assert await answer(lifecycle) == 2
        with pytest.raises(ServingError) as caught:
            await lifecycle.load("m")
        assert caught.value.code == "IX668"
        (tmp_path / "away").rename(root)
        await settle(lifecycle)
        assert lifecycle.problem is None
        assert await answer(lifecycle) == 2

    serve(test, tmp_path / "models")


# -- under load -------------------------------------------------------------------------------------------------------
async def ask(lifecycle, answers):
    while True:
        answers.append(await answer(lifecycle))
        await asyncio.sleep(0)


def test_no_request_fails_while_models_are_replaced(tmp_path):
    """A good one, a broken one, half of one, none at all for a moment, and another good one."""
    path = scaled(tmp_path / "m.onnx", 1)
    whole = scaled(tmp_path / "x" / "whole", 4).read_bytes()

    async def test(lifecycle):
        answers = []
        clients = [asyncio.create_task(ask(lifecycle, answers)) for _ in range(4)]

        async def serves(value):
            await settle(lifecycle)
            seen = len(answers)
            while len(answers) < seen + 20:
                await asyncio.sleep(0)
            assert set(answers[seen + 8 :]) == {value}

        await serves(1)
        scaled(path, 2)
        await serves(2)
        broken(path)
        await serves(2)
        path.unlink()
        await lifecycle.look()
        with path.open("wb") as file:
            for at in range(0, len(whole), 20):
                file.write(whole[at : at + 20])
                file.flush()
                await lifecycle.look()
                assert len(lifecycle.index()) == 1
        await serves(4)
        assert {c.done() for c in clients} == {False}
        for client in clients:
            client.cancel()
        order = [value for value, _ in itertools.groupby(answers)]
        assert order == [1, 2, 4]

    serve(test, path)


def test_half_a_file_is_not_tried(tmp_path):
    path = scaled(tmp_path / "m.onnx")
    whole = path.read_bytes()
    tried = []

    def opener(name, version, path, settings, **kwargs):
        tried.append(Path(path).stat().st_size)
        return open_served(name, version, path, settings, **kwargs)

    async def test(lifecycle):
        for end in range(10, len(whole), 10):
            path.write_bytes(whole[:end])
            await lifecycle.look()
        path.write_bytes(whole)
        await settle(lifecycle)
        assert tried == [len(whole)] * 2

    serve(test, tmp_path, opener)


def test_an_unchanged_broken_file_is_tried_once(tmp_path):
    path = scaled(tmp_path / "m.onnx")
    tried = []

    def opener(*args, **kwargs):
        tried.append(args)
        return open_served(*args, **kwargs)

    async def test(lifecycle):
        broken(path)
        for _ in range(3):
            await settle(lifecycle)
        assert len(tried) == 2
        touch(path)
        await settle(lifecycle)
        assert len(tried) == 3

    serve(test, tmp_path, opener)


def test_requests_in_flight_are_answered_by_the_old_one(tmp_path):
    path = scaled(tmp_path / "m.onnx")

    async def test(lifecycle):
        old = lifecycle.engine.find("m")
        may_end = asyncio.Event()
        close = old.close

        async def slow_close(error=None):
            await may_end.wait()
            await close(error)

        old.close = slow_close
        scaled(path, 3)
        await lifecycle.load("m")  # does not wait for the old one
        assert await answer(lifecycle) == 3
        unloading = asyncio.create_task(lifecycle.unload("m"))
        while lifecycle.engine.models:
            await asyncio.sleep(0)
        assert states(lifecycle) == {("m", "1"): "UNLOADING"}
        assert not unloading.done()
        await lifecycle.load("m")  # nor does who loads it again
        assert states(lifecycle) == {("m", "1"): "READY"}
        may_end.set()
        await unloading
        assert await answer(lifecycle) == 3

    serve(test, tmp_path)


def test_data_files_that_are_written_over_do_not_end_the_server(tmp_path):
    """The runtime maps data files; a mapped file that gets shorter ends the process."""
    with_data(tmp_path / "m.onnx")
    script = f"""
import asyncio
import numpy as np
from interchange.serving.engine import Engine
from interchange.serving.lifecycle import Lifecycle

async def main():
    engine = Engine()
    lifecycle = Lifecycle(engine, {str(tmp_path)!r})
    await lifecycle.start()
    before = await engine.infer("m", {{"i": np.array([7, 19999])}})
    open({str(tmp_path / "m.onnx.data")!r}, "r+b").truncate(10)
    after = await engine.infer("m", {{"i": np.array([7, 19999])}})
    assert (before["y"] == after["y"]).all()
    for _ in range(4):
        await lifecycle.look()
    assert lifecycle.index()[0]["reason"].startswith("IX534"), lifecycle.index()
    await engine.infer("m", {{"i": np.array([19999])}})

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_files_that_change_while_they_are_loaded(tmp_path):
    path = scaled(tmp_path / "m.onnx")
    others = iter([3, 4])

    async def test(lifecycle):
        copy = shutil.copyfileobj

        def slowly(source, target, length):
            copy(source, target, length)
            for by in others:
                scaled(path, by)
                break

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shutil, "copyfileobj", slowly)
            scaled(path, 2.5)
            with pytest.raises(ServingError) as caught:
                await lifecycle.load("m")
        assert caught.value.code == "IX669"
        assert await answer(lifecycle) == 2
        await settle(lifecycle)
        assert await answer(lifecycle) == 3
        assert reason(lifecycle, "m") == ""

    serve(test, tmp_path)


def test_weights_that_are_shared_are_loaded_from_their_place(tmp_path):
    path = with_data(tmp_path / "m.onnx")
    seen = []

    def opener(name, version, path, settings, **kwargs):
        seen.append(Path(path))
        served = open_served(name, version, path, settings, **kwargs)
        if len(seen) == 2:
            touch(path)
        return served

    async def test(lifecycle):
        assert seen == [path]
        touch(path)
        with pytest.raises(ServingError) as caught:
            await lifecycle.load("m")
        assert caught.value.code == "IX669"  # there is no copy that stays as it was
        await lifecycle.load("m")
        assert states(lifecycle) == {("m", "1"): "READY"}

    serve(test, tmp_path, opener, defaults=ModelSettings(weights="shared"))


def test_copies_go_when_the_model_is_loaded_and_are_done_without_where_there_is_no_room(tmp_path, monkeypatch):
    with_data(tmp_path / "models" / "m.onnx")
    broken(tmp_path / "models" / "n.onnx")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    seen = []

    def opener(name, version, path, settings, **kwargs):
        seen.append(Path(path).relative_to(tmp_path).parts[0])
        return open_served(name, version, path, settings, **kwargs)

    async def test(lifecycle):
        assert seen == ["tmp", "tmp"]
        assert list((tmp_path / "tmp").iterdir()) == []
        assert "interchange-model" not in reason(lifecycle, "n")
        (tmp_path / "tmp").rmdir()
        touch(tmp_path / "models" / "m.onnx")
        await lifecycle.load("m")
        assert seen == ["tmp", "tmp", "models"]

    serve(test, tmp_path / "models", opener)


def test_data_files_are_not_copied_from_elsewhere(tmp_path):
    with_data(tmp_path / "outside" / "m.onnx")
    root = tmp_path / "models"
    root.mkdir()
    shutil.copy(tmp_path / "outside" / "m.onnx", root)
    (root / "m.onnx.data").symlink_to("../outside/m.onnx.data")

    async def test(lifecycle):
        assert reason(lifecycle, "m").startswith("IX304")

    serve(test, root)


# -- several at once --------------------------------------------------------------------------------------------------
def test_models_load_beside_each_other_and_one_model_never_twice(tmp_path):
    names = [f"m{i}" for i in range(8)]
    for name in names:
        scaled(tmp_path / f"{name}.onnx")
    now, most, lock = Counter(), Counter(), threading.Lock()

    def opener(name, *args, **kwargs):
        with lock:
            now[name] += 1
            most[name] = max(most[name], now[name])
            most["all"] = max(most["all"], now.total())
        try:
            return open_served(name, *args, **kwargs)
        finally:
            with lock:
                now[name] -= 1

    async def test(lifecycle):
        rng = random.Random(3)
        answers = []

        async def change(_):
            name = rng.choice(names)
            match rng.randrange(4):
                case 0:
                    await lifecycle.load(name)
                case 1:
                    await lifecycle.unload(name)
                case 2:
                    touch(tmp_path / f"{name}.onnx")
                    await lifecycle.look()
                case 3:
                    try:
                        answers.append(await answer(lifecycle, name))
                    except ServingError as error:
                        assert error.code == "IX642"  # noqa: PT017 - a race that may go either way

        await asyncio.gather(*map(change, range(150)))
        await asyncio.gather(*map(lifecycle.load, names))
        await lifecycle.refresh()
        assert states(lifecycle) == {(n, "1"): "READY" for n in names}
        assert [await answer(lifecycle, n) for n in names] == [2] * len(names)
        assert answers

    serve(test, tmp_path, opener)
    assert {most[n] for n in names} == {1}
    assert most["all"] <= MAX_LOADS


def test_a_model_that_takes_long_keeps_no_other_waiting(tmp_path):
    scaled(tmp_path / "slow.onnx")
    scaled(tmp_path / "quick.onnx")
    go, began = threading.Event(), threading.Event()

    def opener(name, *args, **kwargs):
        if name == "slow" and began.is_set():
            go.wait()
        return open_served(name, *args, **kwargs)

    async def test(lifecycle):
        began.set()
        scaled(tmp_path / "slow.onnx", 3)
        scaled(tmp_path / "quick.onnx", 3)
        watching = asyncio.create_task(lifecycle.watch())
        while await answer(lifecycle, "quick") != 3:
            await asyncio.sleep(0.01)
        assert await answer(lifecycle, "slow") == 2
        scaled(tmp_path / "quick.onnx", 4)
        while await answer(lifecycle, "quick") != 4:
            await asyncio.sleep(0.01)
        go.set()
        while await answer(lifecycle, "slow") != 3:
            await asyncio.sleep(0.01)
        watching.cancel()

    serve(test, tmp_path, opener, watch_seconds=0.02)


def test_a_load_goes_on_when_who_asked_for_it_has_gone(tmp_path):
    path = scaled(tmp_path / "m.onnx")

    async def test(lifecycle):
        scaled(path, 3)
        asking = asyncio.create_task(lifecycle.load("m"))
        while not lifecycle.models["m"].lock.locked():
            await asyncio.sleep(0)
        asking.cancel()
        while await answer(lifecycle) != 3:
            await asyncio.sleep(0)

    serve(test, tmp_path)


@pytest.mark.parametrize(("error", "code"), [(RuntimeError("oh"), "IX648"), (MemoryError(), "IX647")])
def test_whatever_goes_wrong_stays_with_its_model(tmp_path, error, code):
    scaled(tmp_path / "good.onnx")
    scaled(tmp_path / "bad.onnx")

    def opener(name, *args, **kwargs):
        if name == "bad":
            raise error
        return open_served(name, *args, **kwargs)

    async def test(lifecycle):
        assert states(lifecycle) == {("bad", "1"): "UNAVAILABLE", ("good", "1"): "READY"}
        assert reason(lifecycle, "bad").startswith(code)

    serve(test, tmp_path, opener)


def test_watching_goes_on_whatever_happens(tmp_path):
    path = scaled(tmp_path / "m.onnx")

    async def test(lifecycle):
        scan, failures = lifecycle.repository.scan, iter([OSError("oh"), RuntimeError("no")])

        def failing(**kwargs):
            for failure in failures:
                raise failure
            return scan(**kwargs)

        lifecycle.repository.scan = failing
        scaled(path, 3)
        watching = asyncio.create_task(lifecycle.watch())
        while await answer(lifecycle) != 3:
            await asyncio.sleep(0.01)
        watching.cancel()

    serve(test, tmp_path, watch_seconds=0.02)


# -- versions ---------------------------------------------------------------------------------------------------------
def version(root, number, by=None):
    return scaled(root / "m" / str(number) / "model.onnx", by or number)


@pytest.mark.parametrize(
    ("policy", "served"),
    [(1, ["10"]), (2, ["2", "10"]), (9, ["1", "2", "10"]), ("all", ["1", "2", "10"]), ((1, 2), ["1", "2"])],
)
def test_version_policy(tmp_path, policy, served):
    for number in (1, 2, 10):
        version(tmp_path, number)

    async def test(lifecycle):
        assert states(lifecycle) == {("m", v): "READY" for v in served}
        assert await answer(lifecycle) == int(served[-1])
        for v in served:
            assert await answer(lifecycle, version=v) == int(v)

    serve(test, tmp_path, defaults=ModelSettings(versions=policy))


def test_the_newest_version_that_works_is_served(tmp_path):
    version(tmp_path, 1)
    broken(version(tmp_path, 2))

    async def test(lifecycle):
        assert states(lifecycle) == {("m", "1"): "READY", ("m", "2"): "UNAVAILABLE"}
        assert await answer(lifecycle) == 1
        version(tmp_path, 2)
        await settle(lifecycle)
        assert states(lifecycle) == {("m", "2"): "READY"}
        (tmp_path / "m" / "3").mkdir()
        await settle(lifecycle)
        assert await answer(lifecycle) == 2
        version(tmp_path, 3)
        await settle(lifecycle)
        assert states(lifecycle) == {("m", "3"): "READY"}
        shutil.rmtree(tmp_path / "m" / "3")
        await settle(lifecycle)
        assert states(lifecycle) == {("m", "2"): "READY"}
        assert await answer(lifecycle) == 2

    serve(test, tmp_path)


def test_a_version_that_is_asked_for_and_missing_is_told(tmp_path):
    version(tmp_path, 1)

    async def test(lifecycle):
        assert states(lifecycle) == {("m", "1"): "READY", ("m", "7"): "UNAVAILABLE"}
        assert reason(lifecycle, "m", "7").startswith("IX662")
        with pytest.raises(ServingError) as caught:
            lifecycle.engine.find("m", "7")
        assert caught.value.code == "IX642"
        with pytest.raises(ServingError) as caught:
            lifecycle.engine.find("m", "8")
        assert caught.value.code == "IX641"

    serve(test, tmp_path, models={"m": ModelSettings(versions=(1, 7))})


# -- settings and config.pbtxt ----------------------------------------------------------------------------------------
def test_a_changed_config_loads_again_and_a_broken_one_changes_nothing(tmp_path):
    version(tmp_path, 1)
    version(tmp_path, 2)
    config = tmp_path / "m" / "config.pbtxt"

    async def test(lifecycle):
        config.write_text("version_policy { all {} } optimization { }")
        await settle(lifecycle)
        assert states(lifecycle) == {("m", "1"): "READY", ("m", "2"): "READY"}
        assert reason(lifecycle, "m") == "config.pbtxt: optimization: not done by this server"
        config.write_text("version_policy {")
        await settle(lifecycle)
        assert states(lifecycle) == {("m", "1"): "READY", ("m", "2"): "READY"}
        assert reason(lifecycle, "m").startswith("IX663")
        assert await answer(lifecycle, version="1") == 1
        with pytest.raises(ServingError) as caught:
            await lifecycle.load("m")
        assert caught.value.code == "IX663"
        config.unlink()
        await settle(lifecycle)
        assert states(lifecycle) == {("m", "2"): "READY"}
        assert reason(lifecycle, "m", "2") == ""

    serve(test, tmp_path)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ('max_batch_size: 8 input { name: "x" data_type: TYPE_FP32 dims: 3 }', True),
        ('max_batch_size: 0 input { name: "x" data_type: TYPE_FP32 dims: [-1, 3] }', True),
        ('output { name: "y" data_type: TYPE_FP32 dims: 3 }', True),
        ('output { name: "y" data_type: TYPE_FP32 dims: [-1, 3] }', True),
        ('max_batch_size: 8 input { name: "x" data_type: TYPE_FP32 dims: [-1, 3] }', False),
        ('max_batch_size: 0 input { name: "x" data_type: TYPE_FP32 dims: 3 }', False),
        ('input { name: "x" data_type: TYPE_FP32 dims: 4 }', False),
        ('input { name: "x" data_type: TYPE_FP32 dims: -1 }', False),
        ('input { name: "x" data_type: TYPE_INT64 dims: 3 }', False),
        ('input { name: "X" data_type: TYPE_FP32 dims: 3 }', False),
        ('output { name: "z" data_type: TYPE_FP32 dims: 3 }', False),
    ],
)
def test_a_config_that_declares_another_model(tmp_path, text, good):
    version(tmp_path, 1)
    (tmp_path / "m" / "config.pbtxt").write_text(text)

    async def test(lifecycle):
        assert states(lifecycle) == {("m", "1"): "READY" if good else "UNAVAILABLE"}
        assert good or reason(lifecycle, "m").startswith("IX664")

    serve(test, tmp_path)


def test_batching_that_is_asked_for_and_not_done_is_told(tmp_path):
    node_model(
        [helper.make_node("Softmax", ["x"], ["y"], axis=0)],
        [("x", FLOAT, ["batch", 3])],
        [("y", FLOAT, ["batch", 3])],
        tmp_path / "m" / "1" / "model.onnx",
    )
    (tmp_path / "m" / "config.pbtxt").write_text("max_batch_size: 8 dynamic_batching { }")

    async def test(lifecycle):
        assert "dynamic_batching is not done: the rows of y depend on each other" in reason(lifecycle, "m")

    serve(test, tmp_path)


def test_other_settings_load_again_what_they_change(tmp_path):
    for name in "ab":
        scaled(tmp_path / f"{name}.onnx")

    async def test(lifecycle):
        before = {n: lifecycle.engine.find(n) for n in "ab"}
        await lifecycle.refresh(Settings(models={"b": ModelSettings(max_batch=7)}))
        assert lifecycle.engine.find("a") is before["a"]
        assert lifecycle.engine.find("b") is not before["b"]
        assert lifecycle.engine.find("b").settings.max_batch == 7

    serve(test, tmp_path)
