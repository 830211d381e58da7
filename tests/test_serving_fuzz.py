"""Whatever bytes come, the HTTP door answers correctly or refuses with a code, the same in any packets, and lives on.

A short run; `make fuzz` is the long one (tests/fuzzing_serving.py).
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import fuzzing_serving as fuzzing
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_http import GOOD, GOOD_OUTPUTS, Wire, infer

from interchange.serving import Server

few = settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
chance = st.integers(0, 2**32)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with fuzzing.server(tmp_path_factory.mktemp("models")) as server:
        yield server
        app = server.doors.app
        assert app.connections == 0
        assert all(s.batcher.waiting == 0 for v in app.engine.models.values() for s in v.values())


@few
@given(chance)
def test_bytes_changed_and_cut_anywhere(asked: Server, seed: int) -> None:
    fuzzing.try_one(asked, random.Random(seed), fuzzing.bytes_changed)


@few
@given(chance)
def test_json_of_another_form(asked: Server, seed: int) -> None:
    fuzzing.try_one(asked, random.Random(seed), fuzzing.json_changed)


@few
@given(chance)
def test_binary_tensors_of_other_sizes(asked: Server, seed: int) -> None:
    fuzzing.try_one(asked, random.Random(seed), fuzzing.binary_changed)


@settings(few, max_examples=40)
@given(chance)
def test_bytes_changed_over_sockets(asked: Server, seed: int) -> None:
    rnd = random.Random(seed)
    sent = fuzzing.bytes_changed(rnd)
    with Wire(asked.url) as wire:
        writer = threading.Thread(target=_write, args=(wire, fuzzing.packets(sent, rnd)))
        writer.start()
        received = b""
        while data := wire.receive():
            received += data
        writer.join()
    for answer in fuzzing.read_answers(received, to_head=b"HEAD " in sent):
        fuzzing.judge(answer)
    with Wire(asked.url) as other:
        assert other.send(GOOD).answer().json["outputs"] == GOOD_OUTPUTS


def _write(wire: Wire, parts: list[bytes]) -> None:
    wire.send(*parts)
    wire.end()


# -- the fuzzer itself ------------------------------------------------------------------------------------------------
def test_the_requests_to_begin_with_are_good(asked: Server) -> None:
    for sent in fuzzing.CORPUS:
        with Wire(asked.url) as wire:
            answer = wire.send(sent).answer(to_head=sent.startswith(b"HEAD"))
            assert answer.status == (404 if b"/none" in sent else 200), answer
            fuzzing.judge(answer)


def test_the_fuzzer_reaches_answers_and_refusals_of_many_kinds(asked: Server) -> None:
    seen = set()
    door = asked.doors.http
    assert door is not None
    for number in range(1000):
        rnd = random.Random(number)
        sent = rnd.choice(fuzzing.MAKERS)(rnd)
        written = asked.call(fuzzing.talk(door, [sent] if sent else [], lambda: False)).written
        for answer in fuzzing.read_answers(written, to_head=b"HEAD " in sent):
            seen.add(fuzzing.outcome(answer)[:2][answer.status >= 400])
    assert {
        200,
        "IX602",
        "IX603",
        "IX630",
        "IX631",
        "IX632",
        "IX633",
        "IX636",
        "IX638",
        "IX650",
        "IX658",
    } <= seen


def test_a_wrong_answer_is_a_find() -> None:
    sent = infer(fuzzing.everything() | {"outputs": [{"name": "y_INT8"}]}, model="types")
    good = b'{"outputs": [{"name": "y_INT8", "datatype": "INT8", "shape": [1, 2], "data": [-128, 127]}]}'
    fuzzing.right(sent, fuzzing.Answer(200, {}, good))
    with pytest.raises(AssertionError):
        fuzzing.right(sent, fuzzing.Answer(200, {}, good.replace(b"127", b"126")))
    with pytest.raises(AssertionError):
        fuzzing.judge(fuzzing.Answer(500, {}, b"{}"))
