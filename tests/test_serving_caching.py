"""The response cache: hits are exact, bounded, never of what is random, and never another model's."""

import asyncio

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from serving import identity, node_model, scaled, serve

import interchange as ix
from interchange.protocol.errors import ServingError
from interchange.serving.calls import FutureCall
from interchange.serving.settings import ModelSettings
from interchange.serving.trial import open_served

FLOAT = TensorProto.FLOAT


def rows(value=1.0, count=1):
    return {"x": np.full((count, 3), value, np.float32)}


def cache_of(served):
    return served.own_stages[0]


def test_a_request_that_comes_again_is_answered_without_a_run(tmp_path):
    async def test(engine, served):
        answers = [await engine.infer("m", rows(v)) for v in (1, 2, 1, 1)]
        return [a["y"].tolist() for a in answers], served.statistics

    answers, statistics = serve(test, scaled(tmp_path / "m.onnx"), cache=10)
    assert answers == [[[2.0] * 3], [[4.0] * 3], [[2.0] * 3], [[2.0] * 3]]
    assert (statistics.executions, statistics.cache_hits, statistics.cache_misses) == (2, 2, 2)
    assert statistics.cache_hit_ns > 0
    assert statistics.cache_miss_ns > 0
    assert statistics.phases["request"].count == 4
    assert statistics.snapshot()["cache"][0::2] == [2, 2]


def test_the_answer_of_a_hit_is_the_callers_own(tmp_path):
    async def test(engine, served):
        for _ in range(3):
            answer = (await engine.infer("m", rows()))["y"]
            assert answer.tolist() == [[2.0] * 3]
            answer += 1

    serve(test, scaled(tmp_path / "m.onnx"), cache=10)


def test_the_least_recently_asked_for_goes_first(tmp_path):
    async def test(engine, served):
        for value in (1, 2, 1, 3, 1, 2):
            await engine.infer("m", rows(value))
        return served.statistics.cache_hits, len(cache_of(served))

    assert serve(test, scaled(tmp_path / "m.onnx"), cache=2) == (2, 2)  # 1 twice; 2 had to go for 3


def test_bytes_bound_it_as_well_and_what_is_larger_is_not_kept(tmp_path):
    async def test(engine, served):
        cache = cache_of(served)
        for value in range(50):
            await engine.infer("m", rows(value, 100))
            assert cache.held <= 5000
        kept = len(cache)
        await engine.infer("m", rows(1, 1000))
        return kept, len(cache)

    kept, after = serve(test, scaled(tmp_path / "m.onnx"), cache=1000, cache_bytes=5000)
    assert 1 <= kept <= 4
    assert after == kept, "one answer above the bound drives nobody out"


def test_a_row_of_a_batch_does_not_hold_on_to_the_batch(tmp_path):
    async def test(engine, served):
        await asyncio.gather(*(engine.infer("m", rows(n)) for n in range(8)))
        assert served.statistics.executions == 1
        return [o.base for outputs, _ in cache_of(served)._kept.values() for o in outputs]

    assert serve(test, scaled(tmp_path / "m.onnx"), cache=10) == [None] * 8


def test_other_outputs_are_another_request(tmp_path):
    path = node_model(
        [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])],
        [("x", FLOAT, ["batch", 3])],
        [("y", FLOAT, ["batch", 3]), ("z", FLOAT, ["batch", 3])],
        tmp_path / "m.onnx",
    )

    async def test(engine, served):
        wanted = (None, ["y"], ["z"], ["z", "y"], ["y", "z"])
        answers = [await engine.infer("m", rows(), outputs=w) for w in wanted * 2]
        return [{n: float(a[0, 0]) for n, a in answer.items()} for answer in answers], served.statistics.cache_hits

    answers, hits = serve(test, path, cache=10)
    expected = [{"y": 1, "z": -1}, {"y": 1}, {"z": -1}, {"z": -1, "y": 1}, {"y": 1, "z": -1}]
    assert answers == expected * 2
    assert [list(a) for a in answers] == [list(e) for e in expected * 2]
    assert hits == 6  # all of them in their order is what is asked for without names


def test_what_differs_in_one_bit_is_another_request(tmp_path):
    async def test(engine, served):
        for value in (0.0, -0.0, np.nan, np.float32(1), np.nextafter(np.float32(1), np.float32(2))):
            await engine.infer("m", rows(value))
        return served.statistics.cache_hits

    assert serve(test, scaled(tmp_path / "m.onnx"), cache=10) == 0


