"""The supervisor and its workers: what happens when one of them dies, hangs, is wedged, or is told something."""

import asyncio
import http.client
import json
import os
import signal
import socket
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
from onnx import TensorProto, helper
from serve_process import INFER, Load, serving
from serving import node_model, scaled

from interchange.errors import InterchangeError
from interchange.serving.settings import Settings
from interchange.serving.workers.control import Channel
from interchange.serving.workers.supervisor import Supervisor

TOKEN = "an-admin-token-of-the-tests"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    scaled(folder / "double.onnx")
    return folder


@pytest.fixture(scope="module")
def two(models, tmp_path_factory):
    """A server with two workers, for tests that leave two behind them."""
    token = tmp_path_factory.mktemp("tokens") / "admin"
    token.write_text(TOKEN)
    with serving(models, "--workers", "2", "--hang-seconds", "1", "--admin-token-file", token) as server:
        server.headers = {"Authorization": f"Bearer {TOKEN}"}
        yield server


# -- together ----------------------------------------------------------------------------------------------------------
def pid_of(server, connection):
    """Which worker is at the other end of a connection."""
    here, there = (f":{port:04X}" for port in (connection.sock.getsockname()[1], server.address[1]))
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
    (inode,) = (fields[9] for fields in rows if fields[1].endswith(there) and fields[2].endswith(here))
    for pid in server.workers():
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if os.readlink(link) == f"socket:[{inode}]":
                    return pid
    raise AssertionError("nobody is at the other end")


@contextmanager
def connected_to_both(server):
    """A connection to each of two workers."""
    with ExitStack() as opened:
        found = {}
        for _ in range(200):
            connection = opened.enter_context(closing(http.client.HTTPConnection(*server.address, timeout=30)))
            server.ask("GET", "/v2/health/live", connection=connection)
            found.setdefault(pid_of(server, connection), connection)
            if len(found) == 2:
                break
        assert len(found) == 2, "the kernel never chose the other worker"
        yield tuple(found.values())


def test_both_workers_answer_and_are_counted_together(two):
    before = json.loads(two.get("/v2/models/double/stats")[1])["model_stats"][0]["inference_count"]
    with connected_to_both(two) as connections:
        for connection in connections:
            for _ in range(5):
                assert two.ask("POST", "/v2/models/double/infer", INFER, connection=connection)[0] == 200
        for connection in connections:  # whoever is asked
            status, body = two.ask("GET", "/v2/models/double/stats", connection=connection)
            assert status == 200
            assert json.loads(body)["model_stats"][0]["inference_count"] == before + 10
            status, body = two.ask("GET", "/metrics", connection=connection)
            assert f'interchange_inferences_total{{model="double",version="1"}} {before + 10}.0' in body.decode()
            assert body.decode().count("interchange_process_cpu_seconds_total{") == 2


def test_a_model_is_unloaded_and_loaded_in_all_and_stays_so_in_a_new_worker(two):
    with connected_to_both(two) as (one, other):
        assert two.ask("POST", "/v2/repository/models/double/unload", {}, connection=one)[0] == 200
        assert two.ask("POST", "/v2/models/double/infer", INFER, connection=other)[0] == 503
        gone = pid_of(two, other)
        os.kill(gone, signal.SIGKILL)
    two.wait_for_workers(lambda pids: len(pids) == 2 and gone not in pids)
    with connected_to_both(two) as (one, other):
        for connection in (one, other):
            assert two.ask("POST", "/v2/models/double/infer", INFER, connection=connection)[0] == 503
        assert two.ask("POST", "/v2/repository/models/double/load", {}, connection=other)[0] == 200
        assert two.ask("POST", "/v2/models/double/infer", INFER, connection=one)[0] == 200


