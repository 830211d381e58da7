"""Pipelines: several models behind one name, checked as a whole, run together, failing with the step named."""

import asyncio

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper
from pipelining import DIAMOND, FLOAT, INT64, TWO, models, op, rows, served
from serving import node_model, scaled, spinning

import interchange as ix
from interchange.errors import InterchangeError
from interchange.protocol.errors import ServingError
from interchange.serving.operations import model_config
from interchange.serving.settings import ModelSettings
from interchange.serving.trial import open_served
from interchange.serving.wiring import PipelineError


# -- answers ----------------------------------------------------------------------------------------------------------
def test_a_pipeline_is_asked_like_a_model(tmp_path):
    async def test(engine, pipelines):
        pipeline = engine.find("p")
        answer = await engine.infer("p", {"image": rows(2, 4)})
        one = await engine.infer("p", {"image": rows(1, 4)}, outputs=["first"])
        return pipeline.metadata(["1"]), answer, one, pipelines.index(), pipeline.statistics, engine.find("add")

    metadata, answer, one, index, statistics, add = served(test, tmp_path, {"p": DIAMOND})
    assert metadata == {
        "name": "p",
        "versions": ["1"],
        "platform": "interchange_pipeline",
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [
            {"name": "sum", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "first", "datatype": "FP32", "shape": [-1, 3]},
        ],
    }
    assert {n: a.tolist() for n, a in answer.items()} == {"sum": rows(2, 10).tolist(), "first": rows(2, 8).tolist()}
    assert list(one) == ["first"]
    assert index == [{"name": "p", "version": "1", "state": "READY", "reason": ""}]
    assert statistics.phases["request"].count == statistics.inferences == 2
    assert add.statistics.executions == 1, "a step that no wanted output needs is not run"


def test_its_configuration_is_that_of_an_ensemble(tmp_path):
    async def test(engine, pipelines):
        return model_config(engine.find("p"))

    config = served(test, tmp_path, {"p": DIAMOND})
    assert (config["platform"], config["max_batch_size"], config["input"][0]["dims"]) == ("ensemble", 0, [-1, 3])
    step, left, _ = config["ensemble_scheduling"]["step"]
    assert (step["model_name"], step["model_version"]) == ("add", "-1")
    assert (step["input_map"], step["output_map"]) == ({"a": "first", "b": "right.y"}, {"s": "sum"})
    assert (left["input_map"], left["output_map"]) == ({"x": "image"}, {"y": "first"})


def test_requests_at_one_time_share_the_runs_of_the_steps(tmp_path):
    async def test(engine, pipelines):
        answers = await asyncio.gather(*(engine.infer("p", {"image": rows(n + 1, n)}) for n in range(6)))
        return answers, {n: engine.find(n).statistics.executions for n in ("double", "half", "add")}

    answers, runs = served(test, tmp_path, {"p": DIAMOND})
    assert [a["sum"].tolist() for a in answers] == [rows(n + 1, 2.5 * n).tolist() for n in range(6)]
    assert runs == {"double": 1, "half": 1, "add": 1}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.sampled_from([None, ["sum"], ["first"], ["first", "sum"]]), st.integers(0, 4)),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 2**32 - 1),
)
def test_what_a_pipeline_answers_is_what_its_models_answer_one_after_another(tmp_path, requests, seed):
    rng = np.random.default_rng(seed)
    feeds = [rng.standard_normal((n, 3)).astype(np.float32) for n, _, _ in requests]
    loaded = {n: ix.load(p) for n, p in models(tmp_path).items() if n in ("double", "half", "add")}

    async def test(engine, pipelines):
        calls = zip(feeds, requests, strict=True)
        return await asyncio.gather(
            *(engine.infer("p", {"image": x}, outputs=wanted, priority=p) for x, (_, wanted, p) in calls)
        )

    for x, (_, wanted, _), answer in zip(feeds, requests, served(test, tmp_path, {"p": DIAMOND}), strict=True):
        left, right = loaded["double"].run(x=x)["y"], loaded["half"].run(x=x)["y"]
        expected = {"sum": loaded["add"].run(a=left, b=right)["s"], "first": left}
        assert list(answer) == (wanted or ["sum", "first"])
        for name, array in answer.items():
            np.testing.assert_array_equal(array, expected[name])


