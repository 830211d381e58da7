"""Canaries and shadows: the parts come out right for small numbers, and nobody waits or fails for a shadow."""

import asyncio
import logging
import threading
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from serving import node_model, scaled

from interchange.protocol.errors import ServingError
from interchange.serving import splitting
from interchange.serving.engine import Engine
from interchange.serving.settings import ModelSettings, Settings
from interchange.serving.splitting import MAX_TOLD, _Evenly
from interchange.serving.statistics import merged
from interchange.serving.trial import open_served

FLOAT = TensorProto.FLOAT


def serve(test, paths, *, of_versions=None, **settings):
    """Run an asynchronous test with an engine that serves these files as the versions 1, 2, ... of "m"."""

    async def run():
        own = ModelSettings(versions="all", **settings)
        engine = Engine(Settings(models={"m": own}))
        versions = []
        for k, path in enumerate(paths, 1):
            chosen = (of_versions or {}).get(k, own)
            versions.append(await asyncio.to_thread(open_served, "m", str(k), path, chosen))
        engine.replace("m", versions)
        try:
            return await test(engine, *versions)
        finally:
            await engine.close()

    return asyncio.run(run())


def times(folder, *factors):
    return [scaled(folder / f"{k}.onnx", factor) for k, factor in enumerate(factors)]


def rows(value=1.0, count=1):
    return {"x": np.full((count, 3), value, np.float32)}


async def answer(engine, value=1.0, **options):
    """The factor of the version that answered."""
    return float((await engine.infer("m", rows(value), **options))["y"][0, 0]) / value


async def settled(served, count):
    """Until a shadow has done so much."""
    async with asyncio.timeout(20):
        while sum(v for k, v in served.statistics.shadow.items() if k != "differed") < count:
            await asyncio.sleep(0.001)
    return served.statistics.shadow


# -- canaries ---------------------------------------------------------------------------------------------------------
@given(st.floats(0, 1), st.integers(1, 3000))
def test_of_any_number_of_requests_the_part_is_right_to_a_few(part, count):
    assert abs(chosen(part, count) - part * count) <= (2 if count <= 100 else 3)


def chosen(part, count):
    """How many of so many requests go to a canary or a shadow."""
    sequence = _Evenly()
    return sum(sequence.next() < part for _ in range(count))


def test_the_parts_of_canaries_are_right_and_the_rest_goes_to_the_newest_that_is_none(tmp_path):
    async def test(engine, *versions):
        return Counter([await answer(engine) for _ in range(200)]), engine.find("m").version

    found, default = serve(test, times(tmp_path, 1, 2, 3, 4), canary={"4": 0.1, "3": 0.25})
    assert default == "2"
    assert set(found) == {2.0, 3.0, 4.0}
    assert abs(found[4.0] - 20) <= 2
    assert abs(found[3.0] - 50) <= 2


def test_requests_in_step_with_each_other_are_split_as_others(tmp_path):
    """Two clients that take turns: each finds its part at the canary, whatever the part is."""

    async def test(engine, *versions):
        return [(turn % 2, await answer(engine)) for turn in range(200)]

    found = Counter(serve(test, times(tmp_path, 1, 2), canary={"2": 0.5}))
    assert all(40 <= found[client, factor] <= 60 for client in (0, 1) for factor in (1.0, 2.0)), found


def test_a_version_that_is_named_is_the_one_that_answers(tmp_path):
    async def test(engine, *versions):
        named = [await answer(engine, version=v) for v in ("1", "2") * 5]
        return named, [await answer(engine) for _ in range(5)]

    named, others = serve(test, times(tmp_path, 1, 2), canary={"2": 1.0})
    assert named == [1.0, 2.0] * 5
    assert others == [2.0] * 5, "a part of 1 is all of them"


def test_looking_a_model_up_takes_no_turn(tmp_path):
    async def test(engine, *versions):
        found = []
        for _ in range(100):
            assert engine.find("m").version == "1"
            found.append(await answer(engine))
        return found.count(2.0)

    assert abs(serve(test, times(tmp_path, 1, 2), canary={"2": 0.3}) - 30) <= 2


def test_parts_are_changed_while_the_versions_stay(tmp_path):
    async def test(engine, *versions):
        seen = []
        for canary in ({"2": 1.0}, {}, {"2": 0.5}):
            engine.settings = Settings(models={"m": ModelSettings(versions="all", canary=canary)})
            engine.split("m")
            seen.append(sum([await answer(engine) == 2.0 for _ in range(20)]))
        served = list(engine.models["m"].values())
        return seen, served == list(versions), versions[1].statistics.phases["request"].count

    seen, same, counted = serve(test, times(tmp_path, 1, 2), canary={"2": 0.0})
    assert seen[:2] == [20, 20], "without a canary version 2 is the newest"
    assert abs(seen[2] - 10) <= 1
    assert same
    assert counted == sum(seen)


