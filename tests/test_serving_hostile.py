"""Hostile and edge requests: each is answered as the table says, and the server lives on as if nothing had been."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from hostile_cases import Case, models, server
from hostile_requests import CASES, PAGE, page
from raw_http import GOOD, GOOD_OUTPUTS, Answer, Wire

from interchange.serving import Server

REQUESTS = [c for c in CASES if c.server != "slow"]
SLOW = [c for c in CASES if c.server == "slow"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def servers(folder: Path) -> Iterator[dict[str, Server]]:
    """All of them run for all of the cases: what one case leaves behind, another finds."""
    running = {kind: server(kind, folder).start() for kind in dict.fromkeys(c.server for c in CASES)}
    yield running
    for each in running.values():
        each.stop()


def ask(case: Case, url: str) -> Answer:
    """Send a case, and look at what the protocol says of all answers."""
    expected = case.answers or (case.status,)
    with Wire(url) as wire:
        if case.pause:
            for part in case.send():
                wire.send(part)
                time.sleep(case.pause)  # between packets: that is what the case is about
        else:
            wire.send(*case.send())
        if case.end:
            wire.end()
        answers = [wire.answer(to_head=case.to_head) for _ in expected]
        assert [a.status for a in answers] == list(expected), answers[-1].body
        last = answers[-1]
        assert last.closes == case.closes, "whether the connection ends"
        if not (last.closes or case.end or case.server == "guarded"):
            assert wire.send(GOOD).answer().json["outputs"] == GOOD_OUTPUTS, "on the same connection"
        if case.end:
            assert wire.ended()
    return last


@pytest.mark.parametrize("case", REQUESTS, ids=lambda c: c.slug)
def test_a_request(case: Case, servers: dict[str, Server]) -> None:
    asked = servers[case.server]
    with case.around(asked):
        answer = ask(case, asked.url) if case.talk is None else case.talk(asked)
    if answer is not None:
        judge(case, answer)
    alive(asked)


@pytest.fixture(scope="module")
def slow_answers(servers: dict[str, Server]) -> Iterator[dict[str, Future[Answer | None]]]:
    """Those that take seconds, all at the same time."""
    with ThreadPoolExecutor(len(SLOW)) as threads:
        yield {
            c.slug: threads.submit(ask, c, servers["slow"].url)
            if c.talk is None
            else threads.submit(c.talk, servers["slow"])
            for c in SLOW
        }


@pytest.mark.parametrize("case", SLOW, ids=lambda c: c.slug)
def test_a_request_that_takes_its_time(
    case: Case, slow_answers: dict[str, Future[Answer | None]], servers: dict[str, Server]
) -> None:
    answer = slow_answers[case.slug].result()
    if answer is not None:
        judge(case, answer)
    alive(servers["slow"])


def judge(case: Case, answer: Answer) -> None:
    """What holds for every answer, and what the case says of its own."""
    assert answer.headers["content-length"] == str(len(answer.body)) or case.to_head
    if case.status >= 400:
        told = json.loads(answer.body)
        assert case.status != 500
        assert told["error"].startswith("IX")
        assert told["message"] in told["error"]
        if case.code:
            assert told["code"] == case.code, told
        for part in ("Traceback", "site-packages", 'File "', os.fspath(Path.home())):
            assert part not in told["error"]
    for text in case.says:
        assert text.encode() in answer.body, answer.body
    assert case.check(answer), answer


def alive(asked: Server) -> None:
    """A good request, by somebody else."""
    token = [t.secret for t in asked.settings.tokens if t.inference]
    good = (
        GOOD.replace(b"Host: test\r\n", b"Host: test\r\nAuthorization: Bearer %b\r\n" % token[0].encode(), 1)
        if token
        else GOOD
    )
    with Wire(asked.url) as wire:
        assert wire.send(good).answer().json["outputs"] == GOOD_OUTPUTS


def test_nothing_is_left_behind(servers: dict[str, Server]) -> None:
    """Connections, tasks, queues, and what is remembered of requests."""
    for kind, asked in servers.items():
        app = asked.doors.app
        end = time.monotonic() + 10
        while app.connections and time.monotonic() < end:
            time.sleep(0.01)
        assert app.connections == 0, kind
        assert asked.call(_tasks()) <= 1, kind
        for versions in app.engine.models.values():
            for served in versions.values():
                assert served.batcher.waiting == 0
                assert not served.batcher.running
                assert not served.batcher._queues
        assert asked.doors.http is not None
        assert not asked.doors.http._lingering
        assert len(asked.doors.http.heads) <= 1024
    gc.collect()


async def _tasks() -> int:
    """Beside the one that asks and the one that waits for the end."""
    return len(asyncio.all_tasks()) - 2


def test_the_table_is_whole() -> None:
    assert len(CASES) >= 100
    assert len({c.slug for c in CASES}) == len(CASES)


def test_the_page_shows_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python tests/hostile_requests.py brings it up to date"