def test_steps_share_runs_with_who_asks_their_model(tmp_path):
    async def test(engine, pipelines):
        await asyncio.gather(engine.infer("p", {"image": rows(1)}), engine.infer("double", {"x": rows(1)}))
        return engine.find("double").statistics.executions

    assert served(test, tmp_path, {"p": DIAMOND}) == 1


def test_the_priority_of_a_request_is_that_of_its_steps(tmp_path):
    async def test(engine, pipelines):
        seen = {}
        for name in ("double", "half", "add"):
            batcher = engine.find(name).batcher
            add = batcher.add
            batcher.add = lambda call, name=name, add=add: (seen.setdefault(name, call.priority), add(call))
        await engine.infer("p", {"image": rows(1)}, priority=7)
        return seen

    assert served(test, tmp_path, {"p": DIAMOND}) == {"double": 7, "half": 7, "add": 7}


def test_an_input_with_a_default_may_be_left_out_where_all_that_read_it_have_one(tmp_path):
    factor = helper.make_tensor("f", FLOAT, [1], [10.0])
    ports = [("x", FLOAT, ["n", 3]), ("f", FLOAT, [1])], [("y", FLOAT, ["n", 3])]
    nodes = [helper.make_node("Mul", ["x", "f"], ["y"])]
    paths = {
        "default": node_model(nodes, *ports, tmp_path / "default.onnx", initializers=[factor]),
        "strict": node_model(nodes, *ports, tmp_path / "strict.onnx"),
    }
    texts = {
        "none": TWO.format("default", "default"),
        "one": TWO.format("default", "strict").replace('["x"]', '["x", "f"]').replace('"x"}', '"x", f = "f"}')
        .replace('"a.y"}', '"a.y", f = "f"}'),
    }  # fmt: skip
    texts["both"] = texts["one"].replace("strict", "default")

    async def test(engine, pipelines):
        for name, path in paths.items():
            opened = await asyncio.to_thread(open_served, name, "1", path, ModelSettings())
            engine.replace(name, [opened])
        five = {"x": rows(1), "f": np.full(1, 5, np.float32)}
        answers = [("none", {"x": rows(1)}), ("both", {"x": rows(1)}), ("both", five), ("one", five)]
        found = [float((await engine.infer(name, feeds))["y"][0, 0]) for name, feeds in answers]
        with pytest.raises(InterchangeError) as error:
            await engine.infer("one", {"x": rows(1)})
        return found, error.value.code, pipelines.problems

    assert served(test, tmp_path, texts, only=()) == ([100, 100, 25, 25], "IX601", {})


def test_a_pipeline_may_be_a_step_of_another(tmp_path):
    outer = """
    inputs = ["x"]
    outputs = {y = "last.y"}
    [steps.inner]
    model = "p"
    inputs = {image = "x"}
    [steps.last]
    model = "double"
    inputs = {x = "inner.sum"}
    """

    async def test(engine, pipelines):
        answers = await asyncio.gather(*(engine.infer("outer", {"x": rows(1, n)}) for n in range(3)))
        return [float(a["y"][0, 0]) for a in answers]

    assert served(test, tmp_path, {"outer": outer, "p": DIAMOND}) == [0, 5, 10]


def test_the_names_of_sizes_are_those_of_all_steps(tmp_path):
    """A size that one step fixes is fixed for the whole pipeline, whatever the other steps call it."""
    text = """
    inputs = ["x"]
    outputs = {y = "b.y"}
    [steps.a]
    model = "open"
    inputs = {x = "x"}
    [steps.b]
    model = "four"
    inputs = {x = "a.y"}
    """

    async def test(engine, pipelines):
        with pytest.raises(InterchangeError) as error:
            await engine.infer("p", {"x": rows(5)})
        return engine.find("p"), error.value, await engine.infer("p", {"x": rows(4)})

    pipeline, error, answer = served(test, tmp_path, {"p": text}, only=("open", "four"))
    assert [p.shape for p in (*pipeline.inputs.values(), *pipeline.outputs.values())] == [(4, 3), (4, 3)]
    assert (error.code, error.found) == ("IX604", "float32[5, 3]")
    assert answer["y"].tolist() == rows(4).tolist()


