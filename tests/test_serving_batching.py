"""Requests that wait together run together, answer what they answer alone, and do not harm each other."""

import asyncio
import threading

import numpy as np
import pytest
from onnx import TensorProto, helper
from serving import linear, node_model, scaled, serve, spinning

import interchange as ix
from interchange import eager as E
from interchange.eager import nn
from interchange.errors import InterchangeError
from interchange.protocol.errors import ServingError
from interchange.serving import batching, trial
from interchange.serving.settings import ModelSettings
from interchange.serving.trial import open_served

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def rows(count, value=1.0):
    return np.full((count, 3), value, np.float32)


class Gate:
    """Holds the runs of a model until it is opened; knows in which order they came."""

    def __init__(self, served):
        self.opened, self.entered = threading.Event(), threading.Event()
        self.order = []
        self.threads = []
        self._execute = served.model.execute
        served.model.execute = self

    def __call__(self, names, feeds, options=None):
        self.order.append(float(next(iter(feeds.values())).flat[0]))
        self.threads.append(threading.current_thread())
        self.entered.set()
        assert self.opened.wait(60)
        return self._execute(names, feeds, options)

    async def busy(self):
        """Until a run is held."""
        assert await asyncio.to_thread(self.entered.wait, 20)


# -- together ---------------------------------------------------------------------------------------------------------
def test_what_waits_at_one_turn_of_the_loop_is_one_run(tmp_path):
    async def test(engine, served):
        answers = await asyncio.gather(*(engine.infer("m", {"x": rows(n + 1, n)}) for n in range(5)))
        return answers, served.statistics

    answers, statistics = serve(test, scaled(tmp_path / "m.onnx"))
    assert [a["y"].tolist() for a in answers] == [rows(n + 1, 2 * n).tolist() for n in range(5)]
    assert (statistics.executions, statistics.inferences) == (1, 15)
    assert statistics.phases["request"].count == 5


def test_a_run_has_at_most_max_batch_rows_but_one_request_may_have_more(tmp_path):
    async def test(engine, served):
        await asyncio.gather(*(engine.infer("m", {"x": rows(3)}) for _ in range(5)))
        await engine.infer("m", {"x": rows(40)})
        return sorted(served.statistics.batches)

    assert serve(test, scaled(tmp_path / "m.onnx"), max_batch=8) == [3, 6, 40]


def test_other_shapes_and_other_outputs_are_other_runs(tmp_path):
    path = node_model(
        [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])],
        [("x", FLOAT, ["batch", "time"])],
        [("y", FLOAT, ["batch", "time"]), ("z", FLOAT, ["batch", "time"])],
        tmp_path / "m.onnx",
    )

    async def test(engine, served):
        calls = [
            engine.infer("m", {"x": np.ones((1, n), np.float32)}, outputs=o) for n in (2, 3) for o in (["z"], None)
        ]
        return await asyncio.gather(*calls, *(engine.infer("m", {"x": np.ones((2, 3), np.float32)}) for _ in range(2)))

    found = serve(test, path)
    assert [{n: a.shape for n, a in f.items()} for f in found[:4]] == [
        {"z": (1, 2)},
        {"y": (1, 2), "z": (1, 2)},
        {"z": (1, 3)},
        {"y": (1, 3), "z": (1, 3)},
    ]


def test_a_delay_lets_the_first_one_wait_for_company(tmp_path):
    async def test(engine, served):
        first = asyncio.create_task(engine.infer("m", {"x": rows(1)}))
        for _ in range(5):
            await asyncio.sleep(0)  # many turns of the loop, no run
        assert served.statistics.executions == 0
        await asyncio.gather(first, engine.infer("m", {"x": rows(1)}))
        return served.statistics.executions

    assert serve(test, scaled(tmp_path / "m.onnx"), max_delay_ms=50) == 1


