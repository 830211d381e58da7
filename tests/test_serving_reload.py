"""Models change and go while requests are answered; what is broken, or half there, takes nothing away."""

import asyncio
import errno
import fcntl
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

import pytest
from repositories import answer, broken, deep, follow, reason, scaled, settle, states, touch, with_data

from interchange.protocol.errors import ServingError
from interchange.serving import snapshot
from interchange.serving.lifecycle import MAX_LOADS
from interchange.serving.settings import ModelSettings
from interchange.serving.trial import open_served


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

    follow(test, path)


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

    follow(test, tmp_path, opener)


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

    follow(test, tmp_path, opener)


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
        for _ in range(20):
            await asyncio.sleep(0)
        assert not unloading.done()
        await lifecycle.load("m")  # nor does who loads it again
        assert states(lifecycle) == {("m", "1"): "READY"}
        may_end.set()
        await unloading
        assert await answer(lifecycle) == 3

    follow(test, tmp_path)


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

    follow(test, tmp_path)


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

    follow(test, tmp_path, opener, defaults=ModelSettings(weights="shared"))


def locked(folder):
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def test_copies_go_when_the_model_is_loaded_and_are_done_without_where_there_is_no_room(tmp_path, monkeypatch):
    with_data(tmp_path / "models" / "m.onnx")
    broken(tmp_path / "models" / "n.onnx")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    seen = []

    def opener(name, version, path, settings, **kwargs):
        seen.append(Path(path).relative_to(tmp_path).parts[0])
        if seen[-1] == "tmp" and not locked(Path(path).parent):
            seen.append("taken for a leftover")
        return open_served(name, version, path, settings, **kwargs)

    async def test(lifecycle):
        assert seen == ["tmp", "tmp"]
        assert list((tmp_path / "tmp").glob("interchange-*")) == []
        assert "interchange-model" not in reason(lifecycle, "n")

        def full(source, target, length):
            target.write(b"x")
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(shutil, "copyfileobj", full)
        touch(tmp_path / "models" / "m.onnx")
        await lifecycle.load("m")
        assert seen == ["tmp", "tmp", "models"]
        assert list((tmp_path / "tmp").glob("interchange-*")) == []

    follow(test, tmp_path / "models", opener)


def test_what_a_killed_server_has_left_is_removed(tmp_path, monkeypatch):
    path = scaled(tmp_path / "m.onnx")
    temporary = tmp_path / "tmp"
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(snapshot, "_sweep", snapshot._sweep.__wrapped__)
    for name in ("left", "in-use", "young"):
        (temporary / f"interchange-model-{name}").mkdir(parents=True)
        if name != "young":
            os.utime(temporary / f"interchange-model-{name}", (0, 0))
    (temporary / "other").mkdir()
    os.utime(temporary / "other", (0, 0))
    (temporary / "interchange-model-left" / "m.onnx").write_bytes(b"x")
    os.utime(temporary / "interchange-model-left", (0, 0))
    lock = os.open(temporary / "interchange-model-in-use", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)

    async def test(lifecycle):
        assert states(lifecycle) == {("m", "1"): "READY"}

    follow(test, path)
    os.close(lock)
    assert {p.name for p in temporary.iterdir()} == {"interchange-model-in-use", "interchange-model-young", "other"}


def test_a_process_that_ends_in_the_middle_of_a_load_ends_well(tmp_path):
    """The runtime aborts when the interpreter goes while it loads."""
    deep(tmp_path / "models" / "m.onnx")
    script = f"""
import asyncio
import threading
from interchange.serving.engine import Engine
from interchange.serving.lifecycle import Lifecycle
from interchange.serving.trial import open_served

began = threading.Event()

def opener(*args, **kwargs):
    began.set()
    served = open_served(*args, **kwargs)
    print("loaded")
    return served

async def main():
    lifecycle = Lifecycle(Engine(), {str(tmp_path / "models")!r}, opener=opener)
    loading = asyncio.create_task(lifecycle.start())
    await asyncio.to_thread(began.wait)
    await lifecycle.close()
    print(loading.done())

asyncio.run(main())
"""
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout.split()) == (0, ["False", "loaded"]), done.stderr
    assert list((tmp_path / "tmp").glob("interchange-*")) == []


def test_data_files_are_not_copied_from_elsewhere(tmp_path):
    with_data(tmp_path / "outside" / "m.onnx")
    root = tmp_path / "models"
    root.mkdir()
    shutil.copy(tmp_path / "outside" / "m.onnx", root)
    (root / "m.onnx.data").symlink_to("../outside/m.onnx.data")

    async def test(lifecycle):
        assert reason(lifecycle, "m").startswith("IX304")

    follow(test, root)


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

    follow(test, tmp_path, opener)
    assert {most[n] for n in names} == {1}
    assert most["all"] <= MAX_LOADS


def test_so_many_models_load_at_once_and_no_more(tmp_path):
    for i in range(8):
        scaled(tmp_path / f"m{i}.onnx")
    go, began = threading.Event(), []

    def opener(name, *args, **kwargs):
        began.append(name)
        go.wait()
        return open_served(name, *args, **kwargs)

    async def test(lifecycle):
        starting = asyncio.create_task(lifecycle.start())
        while not began:
            await asyncio.sleep(0)
        assert 1 <= sum(t.name.startswith("load-m") for t in threading.enumerate()) <= MAX_LOADS
        go.set()
        await starting
        assert len(lifecycle.index(ready_only=True)) == 8

    follow(test, tmp_path, opener, start=False)


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
        while lifecycle.models["quick"].lock.locked():
            await asyncio.sleep(0)
        for _ in range(5):
            await lifecycle._look(at_once=False)
        assert len(lifecycle._tasks) <= 2  # nothing queues up behind it
        scaled(tmp_path / "quick.onnx", 4)
        while await answer(lifecycle, "quick") != 4:
            await asyncio.sleep(0.01)
        go.set()
        while await answer(lifecycle, "slow") != 3:
            await asyncio.sleep(0.01)
        watching.cancel()

    follow(test, tmp_path, opener, watch_seconds=0.02)


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

    follow(test, tmp_path)


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

    follow(test, tmp_path, opener)


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

    follow(test, tmp_path, watch_seconds=0.02)