# -- failing ----------------------------------------------------------------------------------------------------------
GATHER = """
inputs = ["x", "i"]
outputs = {y = "pick.y", d = "double.y"}
[steps.double]
model = "double"
inputs = {x = "x"}
[steps.pick]
model = "pick"
inputs = {data = "double.y", i = "i"}
"""


def pick(path):
    """A model that fails for an index out of range."""
    return node_model(
        [helper.make_node("Gather", ["data", "i"], ["y"], axis=1)],
        [("data", FLOAT, ["n", 3]), ("i", INT64, ["k"])],
        [("y", FLOAT, ["n", "k"])],
        path,
    )


def test_an_error_names_the_step_and_its_neighbours_are_answered(tmp_path):
    async def test(engine, pipelines):
        engine.replace("pick", [await asyncio.to_thread(open_served, "pick", "1", pick(tmp_path / "p.onnx"),
                                                        ModelSettings())])  # fmt: skip
        feeds = [{"x": rows(1, n), "i": np.array([i])} for n, i in ((1, 0), (2, 9), (3, 2))]
        found = await asyncio.gather(*(engine.infer("p", f) for f in feeds), return_exceptions=True)
        return found, engine.find("p").statistics

    (first, error, last), statistics = served(test, tmp_path, {"p": GATHER}, only=("double",))
    assert (first["y"].item(), last["y"].item()) == (2, 6)
    assert isinstance(error, ServingError)
    assert error.code == "IX611"
    assert error.message.startswith("step pick: ")
    assert statistics.failures == {"OTHER": 1}


def test_inputs_that_a_step_refuses_name_the_step(tmp_path):
    """The pipeline knows names, dtypes and axes; bounds of a step's own are the step's to tell."""
    text = DIAMOND.replace('a = "left.y", b = "right.y"', 'a = "left.y", b = "other"').replace(
        '["image"]', '["image", "other"]'
    ).replace('[steps.right]\nmodel = "half"\nversion = "1"\ninputs = {x = "image"}\n', "")  # fmt: skip

    async def test(engine, pipelines):
        found = []
        for feeds in ({"image": rows(2)}, {"image": rows(2), "other": rows(3)}, {"image": rows(2).tolist(), "x": 1}):
            with pytest.raises(InterchangeError) as error:
                await engine.infer("p", feeds)
            found.append(error.value)
        return found

    missing, unequal, unknown = served(test, tmp_path, {"p": text})
    assert (missing.code, missing.expected) == ("IX601", "other: float32[batch, 3]")
    assert unequal.code == "IX605"
    assert "batch is one size" in unequal.message
    assert [p.code for p in unknown.problems] == ["IX602", "IX601"]


def test_a_deadline_and_a_cancellation_reach_the_step_that_runs(tmp_path):
    text = """
    inputs = ["n"]
    outputs = {y = "spin.y"}
    [steps.spin]
    model = "spin"
    inputs = {n = "n"}
    """
    forever = {"n": np.array([2**40])}

    async def test(engine, pipelines):
        opened = await asyncio.to_thread(open_served, "spin", "1", spinning(tmp_path / "s.onnx"), ModelSettings())
        engine.replace("spin", [opened])
        with pytest.raises(ServingError) as error:
            await engine.infer("p", forever, timeout=0.05)
        task = asyncio.ensure_future(engine.infer("p", forever))
        while not engine.find("p").batcher.running:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        answer = await engine.infer("p", {"n": np.array([1])})
        await opened.close()  # returns only when nothing runs any more
        return error.value, answer, engine.find("p").statistics, engine.find("p").batcher

    error, answer, statistics, conductor = served(test, tmp_path, {"p": text}, only=())
    assert error.code == "IX644"
    assert error.message.startswith("step spin: ")
    assert answer["y"].shape == (64,)
    assert statistics.failures == {"CANCELED": 2}
    assert not conductor.running