def test_one_bad_request_fails_alone(tmp_path):
    table = helper.make_tensor("table", FLOAT, [4], [10.0, 11.0, 12.0, 13.0])
    path = node_model(
        [helper.make_node("Gather", ["table", "i"], ["y"])],
        [("i", INT64, ["batch", 1])],
        [("y", FLOAT, ["batch", 1])],
        tmp_path / "m.onnx",
        initializers=[table],
    )

    async def test(engine, served):
        values = [0, 1, 99, 3]
        calls = (engine.infer("m", {"i": np.array([[v]], np.int64)}) for v in values)
        return await asyncio.gather(*calls, return_exceptions=True), dict(served.statistics.failures)

    found, failures = serve(test, path)
    assert [f["y"].item() for f in (found[0], found[1], found[3])] == [10.0, 11.0, 13.0]
    assert isinstance(found[2], InterchangeError)
    assert found[2].code == "IX611"
    assert "99" in str(found[2])
    assert failures == {"OTHER": 1}


def test_rows_that_turn_out_to_be_no_rows_are_run_apart(tmp_path):
    path = node_model(
        [helper.make_node("ReduceSum", ["x", "axis"], ["y"], keepdims=1)],
        [("x", FLOAT, ["batch", 3])],
        [("y", FLOAT, ["some", 3])],
        tmp_path / "m.onnx",
        initializers=[helper.make_tensor("axis", INT64, [1], [0])],
    )

    async def test(engine, served):
        return await asyncio.gather(*(engine.infer("m", {"x": rows(n)}) for n in (1, 2, 4)))

    assert [f["y"].tolist() for f in serve(test, path, batching=True)] == [rows(1, n).tolist() for n in (1, 2, 4)]


def test_an_empty_request_is_run_by_itself(tmp_path):
    async def test(engine, served):
        found = await asyncio.gather(*(engine.infer("m", {"x": rows(n)}) for n in (2, 0, 1)))
        return [f["y"].shape for f in found], served.statistics.executions

    assert serve(test, scaled(tmp_path / "m.onnx")) == ([(2, 3), (0, 3), (1, 3)], 2)


def test_a_request_larger_than_what_was_measured_does_not_run_on_the_loop(tmp_path):
    async def test(engine, served):
        gate = Gate(served)
        gate.opened.set()
        await engine.infer("m", {"x": rows(64)})
        await engine.infer("m", {"x": rows(1000)})
        return [t is threading.current_thread() for t in gate.threads]

    assert serve(test, scaled(tmp_path / "m.onnx")) == [True, False]


# -- the queue --------------------------------------------------------------------------------------------------------
def test_a_higher_priority_comes_first_and_equals_in_their_order(tmp_path):
    async def test(engine, served):
        gate = Gate(served)
        first = asyncio.create_task(engine.infer("m", {"x": rows(1, 0)}))
        await gate.busy()
        later = [
            asyncio.create_task(engine.infer("m", {"x": rows(1, v)}, priority=p))
            for v, p in ((1, 3), (2, 0), (3, 1), (4, 2))
        ]
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(first, *later)
        return gate.order

    assert serve(test, scaled(tmp_path / "m.onnx"), execution="thread", batching=False) == [0, 3, 2, 4, 1]


def test_requests_of_other_shapes_do_not_overtake(tmp_path):
    path = one_op(tmp_path / "m.onnx", "Relu", shape=("batch", "time"))

    async def test(engine, served):
        gate = Gate(served)
        shapes = [(1, 1, 2), (2, 1, 3), (3, 1, 2), (4, 1, 3), (5, 1, 2)]
        calls = [asyncio.create_task(engine.infer("m", {"x": np.full((1, 1), 0, np.float32)}))]
        await gate.busy()
        for value, *shape in shapes:
            calls.append(asyncio.create_task(engine.infer("m", {"x": np.full(shape, value, np.float32)})))
            await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(*calls)
        return gate.order

    # 1 takes those of its shape with it; 2 is the next, also where 5 found no place in the first run
    assert serve(test, path, execution="thread") == [0, 1, 2]
    assert serve(test, path, execution="thread", max_batch=2) == [0, 1, 2, 5]


