"""The load generator and `interchange bench` / `infer`: figures that are true, also of servers that stall or refuse."""

import json
import os
import re
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from scripted import Scripted, X, head, infer, reply
from shell import Ran

from interchange.client import Client, RemoteError
from interchange.client.load import Target, measure
from interchange.client.measurements import Measurement, Result
from interchange.client.pictures import histogram, save, svg, table
from interchange.client.processes import cpu_seconds, server_pids
from interchange.client.rounds import compare
from interchange.client.targets import random_inputs, target_of
from interchange.errors import InterchangeError


def target(server, **options):
    with Client(server.url) as client:
        made = target_of(client, "m", {"x": X}, **options)
    server.requests.clear()
    return made


# -- closed loop -------------------------------------------------------------------------------------------------------
def test_every_request_is_counted_once():
    with Scripted() as server:
        found = measure(target(server), clients=3, seconds=0.3, warm_up=0)
        assert found.errors == {}
        assert 0 <= len(server.inferences) - found.requests <= 6  # those under way at the end, or just answered
        assert len({r.connection for r in server.inferences}) == 3
        assert found.throughput == pytest.approx(found.requests / 0.3)
        assert 0 < found.percentile(50) <= found.percentile(99) <= found.percentile(100) < 0.3
        assert found.client_cpu > 0


@pytest.mark.parametrize("binary", [True, False])
def test_requests_are_those_of_the_client(binary):
    with Scripted() as server:
        with Client(server.url) as client:
            client.infer("m", x=X, binary=binary)
            sent = server.inferences[-1]
        measure(target(server, binary=binary), clients=1, seconds=0.1, warm_up=0)
        assert {(r.path, r.body) for r in server.inferences} == {(sent.path, sent.body)}