def test_a_full_queue_of_a_step_is_told_with_when_to_come_again(tmp_path):
    async def test(engine, pipelines):
        calls = (engine.infer("p", {"image": rows(1)}) for _ in range(4))
        return await asyncio.gather(*calls, return_exceptions=True)

    found = served(test, tmp_path, {"p": DIAMOND}, max_queue=2)
    full = [e for e in found if isinstance(e, ServingError)]
    assert [(e.code, e.message, e.retry_after) for e in full] == [
        ("IX643", "too many requests are in this pipeline", 1)
    ] * 2
    assert len([f for f in found if isinstance(f, dict)]) == 2


def test_a_step_that_takes_nothing_more_ends_the_others_of_the_request(tmp_path):
    async def test(engine, pipelines):
        path = models(tmp_path)["half"]
        engine.replace("half", [await asyncio.to_thread(open_served, "half", "1", path, ModelSettings(max_queue=1))])
        direct = asyncio.ensure_future(engine.infer("half", {"x": rows(1)}))
        await asyncio.sleep(0)
        with pytest.raises(ServingError) as error:
            await engine.infer("p", {"image": rows(1)})
        waiting = engine.find("double").batcher.waiting
        await direct
        return error.value, waiting, engine.find("p").batcher.running

    error, waiting, running = served(test, tmp_path, {"p": DIAMOND})
    assert (error.code, error.retry_after) == ("IX643", 1.0)
    assert error.message.startswith("step right: too many requests wait")
    assert (waiting, running) == (0, {})


def test_closing_answers_what_is_under_way_at_any_step(tmp_path):
    async def test(engine, pipelines):
        tasks = [asyncio.ensure_future(engine.infer("p", {"image": rows(1, n)})) for n in range(3)]
        await asyncio.sleep(0)
        await engine.close()
        return [float((await t)["sum"][0, 0]) for t in tasks]

    assert served(test, tmp_path, {"p": DIAMOND}) == [0, 2.5, 5]


def test_closing_with_an_error_fails_what_is_under_way(tmp_path):
    async def test(engine, pipelines):
        task = asyncio.ensure_future(engine.infer("p", {"image": rows(1)}))
        await asyncio.sleep(0)
        await engine.close(ServingError("IX645", "the server is going down"))
        with pytest.raises(ServingError) as error:
            await task
        return error.value

    assert served(test, tmp_path, {"p": DIAMOND}).code == "IX645"


# -- reloads ----------------------------------------------------------------------------------------------------------
def test_a_pipeline_follows_its_steps(tmp_path):
    async def test(engine, pipelines):
        async def put(name, path):
            for old in engine.replace(name, [await asyncio.to_thread(open_served, name, "1", path, ModelSettings())]):
                await old.close()

        seen = [pipelines.index()[0]["state"]]
        before = engine.find("p")
        await put("half", scaled(tmp_path / "new.onnx", 10.0))
        seen.append(float((await engine.infer("p", {"image": rows(1)}))["sum"][0, 0]))
        same = engine.find("p") is before
        await put("half", op(tmp_path / "other.onnx", "Neg", ("x",), dtype=INT64))
        with pytest.raises(ServingError) as unfit:
            await engine.infer("p", {"image": rows(1)})
        engine.replace("half", [])
        gone = pipelines.index()[0]
        others = (await engine.infer("double", {"x": rows(1)}))["y"].tolist()
        await put("half", scaled(tmp_path / "again.onnx", 0.5))
        seen.append(float((await engine.infer("p", {"image": rows(1)}))["sum"][0, 0]))
        return seen, same, unfit.value, gone, others, pipelines.index()[0]

    seen, same, unfit, gone, others, back = served(test, tmp_path, {"p": DIAMOND})
    assert seen == ["READY", 12.0, 2.5]
    assert same, "a step that fits as the one before keeps the pipeline, and what it has counted"
    assert unfit.code == "IX640"  # no repository stands behind this engine, to say why
    assert gone["state"] == "UNAVAILABLE"
    assert gone["reason"].startswith("p.toml:12: IX691: step right: there is no model 'half'; found: half")
    assert others == rows(1, 2).tolist()
    assert back == {"name": "p", "version": "1", "state": "READY", "reason": ""}