def test_a_full_queue_says_when_to_come_again(tmp_path):
    async def test(engine, served):
        gate = Gate(served)
        calls = [asyncio.create_task(engine.infer("m", {"x": rows(1)}))]
        await gate.busy()
        calls += [asyncio.create_task(engine.infer("m", {"x": rows(1)})) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ServingError) as caught:
            await engine.infer("m", {"x": rows(1)})
        gate.opened.set()
        await asyncio.gather(*calls)
        await engine.infer("m", {"x": rows(1)})  # there is room again
        assert served.statistics.failures == {"REJECTED": 1}
        return caught.value

    error = serve(test, scaled(tmp_path / "m.onnx"), execution="thread", max_queue=2)
    assert error.code == "IX643"
    assert error.retry_after >= 1
    assert "2 waiting" in str(error)


def test_a_deadline_is_kept_while_the_model_is_busy(tmp_path):
    async def test(engine, served):
        gate = Gate(served)
        first = asyncio.create_task(engine.infer("m", {"x": rows(1)}))
        await gate.busy()
        with pytest.raises(ServingError) as caught:
            await engine.infer("m", {"x": rows(1)}, timeout=0.02)
        assert not first.done()
        gate.opened.set()
        await first
        return caught.value, gate.order, served.batcher.waiting, dict(served.statistics.failures)

    error, order, waiting, failures = serve(test, scaled(tmp_path / "m.onnx"), execution="thread")
    assert error.code == "IX644"
    assert (len(order), waiting, failures) == (1, 0, {"CANCELED": 1})


def test_a_deadline_that_has_passed_is_told_also_where_no_timer_rings(tmp_path):
    async def test(engine, served):
        with pytest.raises(ServingError) as caught:
            await engine.infer("m", {"x": rows(1)}, timeout=0.0)
        return caught.value.code, served.trial.inline, served.batcher.waiting

    assert serve(test, scaled(tmp_path / "m.onnx")) == ("IX644", True, 0)


def test_who_leaves_a_running_batch_is_counted_once(tmp_path):
    async def test(engine, served):
        gate = Gate(served)
        stays, leaves = (asyncio.create_task(engine.infer("m", {"x": rows(1)})) for _ in range(2))
        await gate.busy()
        leaves.cancel()
        await asyncio.sleep(0)
        gate.opened.set()
        await stays
        return served.statistics.phases["queue"].count, dict(served.statistics.failures)

    assert serve(test, scaled(tmp_path / "m.onnx"), execution="thread") == (1, {"CANCELED": 1})


def test_who_has_gone_is_not_computed(tmp_path):
    async def test(engine, served):
        gate = Gate(served)
        first = asyncio.create_task(engine.infer("m", {"x": rows(1, 1)}))
        await gate.busy()
        gone = asyncio.create_task(engine.infer("m", {"x": rows(1, 2)}))
        await asyncio.sleep(0)
        gone.cancel()
        stays = asyncio.create_task(engine.infer("m", {"x": rows(1, 3)}))
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(first, stays)
        return gate.order, served.batcher.waiting

    assert serve(test, scaled(tmp_path / "m.onnx"), execution="thread") == ([1, 3], 0)


# -- runs that do not end ---------------------------------------------------------------------------------------------
def test_a_run_beyond_its_deadline_is_stopped_in_the_runtime(tmp_path):
    async def test(engine, served):
        with pytest.raises(ServingError, match="not answered in time"):
            await engine.infer("m", {"n": np.array([1 << 60])}, timeout=0.1)
        found = await asyncio.wait_for(engine.infer("m", {"n": np.array([3])}), 20)  # the only instance is free again
        return found["y"].shape, served.trial.inline

    assert serve(test, spinning(tmp_path / "m.onnx")) == ((64,), False)


def test_a_kernel_that_does_not_stop_is_reported_and_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(batching, "STOP_SECONDS", 0.05)

    async def test(engine, served):
        wedged = asyncio.get_running_loop().create_future()
        engine.on_wedged = served.batcher.on_wedged = wedged.set_result
        gate = Gate(served)
        with pytest.raises(ServingError, match="not answered in time"):
            await engine.infer("m", {"x": rows(1)}, timeout=0.05)
        assert await asyncio.wait_for(wedged, 20) is served
        again = asyncio.create_task(engine.infer("m", {"x": rows(1)}))  # on another thread
        gate.entered.clear()
        await gate.busy()
        gate.opened.set()
        return (await again)["y"].tolist()

    assert serve(test, scaled(tmp_path / "m.onnx"), execution="thread") == rows(1, 2).tolist()