# -- one at a time -----------------------------------------------------------------------------------------------------
def test_a_worker_that_is_killed_under_load_is_replaced_and_only_its_own_connections_end(models):
    with serving(models, "--workers", "2") as server, Load(server) as load:
        load.more(100)
        before = server.workers()
        os.kill(before[0], signal.SIGKILL)
        server.said("SIGKILL")
        server.wait_for_workers(lambda pids: len(pids) == 2 and before[0] not in pids)
        load.more(300)
        load.running = False
        assert load.failures == []
        assert load.again <= len(load.threads)
        assert server.metrics()['interchange_worker_restarts_total{reason="crashed"}'] == 1


def test_connections_that_wait_for_a_worker_that_dies_are_answered_by_the_next(models):
    with serving(models) as server:
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)  # it accepts nothing
        body = json.dumps(INFER).encode()
        head = f"POST /v2/models/double/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        waiting = [socket.create_connection(server.address, timeout=30) for _ in range(20)]
        for sock in waiting:
            sock.sendall(head.encode() + body)
        os.kill(worker, signal.SIGKILL)
        for sock in waiting:
            assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
            sock.close()


def test_while_a_worker_is_away_another_takes_its_connections(models, tmp_path):
    hold = tmp_path / "hold"
    patch = f"import os, time\nwhile os.path.exists({str(hold)!r}): time.sleep(0.02)\n"
    (tmp_path / "sitecustomize.py").write_text(patch)
    with serving(models, "--workers", "2", environment={"PYTHONPATH": str(tmp_path)}) as server:
        gone, other = server.workers()
        hold.touch()  # who starts now waits
        os.kill(gone, signal.SIGKILL)
        server.said("SIGKILL")
        for _ in range(40):  # about half of them come to the socket of the worker that is away
            assert server.infer() == [2, 4, 6]
        hold.unlink()
        server.wait_for_workers(lambda pids: len(pids) == 2 and gone not in pids)
        os.kill(other, signal.SIGKILL)  # the new one has its socket back
        for _ in range(20):
            assert server.infer() == [2, 4, 6]


def test_a_worker_that_hangs_is_replaced(two):
    hung = two.workers()[0]
    os.kill(hung, signal.SIGSTOP)
    two.said("hung")
    two.wait_for_workers(lambda pids: len(pids) == 2 and hung not in pids)


def test_what_was_counted_by_workers_that_are_gone_is_kept(models):
    with serving(models) as server:
        for _ in range(7):
            server.infer()
        name = 'interchange_requests_total{model="double",version="1"}'
        assert server.metrics()[name] == 7
        (gone,) = server.workers()
        os.kill(gone, signal.SIGKILL)
        server.wait_for_workers(lambda pids: len(pids) == 1 and gone not in pids)
        server.infer()
        assert server.metrics()[name] == 8


