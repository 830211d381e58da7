"""Unequal lengths share a run when they are filled up with zeros, where that is known to change no answer."""

import asyncio
import gc
import json
import weakref

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from serving import node_model, serve

import interchange as ix
from interchange.protocol.errors import ServingError
from interchange.serving.calls import Call, FutureCall
from interchange.serving.settings import ModelSettings
from interchange.serving.trial import open_served

FLOAT, INT64, BOOL, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING
PAD = {"time": (4, 8)}


def constants(**values):
    return [helper.make_tensor(n, INT64, [len(v)], v) for n, v in values.items()]


def masked_mean(path, mask=FLOAT, metadata=None, nodes=(), outputs=()):
    """Features and a mask: their mean where the mask is 1, and each one doubled: what a text encoder does."""
    return node_model(
        [
            helper.make_node("Cast", ["mask"], ["weight"], to=FLOAT),
            helper.make_node("Unsqueeze", ["weight", "last"], ["column"]),
            helper.make_node("Mul", ["x", "column"], ["seen"]),
            helper.make_node("ReduceSum", ["seen", "middle"], ["sum"], keepdims=0),
            helper.make_node("ReduceSum", ["column", "middle"], ["count"], keepdims=0),
            helper.make_node("Div", ["sum", "count"], ["mean"]),
            helper.make_node("Add", ["x", "x"], ["each"]),
            *nodes,
        ],
        [("x", FLOAT, ["batch", "time", 3]), ("mask", mask, ["batch", "time"])],
        [("mean", FLOAT, ["batch", 3]), ("each", FLOAT, ["batch", "time", 3]), *outputs],
        path,
        initializers=constants(last=[2], middle=[1]),
        metadata=metadata,
    )


def of_nodes(path, nodes, shape=("batch", "time", 3), out=("batch", 3), **more):
    return node_model(nodes, [("x", FLOAT, list(shape))], [("y", FLOAT, list(out))], path, **more)


def request(rng, rows, time, mask=np.float32):
    x = rng.standard_normal((rows, time, 3)).astype(np.float32)
    hidden = (rng.random((rows, time)) < 0.6).astype(mask)
    hidden[:, 0] = 1
    return {"x": x, "mask": hidden}