def test_a_step_with_another_signature_that_fits_gives_the_pipeline_another_one(tmp_path):
    text = TWO.format("open", "four")

    async def test(engine, pipelines):
        shapes = [engine.find("p").inputs["x"].shape]
        path = op(tmp_path / "new.onnx", "Neg", ("x",), shape=(4, "k"))
        for name in ("open", "four"):
            engine.replace(name, [await asyncio.to_thread(open_served, name, "1", path, ModelSettings())])
        shapes.append(engine.find("p").inputs["x"].shape)
        return shapes, (await engine.infer("p", {"x": np.ones((4, 7), np.float32)}))["y"].shape

    found = served(test, tmp_path, {"p": text}, only=("open", "four"))
    assert found == ([(4, 3), (4, -1)], (4, 7))


def test_a_step_that_no_longer_fits_is_the_reason_why_a_pipeline_is_not_served(tmp_path):
    async def test(engine, pipelines):
        path = op(tmp_path / "other.onnx", "Neg", ("x",), dtype=INT64)
        engine.replace("half", [await asyncio.to_thread(open_served, "half", "1", path, ModelSettings())])
        error = pipelines.unavailable("p")
        return error, pipelines.problems["p"]

    error, problem = served(test, tmp_path, {"p": DIAMOND})
    assert error.code == "IX642"
    assert "p.toml:7: IX693: step join: input b gets another dtype" in error.found
    assert {p.code for p in problem.problems} == {"IX693"}


def test_a_file_that_changed_is_followed_and_a_broken_one_is_told(tmp_path):
    async def test(engine, pipelines):
        path, found = tmp_path / "p.toml", []
        path.write_text(DIAMOND.replace("right.y", "left.y"))
        with pytest.raises(PipelineError) as error:
            await pipelines.load("p")  # step right is of no use now
        found.append(error.value.code)
        path.write_text(DIAMOND.replace('"double"', '"half"'))
        await pipelines.follow()
        found.append(float((await engine.infer("p", {"image": rows(1, 4)}))["sum"][0, 0]))
        path.write_text("inputs = [")
        await pipelines.follow()
        row = pipelines.index()[0]
        found.append((row["state"], row["reason"].startswith("p.toml: IX690"), "still answers" in row["reason"]))
        path.write_text(DIAMOND.replace('"half"', '"ints"'))
        await pipelines.follow()
        row = pipelines.index()[0]
        found.append((row["state"], row["reason"].startswith("p.toml:7: IX693"), "still answers" in row["reason"]))
        found.append(float((await engine.infer("p", {"image": rows(1, 4)}))["sum"][0, 0]))
        path.write_text(DIAMOND)
        await pipelines.load("p")
        await pipelines.unload("p")
        found.append(pipelines.index()[0]["reason"])
        await pipelines.load("p")
        found.append(pipelines.index()[0]["state"])
        await pipelines.follow({})
        return found, pipelines.index(), "p" in engine.models

    found, index, there = served(test, tmp_path, {"p": DIAMOND}, only=("double", "half", "add", "ints"))
    kept = ("READY", True, True)
    assert found == ["IX699", 4.0, kept, kept, 4.0, "unloaded", "READY"]
    assert (index, there) == ([], False)


def test_pipelines_of_each_other_are_none(tmp_path):
    def through(model):
        return f'inputs = ["x"]\noutputs = {{y = "a.y"}}\n[steps.a]\nmodel = "{model}"\ninputs = {{x = "x"}}\n'

    async def test(engine, pipelines):
        return {n: (e.code, e.found) for n, e in pipelines.problems.items()}

    files = {
        "a": through("b"),
        "b": through("c"),
        "c": through("a"),
        "fine": through("double"),
        "self": through("self"),
    }
    found = served(test, tmp_path, files)
    assert found == {
        "a": ("IX694", "a <- b <- c <- a"),
        "b": ("IX694", "b <- c <- a <- b"),
        "c": ("IX694", "c <- a <- b <- c"),
        "self": ("IX694", "self <- self"),
    }


def test_a_pipeline_cannot_have_the_name_of_a_model(tmp_path):
    async def test(engine, pipelines):
        return pipelines.problems["half"].code, await engine.infer("half", {"x": rows(1, 2)})

    code, answer = served(test, tmp_path, {"half": DIAMOND})
    assert code == "IX690"
    assert answer["y"].tolist() == rows(1).tolist()