def test_following_the_same_settings_again_goes_on_in_the_sequence(tmp_path):
    """The repository is looked at every other second: that must not begin at the front again and again."""

    async def test(engine, *versions):
        found = []
        for _ in range(100):
            engine.split("m")
            found.append(await answer(engine))
        return found.count(2.0)

    assert abs(serve(test, times(tmp_path, 1, 2), canary={"2": 0.2}) - 20) <= 2


# -- shadows ----------------------------------------------------------------------------------------------------------
def test_a_shadow_computes_what_was_answered_and_differences_are_told(tmp_path, caplog):
    async def test(engine, first, second):
        answers = [await answer(engine, n + 1) for n in range(20)]
        found = dict(await settled(second, 20))
        return answers, found, second.statistics.snapshot(), first.statistics.shadow

    with caplog.at_level(logging.WARNING, "interchange.serving"):
        answers, found, snapshot, primary = serve(test, times(tmp_path, 2, 3), shadow={"2": 1.0})
    assert answers == [2.0] * 20, "the newest is the shadow, and answers nobody who does not ask for it"
    assert found == {"compared": 20, "differed": 20, "failed": 0, "dropped": 0}
    assert snapshot["shadow"] == found
    assert len(snapshot["differences"]) == MAX_TOLD
    assert "y: 3 of 3 elements differ, first at [0, 0]: 3.0 instead of 2.0" in snapshot["differences"]
    assert merged([snapshot, snapshot])["differences"].keys() == snapshot["differences"].keys()
    assert not any(primary.values())
    assert caplog.text.count("shadow version 2") == 1


def test_a_shadow_that_agrees_is_compared_and_told_nothing(tmp_path):
    async def test(engine, first, second):
        found = await asyncio.gather(*(engine.infer("m", rows(n + 1, n + 1)) for n in range(30)))
        part = await settled(second, chosen(0.5, 30))
        return found, dict(part), second.statistics.differences

    found, part, told = serve(test, times(tmp_path, 2, 2), shadow={"2": 0.5})
    assert [f["y"].tolist() for f in found] == [np.full((n + 1, 3), 2 * (n + 1)).tolist() for n in range(30)]
    assert abs(part["compared"] - 15) <= 2
    assert (part["differed"], told) == (0, {})


def failing(path):
    """A model that fails for values other than 0 to 2."""
    return node_model(
        [
            helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64),
            helper.make_node("Gather", ["t", "i"], ["y"]),
        ],
        [("x", FLOAT, ["batch", 3])],
        [("y", FLOAT, ["batch", 3])],
        path,
        initializers=[helper.make_tensor("t", FLOAT, [3], [0.0, 2.0, 4.0])],
    )


def test_a_shadow_that_fails_fails_nobody(tmp_path):
    async def test(engine, first, second):
        answers = [await answer(engine, v) for v in (1, 9, 2)]
        found, (mirror,) = dict(await settled(second, 3)), first.stages
        assert mirror.held == 0
        return answers, found, dict(second.statistics.differences), first.statistics.failures

    paths = [scaled(tmp_path / "1.onnx"), failing(tmp_path / "2.onnx")]
    answers, found, told, failures = serve(test, paths, shadow={"2": 1.0})
    assert answers == [2.0, 2.0, 2.0]
    assert found == {"compared": 2, "differed": 0, "failed": 1, "dropped": 0}
    (text,) = told
    assert text.startswith("no answer: IX611")
    assert failures == {}


def test_a_shadow_with_another_signature_fails_nobody(tmp_path):
    other = node_model(
        [helper.make_node("Neg", ["x"], ["z"])], [("x", FLOAT, ["n", 4])], [("z", FLOAT, ["n", 4])], tmp_path / "o.onnx"
    )
    third = node_model(
        [helper.make_node("Neg", ["x"], ["y"])], [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])], tmp_path / "t.onnx"
    )

    async def test(engine, first, second, last):
        factor = await answer(engine)
        await settled(second, 1)
        await settled(last, 1)
        return factor, [list(s.statistics.differences) for s in (second, last)]

    paths = [scaled(tmp_path / "1.onnx"), other, third]
    factor, (no_output, no_fit) = serve(test, paths, shadow={"2": 1.0, "3": 1.0})
    assert factor == 2.0
    assert no_output == ["no answer: it has no output y"]
    assert no_fit[0].startswith("no answer: IX604")


def test_what_a_shadow_cannot_keep_up_with_is_dropped_and_answered_all_the_same(tmp_path):
    async def test(engine, first, second):
        held = Held(second)
        answers = [await answer(engine, n + 1) for n in range(20)]
        dropped = second.statistics.shadow["dropped"]
        held.opened.set()
        return answers, dropped, dict(await settled(second, 20))

    quick = ModelSettings(max_queue=8, batching=False)
    answers, dropped, found = serve(test, times(tmp_path, 2, 2), of_versions={2: quick}, shadow={"2": 1.0})
    assert answers == [2.0] * 20
    assert dropped == 14, "one runs, five wait: more than half of a queue of eight"
    assert found == {"compared": 6, "differed": 0, "failed": 0, "dropped": 14}