# -- answers ----------------------------------------------------------------------------------------------------------
def test_lengths_below_one_bucket_share_a_run_and_get_what_they_get_alone(tmp_path):
    path = masked_mean(tmp_path / "m.onnx", INT64)
    rng = np.random.default_rng(1)
    feeds = [request(rng, 2, time, np.int64) for time in (1, 2, 3, 4, 5, 7, 8, 9, 11)]

    async def test(engine, served):
        answers = await asyncio.gather(*(engine.infer("m", f) for f in feeds))
        return answers, served.statistics.batches

    answers, batches = serve(test, path, pad=PAD)
    assert {rows: runs[0] for rows, runs in batches.items()} == {8: 1, 6: 1, 2: 2}, "9 and 11 are larger than the last"
    model = ix.load(path)
    for feed, answer in zip(feeds, answers, strict=True):
        for name, expected in model.run(feed).items():
            assert answer[name].shape == expected.shape
            assert answer[name].flags.c_contiguous
            np.testing.assert_allclose(answer[name], expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(1, 3),
            st.integers(1, 10),
            st.sampled_from([None, ["mean"], ["each"], ["each", "mean"]]),
            st.integers(0, 3),
            st.integers(0, 2),
        ),
        min_size=1,
        max_size=16,
    ),
    st.sampled_from([0, 4]),
)
def test_padded_batched_and_cached_answers_are_those_of_the_model(tmp_path, requests, cache):
    """Few seeds, so that requests come again: what is kept is the answer without its filling."""
    path = masked_mean(tmp_path / "m.onnx")
    feeds = [request(np.random.default_rng(seed), rows, time) for rows, time, _, _, seed in requests]

    async def test(engine, served):
        found = []
        for part in (slice(0, len(feeds) // 2), slice(len(feeds) // 2, None)):
            calls = zip(feeds[part], requests[part], strict=True)
            found += await asyncio.gather(
                *(engine.infer("m", f, outputs=wanted, priority=p) for f, (_, _, wanted, p, _) in calls)
            )
        return found

    model = ix.load(path)
    answers = serve(test, path, pad=PAD, cache=cache, max_batch=5)
    for feed, (_, _, wanted, _, _), answer in zip(feeds, requests, answers, strict=True):
        expected = model.run(feed, outputs=wanted)
        assert list(answer) == list(expected)
        for name, array in expected.items():
            np.testing.assert_allclose(answer[name], array, rtol=1e-5, atol=1e-6, err_msg=name)


def test_sizes_that_follow_from_the_filled_one_are_cut_as_well(tmp_path):
    path = of_nodes(
        tmp_path / "m.onnx",
        [helper.make_node("Concat", ["x", "x"], ["both"], axis=2), helper.make_node("Reshape", ["both", "s"], ["y"])],
        out=("batch", "2*time", 3),
        initializers=constants(s=[0, -1, 3]),
    )

    async def test(engine, served):
        return await asyncio.gather(*(engine.infer("m", {"x": np.full((1, n, 3), n, np.float32)}) for n in (2, 3)))

    answers = serve(test, path, pad={"time": (4,)})
    assert [a["y"].tolist() for a in answers] == [np.full((1, 2 * n, 3), n).tolist() for n in (2, 3)]


def test_texts_are_filled_with_empty_ones(tmp_path):
    path = node_model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [("x", STRING, ["batch", "time"])],
        [("y", STRING, ["batch", "time"])],
        tmp_path / "m.onnx",
    )

    async def test(engine, served):
        texts = [np.array([["a"]], object), np.array([["b", "c", "d"]], object)]
        answers = await asyncio.gather(*(engine.infer("m", {"x": t}) for t in texts))
        return [a["y"].tolist() for a in answers], served.statistics.executions

    assert serve(test, path, pad={"time": (4,)}) == ([[["a"]], [["b", "c", "d"]]], 1)


def test_lengths_as_an_input_are_enough(tmp_path):
    path = node_model(
        [
            helper.make_node("Shape", ["x"], ["t"], start=1, end=2),
            helper.make_node("Squeeze", ["t"], ["end"]),
            helper.make_node("Range", ["zero", "end", "one"], ["places"]),
            helper.make_node("Unsqueeze", ["length", "last"], ["column"]),
            helper.make_node("Less", ["places", "column"], ["inside"]),
            helper.make_node("Cast", ["inside"], ["weight"], to=FLOAT),
            helper.make_node("Mul", ["x", "weight"], ["seen"]),
            helper.make_node("ReduceSum", ["seen", "last"], ["sum"], keepdims=0),
            helper.make_node("Cast", ["length"], ["count"], to=FLOAT),
            helper.make_node("Div", ["sum", "count"], ["y"]),
        ],
        [("x", FLOAT, ["batch", "time"]), ("length", INT64, ["batch"])],
        [("y", FLOAT, ["batch"])],
        tmp_path / "m.onnx",
        initializers=[
            *constants(last=[1]),
            helper.make_tensor("zero", INT64, [], [0]),
            helper.make_tensor("one", INT64, [], [1]),
        ],
    )

    async def test(engine, served):
        feeds = [{"x": np.full((1, n), n, np.float32), "length": np.array([n])} for n in (1, 3, 4)]
        answers = await asyncio.gather(*(engine.infer("m", f) for f in feeds))
        return [a["y"].tolist() for a in answers], served.statistics.executions

    # Range makes as many values as the input says: such a model is tried, and runs beside the loop
    assert serve(test, path, pad={"time": (4,)}) == ([[1.0], [3.0], [4.0]], 1)


def test_a_bound_of_the_model_is_a_bound_of_the_filling(tmp_path):
    """Sizes above a bound are never made by filling: the request is served as it came."""
    path = masked_mean(tmp_path / "m.onnx", metadata={"interchange.dims": json.dumps({"time": [1, 6]})})
    rng = np.random.default_rng(2)
    feeds = [request(rng, 1, time) for time in (3, 5, 6)]

    async def test(engine, served):
        answers = await asyncio.gather(*(engine.infer("m", f) for f in feeds))
        with pytest.raises(ValueError, match="IX606"):
            await engine.infer("m", request(rng, 1, 7))
        return answers, served.statistics.executions

    answers, runs = serve(test, path, pad=PAD)
    assert [a["each"].shape[1] for a in answers] == [3, 5, 6]
    assert runs == 3, "5 and 6 are not filled to 8"


def test_inputs_that_do_not_fit_are_refused_as_they_came(tmp_path):
    rng = np.random.default_rng(3)
    wrong = {**request(rng, 1, 3), "mask": np.ones((1, 2), np.float32)}

    async def test(engine, served):
        for _ in range(2):
            call = FutureCall(asyncio.get_running_loop(), wrong, served.output_names)
            with pytest.raises(ValueError, match="3 at axis 1 of x, 2 at axis 1 of mask"):
                served.submit(call)

    serve(test, masked_mean(tmp_path / "m.onnx"), pad=PAD)


def test_the_deadline_and_the_cancellation_of_a_filled_request(tmp_path):
    rng = np.random.default_rng(4)

    async def test(engine, served):
        task = asyncio.ensure_future(engine.infer("m", request(rng, 1, 3)))
        await asyncio.sleep(0)
        waiting = served.batcher.waiting
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ServingError) as late:
            await engine.infer("m", request(rng, 1, 3), timeout=0.0)
        return waiting, served.batcher.waiting, late.value.code, served.statistics.failures

    found = serve(test, masked_mean(tmp_path / "m.onnx"), pad=PAD, max_delay_ms=50)
    assert found == (1, 0, "IX644", {"CANCELED": 2})


