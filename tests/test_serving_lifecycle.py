"""Models of a repository are loaded and unloaded, by version and as their settings say."""

import asyncio
import shutil
import threading

import pytest
from onnx import helper
from repositories import FLOAT, ONE, answer, broken, follow, reason, scaled, settle, states
from serving import node_model

from interchange.errors import InterchangeError
from interchange.protocol.errors import ServingError
from interchange.serving.settings import ModelSettings, Settings
from interchange.serving.trial import open_served


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

    follow(test, tmp_path)


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

    follow(test, tmp_path)


def test_an_empty_folder_is_ready(tmp_path):
    async def test(lifecycle):
        assert lifecycle.ready
        assert lifecycle.index() == []

    follow(test, tmp_path)


def test_while_models_load(tmp_path):
    scaled(tmp_path / "m.onnx")
    scaled(tmp_path / "quick.onnx")
    go = threading.Event()

    def opener(name, *args, **kwargs):
        if name == "m":
            go.wait()
        return open_served(name, *args, **kwargs)

    async def test(lifecycle):
        starting = asyncio.create_task(lifecycle.start())
        while states(lifecycle) != {("m", "1"): "LOADING", ("quick", "1"): "READY"}:
            await asyncio.sleep(0)
        assert await answer(lifecycle, "quick") == 2
        assert not lifecycle.ready
        with pytest.raises(ServingError) as caught:
            lifecycle.engine.find("m")
        assert (caught.value.code, caught.value.retry_after) == ("IX642", 1)
        go.set()
        await starting
        assert lifecycle.ready
        assert await answer(lifecycle) == 2

    follow(test, tmp_path, opener, start=False)


def test_one_file(tmp_path):
    path = scaled(tmp_path / "m.onnx")
    scaled(tmp_path / "other.onnx")

    async def test(lifecycle):
        assert states(lifecycle) == {("m", "1"): "READY"}
        scaled(path, 5)
        await settle(lifecycle)
        assert await answer(lifecycle) == 5

    follow(test, path)


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

    follow(test, tmp_path)


def test_loading_what_has_not_changed_does_nothing(tmp_path):
    scaled(tmp_path / "m.onnx")

    async def test(lifecycle):
        before = lifecycle.engine.find("m")
        await lifecycle.load("m")
        await lifecycle.refresh()
        await settle(lifecycle)
        assert lifecycle.engine.find("m") is before

    follow(test, tmp_path)


def test_what_failed_is_tried_again_when_somebody_asks(tmp_path):
    scaled(tmp_path / "m.onnx")
    failures = iter([MemoryError()])

    def opener(*args, **kwargs):
        for failure in failures:
            raise failure
        return open_served(*args, **kwargs)

    async def test(lifecycle):
        await settle(lifecycle)
        await lifecycle.refresh()
        assert states(lifecycle) == {("m", "1"): "UNAVAILABLE"}
        await lifecycle.load("m")
        assert await answer(lifecycle) == 2

    follow(test, tmp_path, opener)


@pytest.mark.parametrize("shared", [True, False])
def test_a_reason_has_no_path_of_the_machine(tmp_path, shared):
    scaled(tmp_path / "m.onnx")

    def opener(name, version, path, settings, **kwargs):
        raise ServingError("IX666", f"{path} cannot be loaded", found=f"the runtime says: {path}: no\nand more")

    async def test(lifecycle):
        assert reason(lifecycle, "m") == "IX666: m.onnx cannot be loaded; found: the runtime says: m.onnx: no and more"

    follow(test, tmp_path, opener, defaults=ModelSettings(weights="shared" if shared else "private"))


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

    follow(test, tmp_path / "models")


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

    follow(test, tmp_path)


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

    follow(test, tmp_path)


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

    follow(test, tmp_path / "models")


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

    follow(test, tmp_path, defaults=ModelSettings(versions=policy))


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

    follow(test, tmp_path)


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

    follow(test, tmp_path, models={"m": ModelSettings(versions=(1, 7))})


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

    follow(test, tmp_path)


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

    follow(test, tmp_path)


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

    follow(test, tmp_path)


def test_other_settings_load_again_what_they_change(tmp_path):
    for name in "ab":
        scaled(tmp_path / f"{name}.onnx")

    async def test(lifecycle):
        before = {n: lifecycle.engine.find(n) for n in "ab"}
        await lifecycle.refresh(Settings(models={"b": ModelSettings(max_batch=7)}))
        assert lifecycle.engine.find("a") is before["a"]
        assert lifecycle.engine.find("b") is not before["b"]
        assert lifecycle.engine.find("b").settings.max_batch == 7

    follow(test, tmp_path)


def test_what_changes_nothing_about_a_loaded_version_does_not_load_it_again(tmp_path):
    for number in (1, 2):
        version(tmp_path, number)

    async def test(lifecycle):
        before, told = lifecycle.engine.find("m"), []
        lifecycle.engine.listeners.append(told.append)
        await settle(lifecycle)
        assert told == []
        settings = ModelSettings(versions="all", canary={"2": 1.0})
        await lifecycle.refresh(Settings(models={"m": settings}))
        assert lifecycle.engine.find("m", "2") is before
        assert before.settings == settings
        assert await answer(lifecycle) == 2
        assert lifecycle.engine.find("m").version == "1"
        settings = ModelSettings(versions="all")
        await lifecycle.refresh(Settings(models={"m": settings}))
        assert lifecycle.engine.find("m") is before
        assert told == ["m"]

    follow(test, tmp_path)