def test_closing_answers_what_waits_and_takes_no_more(tmp_path):
    async def test(engine, served):
        gate = Gate(served)
        calls = [asyncio.create_task(engine.infer("m", {"x": rows(1)})) for _ in range(2)]
        await gate.busy()
        closing = asyncio.create_task(served.close())
        await asyncio.sleep(0)
        with pytest.raises(ServingError) as caught:
            await engine.infer("m", {"x": rows(1)})
        gate.opened.set()
        await asyncio.gather(closing, *calls)
        return caught.value.code

    assert serve(test, scaled(tmp_path / "m.onnx"), execution="thread", batching=False) == "IX642"


def test_closing_does_not_wait_for_company(tmp_path):
    async def test(engine, served):
        call = asyncio.create_task(engine.infer("m", {"x": rows(1)}))
        await asyncio.sleep(0)
        await asyncio.wait_for(served.close(), 10)
        return (await call)["y"].tolist()

    assert serve(test, scaled(tmp_path / "m.onnx"), max_delay_ms=60_000) == rows(1, 2).tolist()


def test_closing_with_an_error_gives_it_to_those_that_wait(tmp_path):
    async def test(engine, served):
        gate = Gate(served)
        running = asyncio.create_task(engine.infer("m", {"x": rows(1)}))
        await gate.busy()
        waiting = asyncio.create_task(engine.infer("m", {"x": rows(1)}))
        await asyncio.sleep(0)
        closing = asyncio.create_task(engine.close(ServingError("IX645", "going down")))
        with pytest.raises(ServingError, match="IX645"):
            await asyncio.wait_for(waiting, 10)
        gate.opened.set()
        await closing
        return (await running)["y"].tolist()

    assert serve(test, scaled(tmp_path / "m.onnx"), execution="thread", batching=False) == rows(1, 2).tolist()


# -- the trial --------------------------------------------------------------------------------------------------------
def trial_of(path, **settings):
    return open_served("m", "1", path, ModelSettings(**settings)).trial


def one_op(path, op, shape=("batch", 3), out=None, dtype=FLOAT, **attributes):
    return node_model(
        [helper.make_node(op, ["x"], ["y"], **attributes)],
        [("x", dtype, list(shape))],
        [("y", dtype, list(out or shape))],
        path,
    )


def test_rows_that_are_independent_are_batched(tmp_path):
    for path in (linear(tmp_path / "a.onnx"), one_op(tmp_path / "b.onnx", "Softmax", axis=1)):
        assert trial_of(path).batching


@pytest.mark.parametrize("op", ["Softmax", "LpNormalization", "Hardmax"])
def test_rows_that_depend_on_each_other_are_not(tmp_path, op):
    found = trial_of(one_op(tmp_path / "m.onnx", op, axis=0))
    assert not found.batching
    assert "depend on each other" in found.why


@pytest.mark.parametrize("dtype", [FLOAT, INT64, TensorProto.INT8, TensorProto.BOOL])
def test_a_maximum_over_all_rows_is_seen_whatever_the_dtype(tmp_path, dtype):
    inner = FLOAT if dtype == TensorProto.BOOL else dtype
    path = node_model(
        [
            helper.make_node("Cast", ["x"], ["c"], to=inner),
            helper.make_node("ReduceMax", ["c"], ["m"], keepdims=1),
            helper.make_node("Sub", ["c", "m"], ["y"]),
        ],
        [("x", dtype, ["batch", 4])],
        [("y", inner, ["batch", 4])],
        tmp_path / "m.onnx",
    )
    assert "depend on each other" in trial_of(path).why


def test_an_axis_that_is_not_rows_is_never_joined(tmp_path):
    assert "not open" in trial_of(one_op(tmp_path / "a.onnx", "Relu", shape=(1, 3))).why
    cumulative = node_model(
        [helper.make_node("CumSum", ["x", "axis"], ["y"])],
        [("x", FLOAT, ["time"])],
        [("y", FLOAT, ["time"])],
        tmp_path / "b.onnx",
        initializers=[helper.make_tensor("axis", INT64, [], [0])],
    )
    assert "depend on each other" in trial_of(cumulative).why