class Held:
    """Holds the runs of a version until it is opened; knows in which order they came."""

    def __init__(self, served):
        self.opened, self.order = threading.Event(), []
        self._execute, served.model.execute = served.model.execute, self

    def __call__(self, names, feeds, options=None):
        self.order.append(float(feeds["x"][0, 0]))
        assert self.opened.wait(20)
        return self._execute(names, feeds, options)


def test_who_asks_for_the_shadow_comes_before_what_it_does_as_a_shadow(tmp_path):
    async def test(engine, first, second):
        held = Held(second)
        for value in (1, 2, 3):
            await answer(engine, value)
        while not held.order:
            await asyncio.sleep(0.001)
        asked = asyncio.ensure_future(answer(engine, 9, version="2"))
        await asyncio.sleep(0)
        held.opened.set()
        await asked
        await settled(second, 3)
        return held.order

    alone = ModelSettings(batching=False)
    paths = times(tmp_path, 2, 2)
    assert serve(test, paths, of_versions={2: alone}, shadow={"2": 1.0}) == [1, 9, 2, 3]


def test_what_waits_for_a_shadow_is_bounded_in_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(splitting, "MAX_HELD", 100)  # a request and its answer have 24

    async def test(engine, first, second):
        held = Held(second)
        answers = [await answer(engine, n + 1) for n in range(10)]
        (mirror,) = first.stages
        dropped = second.statistics.shadow["dropped"], mirror.held
        held.opened.set()
        await settled(second, 10)
        await asyncio.gather(*(engine.infer("m", rows(value)) for value in (1, 2)))
        await settled(second, 12)
        return answers, dropped, mirror.held

    answers, dropped, after = serve(test, times(tmp_path, 2, 2), shadow={"2": 1.0})
    assert answers == [2.0] * 10
    assert dropped == (6, 96)
    assert after == 0


def test_a_shadow_never_runs_on_the_thread_that_answers(tmp_path):
    async def test(engine, first, second):
        threads, execute = [], second.model.execute

        def seen(*args, **kwargs):
            threads.append(threading.current_thread())
            return execute(*args, **kwargs)

        second.model.execute = seen
        await answer(engine)
        await settled(second, 1)
        engine.settings = Settings()
        engine.split("m")
        await answer(engine)  # it is the newest now
        return [t is threading.current_thread() for t in threads], second.trial.inline

    assert serve(test, times(tmp_path, 2, 2), shadow={"2": 1.0}, execution="inline") == ([False, True], True)


def test_a_shadow_that_goes_away_is_only_a_shadow(tmp_path):
    async def test(engine, first, second):
        call = asyncio.ensure_future(answer(engine))
        await asyncio.sleep(0)
        for old in engine.replace("m", [first]):
            await old.close()
        return await call, await answer(engine), engine.split_problems("m")

    first, second, problems = serve(test, times(tmp_path, 2, 2), shadow={"2": 1.0})
    assert (first, second) == (2.0, 2.0)
    assert problems["2"].code == "IX696"


# -- what cannot be followed ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["canary", "shadow"])
def test_a_version_that_is_not_served_gets_nothing_and_is_told(tmp_path, kind):
    async def test(engine, *versions):
        return [await answer(engine) for _ in range(10)], dict(engine.split_problems("m"))

    answers, problems = serve(test, times(tmp_path, 1, 2), **{kind: {"7": 0.5}})
    assert answers == [2.0] * 10
    error = problems["7"]
    assert isinstance(error, ServingError)
    assert (error.code, error.found, error.expected) == (
        "IX696",
        f"version 7 as {kind}",
        "one of the versions that are served: 1, 2",
    )


def test_a_split_that_leaves_no_version_for_the_rest_is_told(tmp_path):
    async def test(engine, *versions):
        return [await answer(engine) for _ in range(10)], dict(engine.split_problems("m"))

    answers, problems = serve(test, times(tmp_path, 1, 2), canary={"1": 0.2, "2": 0.5})
    assert set(answers) <= {1.0, 2.0}
    assert {e.code for e in problems.values()} == {"IX696"}
    assert "no version of m is left" in problems["2"].message


def test_a_canary_has_the_signature_of_the_version_whose_requests_it_answers(tmp_path):
    other = node_model(
        [helper.make_node("Neg", ["x"], ["y"])], [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])], tmp_path / "o.onnx"
    )

    async def test(engine, *versions):
        return [await answer(engine) for _ in range(10)], dict(engine.split_problems("m"))

    answers, problems = serve(test, [scaled(tmp_path / "1.onnx"), other], canary={"2": 0.5})
    assert answers == [2.0] * 10
    assert (problems["2"].found, problems["2"].expected) == ("x: float32[n, 4]", "x: float32[batch, 3]")