def test_texts_are_told_apart_where_they_begin_and_end(tmp_path):
    path = identity(tmp_path / "m.onnx", {"BYTES": TensorProto.STRING})

    async def test(engine, served):
        pairs = (["ab", "c"], ["a", "bc"], ["", "abc"], ["ab", "c"])
        answers = [await engine.infer("m", {"x_BYTES": np.array([p], object)}) for p in pairs]
        return [a["y_BYTES"].tolist()[0] for a in answers], served.statistics.cache_hits

    answers, hits = serve(test, path, cache=10)
    assert answers == [["ab", "c"], ["a", "bc"], ["", "abc"], ["ab", "c"]]
    assert hits == 1


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 3), st.sampled_from(["FP32", "INT64", "BYTES", "FP16", "BOOL"])),
        min_size=1,
        max_size=40,
    )
)
def test_cached_answers_are_those_of_a_run(tmp_path, requests):
    """Few values, several dtypes and shapes, so that many come again: no answer is another request's."""
    dtypes = {"FP32": 1, "INT64": 7, "BYTES": 8, "FP16": 10, "BOOL": 9}
    path = identity(tmp_path / "m.onnx", dtypes)
    model = ix.load(path)
    feeds = []
    for count, value, kind in requests:
        feed = {n: np.zeros((count, 2), s.dtype) for n, s in model.inputs.items()}
        feed["x_BYTES"] = np.full((count, 2), "", object)
        feed[f"x_{kind}"][:] = str(value) if kind == "BYTES" else value
        feeds.append(feed)

    async def test(engine, served):
        halves = (feeds[: len(feeds) // 2], feeds[len(feeds) // 2 :])
        return [a for half in halves for a in await asyncio.gather(*(engine.infer("m", f) for f in half))]

    for feed, answer in zip(feeds, serve(test, path, cache=8), strict=True):
        for name, array in model.run(feed).items():
            assert answer[name].dtype == array.dtype
            np.testing.assert_array_equal(answer[name], array)


def test_the_same_bytes_in_another_shape_or_dtype_are_another_request(tmp_path):
    path = node_model(
        [helper.make_node("Neg", ["x"], ["y"])], [("x", FLOAT, ["n", "m"])], [("y", FLOAT, ["n", "m"])], tmp_path / "m"
    )

    async def test(engine, served):
        shapes = [(await engine.infer("m", {"x": np.zeros(s, np.float32)}))["y"].shape for s in ((1, 4), (2, 2))]
        keys = [cache_of(served).key({"x": np.zeros((1, 4), d)}, ("y",)) for d in (np.float32, np.int32, np.float32)]
        return shapes, keys[0] == keys[1], keys[0] == keys[2]

    assert serve(test, path, cache=10) == ([(1, 4), (2, 2)], False, True)


def test_inputs_that_do_not_fit_are_refused_and_not_kept(tmp_path):
    async def test(engine, served):
        for _ in range(2):
            call = FutureCall(asyncio.get_running_loop(), {"x": np.ones((1, 4), np.float32)}, served.output_names)
            with pytest.raises(ValueError, match="IX604"):
                served.submit(call)
        return len(cache_of(served)), served.statistics.cache_hits

    assert serve(test, scaled(tmp_path / "m.onnx"), cache=10) == (0, 0)


def test_a_hit_whose_client_has_gone_is_not_answered(tmp_path):
    async def test(engine, served):
        await engine.infer("m", rows())
        call = FutureCall(asyncio.get_running_loop(), rows(), served.output_names)
        served.submit(call)
        served.cancel(call)
        await asyncio.sleep(0)
        answered = call.future.done(), served.statistics.cache_hits
        return answered, served.statistics.failures, served.batcher.waiting

    assert serve(test, scaled(tmp_path / "m.onnx"), cache=10) == ((False, 0), {"CANCELED": 1}, 0)


def test_a_miss_whose_client_has_gone_is_taken_out_of_the_queue(tmp_path):
    async def test(engine, served):
        task = asyncio.ensure_future(engine.infer("m", rows()))
        await asyncio.sleep(0)
        waiting = served.batcher.waiting
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return waiting, served.batcher.waiting, served.statistics.executions

    assert serve(test, scaled(tmp_path / "m.onnx"), cache=10, max_delay_ms=5000) == (1, 0, 0)


def test_another_file_has_another_cache(tmp_path):
    async def test(engine, served):
        await engine.infer("m", rows())
        other = await asyncio.to_thread(open_served, "m", "1", scaled(tmp_path / "n.onnx", 5.0), served.settings)
        for old in engine.replace("m", [other]):
            await old.close()
        return (await engine.infer("m", rows()))["y"].tolist()

    assert serve(test, scaled(tmp_path / "m.onnx"), cache=10) == [[5.0] * 3]


# -- which models -----------------------------------------------------------------------------------------------------
def training(path, mode):
    """A Dropout with a training_mode: an initializer, or the output of a Constant."""
    tensors = [helper.make_tensor("r", FLOAT, [], [0.5]), helper.make_tensor("t", TensorProto.BOOL, [], [mode])]
    constant = [helper.make_node("Constant", [], ["t"], value=tensors.pop())] if path.name.startswith("c") else []
    return node_model(
        [*constant, helper.make_node("Dropout", ["x", "r", "t"], ["y"])],
        [("x", FLOAT, ["batch", 3])],
        [("y", FLOAT, ["batch", 3])],
        path,
        initializers=tensors,
    )


def of_op(path, op, **attributes):
    return node_model(
        [helper.make_node(op, ["x"], ["y"], **attributes)],
        [("x", FLOAT, ["batch", 3])],
        [("y", FLOAT, ["batch", 3])],
        path,
    )


@pytest.mark.parametrize("op", ["RandomNormalLike", "RandomUniformLike", "Bernoulli"])
def test_a_model_that_draws_random_numbers_is_not_cached(tmp_path, op):
    path = of_op(tmp_path / "m.onnx", op)
    with pytest.raises(ServingError) as error:
        open_served("m", "1", path, ModelSettings(cache=10))
    assert (error.value.code, error.value.found) == ("IX695", f"it draws random numbers: {op}")
    assert open_served("m", "1", path, ModelSettings()).own_stages == ()


@pytest.mark.parametrize("name", ["c.onnx", "i.onnx"])
@pytest.mark.parametrize("mode", [True, False])
def test_a_dropout_counts_only_where_it_drops(tmp_path, name, mode):
    path = training(tmp_path / name, mode)
    if not mode:
        assert len(cache_of(open_served("m", "1", path, ModelSettings(cache=10)))) == 0
        return
    with pytest.raises(ServingError) as error:
        open_served("m", "1", path, ModelSettings(cache=10))
    assert error.value.code == "IX695"


def test_a_model_without_training_mode_is_cached(tmp_path):
    assert open_served("m", "1", of_op(tmp_path / "m.onnx", "Dropout"), ModelSettings(cache=10)).own_stages


@pytest.mark.parametrize(("inside", "refused"), [("RandomNormalLike(x)", True), ("Dropout(x)", False)])
def test_operators_inside_of_a_branch_count(tmp_path, inside, refused):
    from onnx import parser, save

    model = parser.parse_model(
        """
        <ir_version: 9, opset_import: ["": 20]>
        g (float[batch, 3] x) => (float[batch, 3] y) <bool c = {0}> {
            y = If (c) <
                then_branch = t () => (float[batch, 3] a) { a = INSIDE },
                else_branch = e () => (float[batch, 3] b) { b = Identity(x) }
            >
        }
        """.replace("INSIDE", inside)
    )
    save(model, tmp_path / "m.onnx")
    if not refused:
        assert open_served("m", "1", tmp_path / "m.onnx", ModelSettings(cache=10)).own_stages
        return
    with pytest.raises(ServingError) as error:
        open_served("m", "1", tmp_path / "m.onnx", ModelSettings(cache=10))
    assert error.value.code == "IX695"


def test_two_runs_that_differ_are_enough(tmp_path, monkeypatch):
    from interchange.serving import caching

    served = open_served("m", "1", scaled(tmp_path / "m.onnx"), ModelSettings())
    numbers = iter(range(10))
    monkeypatch.setattr(served.model, "execute", lambda names, feeds: [np.full((1, 3), next(numbers), np.float32)])
    from interchange.graph import files

    with pytest.raises(ServingError) as error:
        caching.open_cache(served, files.load(tmp_path / "m.onnx"), rows())
    assert error.value.code == "IX695"
    assert "two runs" in error.value.found