def test_answers_in_pieces_in_chunks_and_without_keep_alive_count():
    def pieces(sock):
        for byte in infer(server.inferences[-1]):
            sock.sendall(bytes([byte]))

    def chunks(sock):
        body = b'{"outputs": []}'
        sock.sendall(head(None, Transfer_Encoding="chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

    def closing(sock):
        sock.sendall(head(2, Connection="close") + b"{}")
        raise EOFError

    with Scripted() as server:
        asked = target(server)
        server.script = [pieces, chunks, closing, pieces]
        found = measure(asked, clients=1, seconds=0.2, warm_up=0)
        assert found.errors == {}
        assert found.requests >= len(server.inferences) - 1 > 4


def test_what_goes_wrong_is_counted_by_its_kind():
    told = {"error": "full", "code": "IX643", "message": "the queue is full"}

    def hang_up(sock):
        raise EOFError

    with Scripted() as server:
        asked = target(server)
        server.script = [
            reply(told, 429), reply(told, 429), reply({"error": "x"}, 500), hang_up, b"nonsense\r\n", head(9) + b"short"
        ]  # fmt: skip
        found = measure(asked, clients=1, seconds=0.4, warm_up=0, timeout=0.1)
        assert found.errors["429: IX643: the queue is full"] == 2
        assert found.errors["500: x"] == 1
        assert sum(k.startswith("IX684") for k in found.errors) == 1
        assert found.failed == 6
        assert found.requests > 0


def test_a_server_that_is_not_there():
    with Scripted() as server:
        asked = target(server)
    with pytest.raises(InterchangeError, match="IX681"):
        measure(asked, seconds=0.1)


def test_a_server_that_goes_away_and_comes_back():
    with Scripted() as server:
        asked = target(server)
        timer = threading.Timer(0.1, server.drop)
        timer.start()
        found = measure(asked, clients=2, seconds=0.4, warm_up=0)
        timer.join()
        assert 1 <= found.failed <= 2
        assert found.ends[-1] > 0.3


def test_large_requests_and_answers_are_whole():
    big = np.random.default_rng(0).random((300_000, 3), np.float32)
    with Scripted() as server:
        with Client(server.url) as client:
            asked = target_of(client, "m", {"x": big})
        server.requests.clear()
        found = measure(asked, clients=2, seconds=0.5, warm_up=0)
        assert found.errors == {}
        assert found.requests > 0
        assert all(len(r.body) == len(server.inferences[0].body) for r in server.inferences)


# -- open loop ---------------------------------------------------------------------------------------------------------
def test_a_rate_is_kept():
    with Scripted() as server:
        found = measure(target(server), clients=8, rate=200, seconds=0.5, warm_up=0)
        assert found.errors == {}
        assert found.requests == len(server.inferences) == 100


def test_a_stall_is_charged_for_all_that_it_kept_waiting():
    """The closed loop sees one slow answer; at a rate all that was due meanwhile is slow (no coordinated omission)."""

    def stall(sock):
        time.sleep(0.25)
        sock.sendall(infer(server.inferences[-1]))

    with Scripted() as server:
        asked = target(server)
        server.script = [stall]
        closed = measure(asked, clients=1, seconds=0.5, warm_up=0)
        assert (closed.latencies > 0.1).sum() == 1
        server.script = [stall]
        opened = measure(asked, clients=1, rate=100, seconds=0.5, warm_up=0)
        assert opened.requests == 50
        assert (opened.latencies > 0.1).sum() >= 12


def test_what_is_never_answered_is_an_error_at_a_rate(monkeypatch):
    monkeypatch.setattr("interchange.client.load._GRACE", 0.1)

    def silence(sock):
        sock.recv(1)

    with Scripted() as server:
        asked = target(server)
        server.script = [silence]
        found = measure(asked, clients=1, rate=50, seconds=0.2, warm_up=0)
        assert found.requests == 0
        assert found.errors == {"no answer by the end": 10}


# -- figures -----------------------------------------------------------------------------------------------------------
def test_percentiles_are_values_that_occurred():
    found = Measurement(1.0, np.arange(1, 1001) / 1000, np.arange(1, 1001) / 1000)
    seen = [found.percentile(q) for q in (0, 50, 90, 99, 99.9, 100)]
    assert seen == pytest.approx([0.001, 0.5, 0.9, 0.99, 0.999, 1.0], abs=0.0011)
    assert set(seen) <= set(found.latencies)
    assert np.isnan(Measurement(1.0, np.empty(0), np.empty(0)).percentile(50))
    assert found.over_time(10)[1].sum() == pytest.approx(10_000)


def test_a_figure_is_the_median_of_the_rounds():
    def one(count, cpu):
        return Measurement(1.0, np.full(count, 1 / count), np.linspace(0, 1, count), {"429": 1}, cpu, None)

    figures = Result("a", [one(100, 0.1), one(1000, 0.1), one(200, 0.1)]).figures()
    assert figures["requests_per_second"] == 200
    assert figures["p50_us"] == pytest.approx(5000)
    assert figures["client_cpu_us"] == pytest.approx(500)
    assert figures["server_cpu_us"] is None
    assert (figures["requests"], figures["errors"]) == (1300, {"429": 3})


def test_targets_are_measured_in_turn():
    order = []

    def measuring(name):
        def one(seconds):
            order.append((name, seconds))
            return Measurement(seconds, np.empty(0), np.empty(0))

        return one

    results = compare({"a": measuring("a"), "b": measuring("b")}, 6.0, 3)
    assert order == [("a", 2.0), ("b", 2.0)] * 3
    assert [(r.name, len(r.rounds)) for r in results] == [("a", 3), ("b", 3)]


def test_random_inputs_fit_and_differ():
    import ml_dtypes

    from interchange.client.signature import Served

    inputs = [
        {"name": n, "datatype": d, "shape": [-1, 4]}
        for n, d in [("f", "FP16"), ("b", "BF16"), ("i", "INT64"), ("t", "BYTES")]
    ]
    served = Served({"inputs": inputs})
    first, second = (random_inputs(served.specs.values(), 3, seed) for seed in (0, 1))
    assert served.arrays(first).keys() == {"f", "b", "i", "t"}
    assert all(a.shape == (3, 4) for a in first.values())
    assert first["b"].dtype == ml_dtypes.bfloat16
    assert set(first["i"].flat) <= {0, 1}
    assert not np.array_equal(first["f"], second["f"])
    with Scripted() as server, Client(server.url) as client:
        assert len(set(target_of(client, "m", {}, rows=2).requests)) == 16


def test_a_wrong_request_is_told_and_not_measured():
    refusal = reply({"error": "no", "code": "IX604", "message": "no"}, 400)
    with Scripted(script=[refusal]) as server, Client(server.url) as client, pytest.raises(RemoteError, match="IX604"):
        target_of(client, "m", {"x": X})


# -- processor time ----------------------------------------------------------------------------------------------------
LISTENING = """
import os, socket, sys
server = socket.create_server(("127.0.0.1", 0))
child = os.fork()
if child == 0:
    sum(range(10_000_000))
    if sys.argv[1] == "ended":
        os._exit(0)
    print(server.getsockname()[1], flush=True)
elif sys.argv[1] == "ended":
    os.waitpid(child, 0)
    print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are seen through Linux's /proc")
@pytest.mark.parametrize(("child", "count"), [("living", 2), ("ended", 1)])
def test_the_processes_of_a_server_are_found_and_their_children_counted(child, count):
    from interchange.client.addresses import read_url

    command = [sys.executable, "-c", LISTENING, child]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            port = int(process.stdout.readline())
            found = server_pids(read_url(f"http://127.0.0.1:{port}"))
            assert process.pid in found
            assert len(found) == count  # a living child holds the socket as well
            assert cpu_seconds({process.pid}) >= 0.1  # which the child used
            assert server_pids(read_url(f"http://192.0.2.1:{port}")) == set()
        finally:
            process.stdin.close()
    assert cpu_seconds({process.pid}) is None
    assert cpu_seconds(set()) is None


# -- pictures ----------------------------------------------------------------------------------------------------------
def results(*names):
    rng = np.random.default_rng(0)
    return [
        Result(
            n, [Measurement(2.0, rng.lognormal(-7, 1, 500), np.sort(rng.random(500) * 2), {"429: full": 2}, 0.1, 0.2)]
        )
        for n in names
    ]


def test_a_picture_has_a_curve_of_latency_and_of_throughput_for_each_target():
    root = ElementTree.fromstring(svg(results("a", "<b>&"), "two & <more>"))
    curves = [e for e in root.iter() if e.get("class") == "curve"]
    assert len(curves) == 6  # and a sample in the legend
    texts = "".join(root.itertext())
    assert "<b>&" in texts
    assert "two & <more>" in texts
    width, height = (float(v) for v in root.get("viewBox").split()[2:])
    for curve in curves:
        points = [tuple(map(float, p.split(","))) for p in curve.get("points").split()]
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points)


def test_a_picture_needs_nothing_from_elsewhere_and_knows_dark_grounds(tmp_path):
    for name in ("p.svg", "p.html"):
        save(results("a"), str(tmp_path / name), "t")
        text = (tmp_path / name).read_text()
        assert "prefers-color-scheme:dark" in text
        assert re.findall(r"(?:src|href|url|@import|<script)\b", text) == []
    for name, code in (("p.png", "IX872"), ("none/p.svg", "IX840")):
        with pytest.raises(InterchangeError, match=code):
            save(results("a"), str(tmp_path / name), "t")


def test_pictures_and_texts_of_next_to_nothing():
    empty = Result("none", [Measurement(1.0, np.empty(0), np.empty(0), {"429: full": 1})])
    single = Result("one", [Measurement(1.0, np.array([0.001]), np.array([0.5]))])
    ElementTree.fromstring(svg([empty, single], "t"))
    ElementTree.fromstring(svg([], "t"))
    assert "none: 1 x 429: full" in table([empty, single])
    assert histogram(empty) == ""
    assert "100.0%" in histogram(single)


# -- commands ----------------------------------------------------------------------------------------------------------
def test_infer(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    (tmp_path / "token").write_text("secret\n")
    with Scripted() as server:
        for given in (["x.npy"], ["--input", "x=x.npy"], ["--input", "x=[[1, 2, 3]]", "--version", "1", "--no-binary"]):
            done = Ran(capsys, "infer", server.url, "m", *given, "--only", "y", "--json", "--token-file", "token")
            assert (done.status, done.json) == (0, {"y": [[2.0, 4.0, 6.0]]})
        sent = server.inferences[-1]
        assert sent.headers["authorization"] == "Bearer secret"
        assert json.loads(sent.body)["outputs"] == [{"name": "y"}]
        assert Ran(capsys, "infer", server.url, "m", "x.npy", "--output", "y.npy").out == "wrote y.npy: y\n"
        assert np.load("y.npy").tolist() == [[2, 4, 6]]
        assert "float32[1, 3]" in Ran(capsys, "infer", server.url, "m", "x.npy").out
        for code, args in [
            ("IX604", ["m", "--input", "x=[1, 2]"]),
            ("IX602", ["m", "--input", "z=[1, 2]"]),
            ("IX686", ["other", "x.npy"]),
            ("IX840", ["m", "none.npy"]),
            ("IX680", ["m", "x.npy", "--token-file", "none"]),
            ("IX680", ["m", "x.npy", "--ca-file", "token"]),
        ]:
            done = Ran(capsys, "infer", server.url, *args)
            assert (done.status, done.err[:5]) == (2, code)
        url = server.url
    assert Ran(capsys, "infer", url, "m", "x.npy", "--timeout", "0.1").err.startswith("IX681")


def test_bench_of_a_server(capsys, tmp_path):
    picture = tmp_path / "p.svg"
    with Scripted() as server:
        done = Ran(capsys, "bench", server.url, "m", "--seconds", "0.2", "--warm-up", "0", "--picture", str(picture))
        assert done.status == 0
        assert "answers/s" in done.out
        assert "%" in done.out
        assert picture.exists()
        args = ("bench", server.url, "m", "--input", "x=[[1, 2, 3]]", "--rate", "50", "--seconds", "0.2", "--json")
        found = Ran(capsys, *args, "--warm-up", "0").json["targets"][0]
        assert (found["name"], found["requests"], found["errors"]) == (server.url, 10, {})
        server.script = [infer_ok, reply(status=500)]
        done = Ran(capsys, *args, "--warm-up", "0")
        assert (done.status, done.json["targets"][0]["errors"]) == (1, {"500": 1})


def infer_ok(sock):
    body = b'{"outputs": []}'
    sock.sendall(head(len(body)) + body)


def test_bench_of_a_file_beside_a_server(capsys, tmp_path):
    from serving import scaled

    path = str(scaled(tmp_path / "m.onnx"))
    with Scripted() as server:
        args = ("--seconds", "0.3", "--warm-up", "0", "--clients", "2", "--json")
        found = Ran(capsys, "bench", server.url, "m", "--compare", path, *args).json["targets"]
        assert [(f["name"], f["rounds"]) for f in found] == [(server.url, 3), (path, 3)]
        assert all(f["requests"] > 0 and f["p99_us"] > 0 for f in found)
        assert Ran(capsys, "bench", path, *args).status == 0
        assert Ran(capsys, "bench", path, "--rate", "5").err.startswith("IX873")
        assert Ran(capsys, "bench", server.url).err.startswith("IX873")
        assert Ran(capsys, "bench", server.url, "other", *args).json["error"]["code"] == "IX686"
        assert Ran(capsys, "bench", f"{path}.onnx").err.startswith("IX301")


def test_a_target_without_a_server_of_this_machine_has_no_server_cpu():
    with Scripted() as server:
        asked = target(server)
        found = measure(Target("t", asked.address, asked.requests), clients=1, seconds=0.1, warm_up=0)
        assert found.server_cpu is None