def stubborn(path):
    """One MatMul of n x n matrices, for n: int64[1]: a kernel which does not look whether it should stop."""
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    nodes = [
        helper.make_node("Concat", ["n", "n"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["a"], value=one),
        helper.make_node("MatMul", ["a", "a"], ["b"]),
        helper.make_node("ReduceMax", ["b"], ["y"], keepdims=0),
    ]
    return node_model(nodes, [("n", TensorProto.INT64, [1])], [("y", TensorProto.FLOAT, [])], path)


def test_a_worker_with_a_run_that_does_not_stop_is_replaced_and_the_others_notice_nothing(tmp_path):
    scaled(tmp_path / "models" / "double.onnx")
    stubborn(tmp_path / "models" / "stubborn.onnx")
    patch = "import interchange.serving.batching as b\nb.STOP_SECONDS = 0.1\n"
    (tmp_path / "sitecustomize.py").write_text(patch)
    environment = {"PYTHONPATH": str(tmp_path)}
    options = ("--set", "models.stubborn = {timeout_ms = 700, threads = 1}", "--stop-seconds", "1")
    with serving(tmp_path / "models", *options, environment=environment) as server:
        (wedged,) = server.workers()
        long = {"inputs": [{"name": "n", "shape": [1], "datatype": "INT64", "data": [4500]}]}
        status, body = server.ask("POST", "/v2/models/stubborn/infer", long)
        assert status == 504, body
        with Load(server, clients=2) as load:
            server.said("does not stop")
            server.wait_for_workers(lambda pids: len(pids) == 1 and wedged not in pids)
            load.more(50)
        assert load.failures == []
        assert server.metrics()['interchange_worker_restarts_total{reason="wedged"}'] == 1


def test_workers_that_die_at_once_end_the_start_with_a_reason(models, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(InterchangeError) as info:
        asyncio.run(Supervisor(models, Settings(http_port=0, grpc_port=None)).run())
    assert info.value.code == "IX678"


def test_what_cannot_be_served_at_all_is_told_at_the_start(tmp_path):
    with pytest.raises(InterchangeError) as info:
        asyncio.run(Supervisor(tmp_path / "gone", Settings(http_port=0, grpc_port=None)).run())
    assert info.value.code == "IX668"


# -- the channel -------------------------------------------------------------------------------------------------------
async def channels(handlers):
    one, other = socket.socketpair()
    for sock in (one, other):
        sock.setblocking(False)
    ours, theirs = await Channel.over(one, {}), await Channel.over(other, handlers)
    return ours, theirs, [asyncio.create_task(c.serve()) for c in (ours, theirs)]


def test_questions_answers_and_errors_cross_the_channel():
    async def add(a, b):
        return a + b

    async def fail():
        raise InterchangeError("IX640", "there is no such thing", found="it", expected="another", fix="look")

    async def mistake():
        raise KeyError("secret of ours")

    async def run():
        ours, theirs, tasks = await channels({"add": add, "fail": fail, "mistake": mistake})
        assert await asyncio.gather(*(ours.ask("add", a=i, b=1) for i in range(50))) == list(range(1, 51))
        assert await ours.ask("add", a="x" * 10_000_000, b="y") == "x" * 10_000_000 + "y"
        with pytest.raises(InterchangeError) as info:
            await ours.ask("fail")
        assert info.value.to_dict() == {
            "code": "IX640", "message": "there is no such thing", "where": None, "found": "it", "expected": "another",
            "fix": "look",
        }  # fmt: skip
        with pytest.raises(InterchangeError) as info:
            await ours.ask("mistake")
        assert info.value.code == "IX648"
        theirs.close()
        await asyncio.gather(*tasks)

    asyncio.run(run())


def test_who_waits_for_an_answer_is_told_when_the_other_side_goes():
    async def never():
        await asyncio.Event().wait()

    async def run():
        ours, theirs, tasks = await channels({"never": never})
        asked = asyncio.create_task(ours.ask("never"))
        await asyncio.sleep(0)
        theirs.close()
        with pytest.raises(ConnectionError):
            await asked
        with pytest.raises(ConnectionError):
            await ours.ask("never")
        ours.tell("never")  # nobody hears it
        await asyncio.gather(*tasks)

    asyncio.run(run())


class FakeWorker:
    def __init__(self, error=None):
        self.channel, self.alive, self.error, self.asked = self, True, error, []

    async def ask(self, do, **arguments):
        self.asked.append((do, arguments))
        if self.error is not None:
            raise self.error


def test_a_load_that_fails_in_one_worker_fails_as_a_whole():
    async def run():
        supervisor = Supervisor("models", Settings(workers=4))
        broken = InterchangeError("IX666", "the model did not answer")
        asker, good, bad, gone = (FakeWorker(e) for e in (None, None, broken, ConnectionError()))
        supervisor.workers = dict(enumerate((asker, good, bad, gone)))
        with pytest.raises(InterchangeError) as info:
            await supervisor._tell_all({"do": "load", "model": "iris"}, but=asker)
        assert info.value is broken
        assert (asker.asked, good.asked) == ([], [("load", {"model": "iris"})])

    asyncio.run(run())


def test_the_supervisor_carries_next_to_nothing(models):
    with serving(models) as server:
        maps = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert "libpython" in maps or "/python" in maps
        assert [m for m in ("numpy", "onnx", "uvloop") if m in maps] == []