class Failing(Call):
    """A call that is told only why it is not answered."""

    code = None

    def fail(self, error):
        self.code = error.code


@pytest.mark.parametrize("options", [{}, {"pad": PAD}, {"cache": 4}, {"pad": PAD, "cache": 4, "execution": "thread"}])
def test_nothing_holds_on_to_the_inputs_of_an_answered_request(tmp_path, options):
    """Rings of objects would: then large arrays stay until the collector comes by."""

    async def test(engine, served):
        seen = []
        for time in (3, 3, 5):
            feed = request(np.random.default_rng(time), 1, time)
            seen.append(weakref.ref(feed["x"]))
            answer = await engine.infer("m", feed)
            seen.append(weakref.ref(answer["each"]))
            call = FutureCall(asyncio.get_running_loop(), feed, served.output_names)
            served.submit(call)
            served.cancel(call)
            feed = {n: a + 1 for n, a in feed.items()}
            seen.append(weakref.ref(feed["x"]))
            call = Failing(feed, served.output_names, deadline=asyncio.get_running_loop().time())
            served.submit(call)
            while call.code is None:
                await asyncio.sleep(0)
            del feed, answer, call
            await asyncio.sleep(0)
        return [ref() is None for ref in seen]

    gc.collect()
    gc.disable()
    try:
        assert all(serve(test, masked_mean(tmp_path / "m.onnx"), **options))
    finally:
        gc.enable()


def test_a_request_that_is_given_up_in_its_last_moment_is_given_up_once(tmp_path):
    async def test(engine, served):
        call = FutureCall(asyncio.get_running_loop(), request(np.random.default_rng(6), 1, 3), served.output_names)
        served.submit(call)
        await call.future
        served.cancel(call)
        call = FutureCall(asyncio.get_running_loop(), request(np.random.default_rng(7), 1, 3), served.output_names)
        served.submit(call)
        served.cancel(call)
        served.cancel(call)
        return served.statistics.failures

    assert serve(test, masked_mean(tmp_path / "m.onnx"), pad=PAD, cache=4) == {"CANCELED": 1}