def test_bounds_and_guards_on_the_rows_hold_for_a_batch(tmp_path):
    bounded = {"x": ix.Spec("x", np.dtype(np.float32), (ix.Dim("batch", max=8), 3))}
    ix.export(nn.Linear(3, 2).eval(), bounded, tmp_path / "bounded.onnx")
    assert trial_of(tmp_path / "bounded.onnx").max_batch == 8

    def pairs(x):
        return E.reshape(E.reshape(x, (-1, 2, 3)), (-1, 3)) * 2

    ix.export(pairs, {"x": "float32[batch, 3]"}, tmp_path / "guarded.onnx")
    found = trial_of(tmp_path / "guarded.onnx")
    assert not found.batching
    assert "valid only where" in found.why


def test_settings_decide_where_a_trial_cannot(tmp_path):
    path = scaled(tmp_path / "m.onnx")
    assert trial_of(path, batching=False).why == "off in the settings"
    assert trial_of(one_op(tmp_path / "s.onnx", "Softmax", axis=0), batching=True).batching


def test_work_that_values_decide_never_runs_on_the_loop(tmp_path):
    assert not trial_of(spinning(tmp_path / "loop.onnx")).inline
    path = node_model(
        [helper.make_node("Expand", ["x", "shape"], ["y"])],
        [("x", FLOAT, [1]), ("shape", INT64, [1])],
        [("y", FLOAT, ["n"])],
        tmp_path / "expand.onnx",
    )
    assert not trial_of(path).inline
    assert trial_of(scaled(tmp_path / "m.onnx")).inline


def test_sizes_taken_from_shapes_do_run_on_the_loop(tmp_path):
    path = node_model(
        [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Expand", ["one", "s"], ["y"])],
        [("x", FLOAT, ["batch", 3])],
        [("y", FLOAT, ["batch", 3])],
        tmp_path / "m.onnx",
        initializers=[helper.make_tensor("one", FLOAT, [1], [1.0])],
    )
    assert trial_of(path).inline


def test_branches_never_run_on_the_loop(tmp_path):
    def branch(op):
        y = helper.make_tensor_value_info("y_in", FLOAT, ["batch", 3])
        return helper.make_graph([helper.make_node(op, ["x"], ["y_in"])], op, [], [y])

    path = node_model(
        [
            helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
            helper.make_node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
            helper.make_node("If", ["c"], ["y"], then_branch=branch("Neg"), else_branch=branch("Relu")),
        ],
        [("x", FLOAT, ["batch", 3])],
        [("y", FLOAT, ["batch", 3])],
        tmp_path / "m.onnx",
    )
    assert not trial_of(path).inline


def test_a_model_that_does_not_answer_zeros_needs_a_sample(tmp_path):
    table = helper.make_tensor("table", FLOAT, [2, 3], range(6))
    path = node_model(
        [
            helper.make_node("Constant", [], ["one"], value=helper.make_tensor("", INT64, [1], [5])),
            helper.make_node("Sub", ["i", "one"], ["j"]),
            helper.make_node("Gather", ["table", "j"], ["y"]),
        ],
        [("i", INT64, ["batch"])],
        [("y", FLOAT, ["batch", 3])],
        tmp_path / "m.onnx",
        initializers=[table],
    )
    with pytest.raises(ServingError, match="IX666"):
        trial_of(path)
    np.savez(tmp_path / "sample.npz", i=np.array([5, 6]))
    assert open_served("m", "1", path, ModelSettings(sample=tmp_path / "sample.npz")).trial.seconds


def test_a_model_whose_trial_does_not_end_is_not_served(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "TRIAL_SECONDS", 0.2)
    np.savez(tmp_path / "sample.npz", n=np.array([1 << 60]))
    with pytest.raises(ServingError, match="did not answer when it was tried"):
        trial_of(spinning(tmp_path / "m.onnx"), sample=tmp_path / "sample.npz")