def test_the_metadata_of_a_model_may_ask_for_it(tmp_path):
    path = masked_mean(tmp_path / "m.onnx", metadata={"interchange.pad": '{"time": [4, 8]}'})
    assert open_served("m", "1", path, ModelSettings()).own_stages[0].buckets == {"time": [4, 8]}
    own = open_served("m", "1", path, ModelSettings(pad={"time": (16,)}))
    assert own.own_stages[0].buckets == {"time": [16]}, "the settings go before the model"
    assert open_served("m", "1", path, ModelSettings(pad={"time": ()})).own_stages == ()


# -- which models -----------------------------------------------------------------------------------------------------
def reduced(op, **attributes):
    return [helper.make_node(op, ["x", "middle"], ["y"], keepdims=0, **attributes)]


REFUSED = {
    "mean": reduced("ReduceMean"),
    "max": reduced("ReduceMax"),
    "min": reduced("ReduceMin"),
    "softmax": [
        helper.make_node("Softmax", ["x"], ["s"], axis=1),
        helper.make_node("Mul", ["s", "s"], ["q"]),
        helper.make_node("ReduceSum", ["q", "middle"], ["y"], keepdims=0),
    ],
    "last": [
        helper.make_node("Slice", ["x", "start", "end", "middle"], ["l"]),
        helper.make_node("Squeeze", ["l", "middle"], ["y"]),
    ],
    "bias": [helper.make_node("Exp", ["x"], ["e"]), helper.make_node("ReduceSum", ["e", "middle"], ["y"], keepdims=0)],
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_model_whose_answers_would_change_is_refused_with_the_difference(tmp_path, kind):
    initializers = constants(middle=[1], start=[-1], end=[2**31])
    path = of_nodes(tmp_path / "m.onnx", REFUSED[kind], initializers=initializers)
    with pytest.raises(ServingError) as error:
        open_served("m", "1", path, ModelSettings(pad=PAD))
    assert error.value.code == "IX697"
    assert "elements differ" in error.value.found
    assert "time = " in error.value.found


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin"])
def test_inputs_of_several_kinds_are_tried(tmp_path, op):
    """Among so many numbers the largest is above 0: only with negative ones it shows that the filling is looked at."""
    initializers = constants(all=[1, 2])
    path = of_nodes(
        tmp_path / "m.onnx",
        [helper.make_node(op, ["x", "all"], ["y"], keepdims=0)],
        shape=("batch", "time", 16),
        out=("batch",),
        initializers=initializers,
    )
    with pytest.raises(ServingError) as error:
        open_served("m", "1", path, ModelSettings(pad=PAD))
    assert error.value.code == "IX697"


def test_a_length_is_never_0_in_the_trial(tmp_path):
    """The last element that counts: before the first there is none, and nobody asks for it."""
    path = node_model(
        [
            helper.make_node("Sub", ["length", "one"], ["index"]),
            helper.make_node("Unsqueeze", ["index", "last"], ["column"]),
            helper.make_node("GatherElements", ["x", "column"], ["y"], axis=1),
        ],
        [("x", FLOAT, ["batch", "time"]), ("length", INT64, ["batch"])],
        [("y", FLOAT, ["batch", 1])],
        tmp_path / "m.onnx",
        initializers=constants(one=[1], last=[1]),
    )
    assert open_served("m", "1", path, ModelSettings(pad=PAD)).own_stages


def test_a_sum_allows_it(tmp_path):
    path = of_nodes(tmp_path / "m.onnx", reduced("ReduceSum"), initializers=constants(middle=[1]))
    assert open_served("m", "1", path, ModelSettings(pad=PAD)).own_stages


def test_an_output_whose_size_nobody_names_is_refused(tmp_path):
    path = of_nodes(tmp_path / "m.onnx", [helper.make_node("Neg", ["x"], ["y"])], out=("batch", None, 3))
    with pytest.raises(ServingError) as error:
        open_served("m", "1", path, ModelSettings(pad=PAD))
    assert error.value.code == "IX697"
    assert "shape" in error.value.found


def test_the_mask_decides_and_a_model_that_ignores_it_is_refused(tmp_path):
    """Most of the answer is right: one output that looks at everything is enough."""
    nodes = [helper.make_node("ReduceMean", ["x", "middle"], ["plain"], keepdims=0)]
    path = masked_mean(tmp_path / "m.onnx", nodes=nodes, outputs=[("plain", FLOAT, ["batch", 3])])
    with pytest.raises(ServingError) as error:
        open_served("m", "1", path, ModelSettings(pad=PAD))
    assert error.value.code == "IX697"
    assert "plain: " in error.value.found


def test_a_sample_says_what_inputs_are_like(tmp_path):
    """Weights that have to be positive: random ones say nothing of this model, the sample does."""
    path = node_model(
        [
            helper.make_node("Log", ["w"], ["l"]),
            helper.make_node("Softmax", ["l"], ["s"], axis=1),
            helper.make_node("Mul", ["s", "x"], ["seen"]),
            helper.make_node("ReduceSum", ["seen", "last"], ["y"], keepdims=0),
        ],
        [("x", FLOAT, ["batch", "time"]), ("w", FLOAT, ["batch", "time"])],
        [("y", FLOAT, ["batch"])],
        tmp_path / "m.onnx",
        initializers=constants(last=[1]),
    )
    rng = np.random.default_rng(5)
    np.savez(tmp_path / "s.npz", x=rng.random((2, 6), np.float32), w=rng.random((2, 6), np.float32))
    assert open_served("m", "1", path, ModelSettings(pad=PAD, sample=tmp_path / "s.npz")).own_stages
    mean = node_model(
        [helper.make_node("ReduceMean", ["x", "last"], ["y"], keepdims=0)],
        [("x", FLOAT, ["batch", "time"])],
        [("y", FLOAT, ["batch"])],
        tmp_path / "n.onnx",
        initializers=constants(last=[1]),
    )
    np.savez(tmp_path / "t.npz", x=rng.random((2, 6), np.float32))
    with pytest.raises(ServingError) as error:
        open_served("m", "1", mean, ModelSettings(pad=PAD, sample=tmp_path / "t.npz"))
    assert error.value.code == "IX697"


def test_what_cannot_be_tried_is_not_done(tmp_path):
    path = masked_mean(tmp_path / "m.onnx", metadata={"interchange.dims": json.dumps({"time": [10, 20]})})
    with pytest.raises(ServingError) as error:
        open_served("m", "1", path, ModelSettings(pad=PAD))
    assert error.value.code == "IX697"
    assert "cannot be tried" in error.value.message


@pytest.mark.parametrize(
    ("pad", "found", "fix"),
    [
        ({"tim": (4,)}, "no size 'tim'", "did you mean time?"),
        ({"batch": (4,)}, "the axis of rows, which are joined instead", "leave it out"),
    ],
)
def test_sizes_that_cannot_be_filled_are_named(tmp_path, pad, found, fix):
    with pytest.raises(ServingError) as error:
        open_served("m", "1", masked_mean(tmp_path / "m.onnx"), ModelSettings(pad=pad))
    assert (error.value.code, error.value.found, error.value.fix) == ("IX698", found, fix)


@pytest.mark.parametrize("note", ["[4]", '{"time": 4}', '{"time": ["4"]}', '{"time": [0]}', "{", '{"time": [true]}'])
def test_metadata_of_another_form_is_told(tmp_path, note):
    path = masked_mean(tmp_path / "m.onnx", metadata={"interchange.pad": note})
    with pytest.raises(ServingError) as error:
        open_served("m", "1", path, ModelSettings())
    assert (error.value.code, error.value.found) == ("IX698", repr(note))
