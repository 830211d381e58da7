"""What a server does when things go wrong: figures, fault by fault.

python benchmarks/faults.py [--seconds 10] [--only reload,kill,...]

Each fault is inflicted on a real `interchange serve` under load, with checked answers: every one of them must be what
the model says. "lost" counts calls that got no right answer at all from a client that tries again, as the protocol
allows; "cut" counts connections of a client that does not, which were reset before their answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import onnx
from onnx import TensorProto, helper

from interchange.client import Client
from interchange.errors import InterchangeError

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


# -- models -----------------------------------------------------------------------------------------------------------
def scaled(by: float) -> bytes:
    """``y = by * x``, x: float32[batch, 3]."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "by"], ["y"])],
        "scaled",
        [helper.make_tensor_value_info("x", FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", FLOAT, ["batch", 3])],
        [helper.make_tensor("by", FLOAT, [], [by])],
    )
    return _model(graph)


def slow() -> bytes:
    """As many turns of a Loop as n says, n: int64[1]."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Sin", ["v"], ["w"])],
        "body",
        [value("i", INT64, []), value("go", TensorProto.BOOL, []), value("v", FLOAT, [64])],
        [value("on", TensorProto.BOOL, []), value("w", FLOAT, [64])],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Squeeze", ["n", "axis"], ["count"]),
            helper.make_node("Loop", ["count", "", "start"], ["y"], body=body),
        ],
        "slow",
        [value("n", INT64, [1])],
        [value("y", FLOAT, [64])],
        [
            helper.make_tensor("start", FLOAT, [64], np.ones(64, np.float32)),
            helper.make_tensor("axis", INT64, [1], [0]),
        ],
    )
    return _model(graph)


def _model(graph: onnx.GraphProto) -> bytes:
    opset = [helper.make_opsetid("", 20)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString())


# -- a server ---------------------------------------------------------------------------------------------------------
class Serving:
    """A running `interchange serve`. url, grpc: its addresses.  pid: of the supervisor."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            sys.exit(f"the server did not start: status {process.wait()}")
        told = json.loads(line)
        self.process, self.url, self.pid = process, str(told["http"]), process.pid

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def workers(self) -> list[int]:
        """The processes that serve."""
        return [int(p) for p in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def ready_workers(self) -> int:
        """How many processes serve, as the metrics tell."""
        try:
            with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:  # it was the one that was killed
            return 0
        return int(float(text.split("\ninterchange_workers ")[1].split("\n")[0]))

    def memory(self) -> float:
        """Proportional set size of all its processes, MB."""
        total = 0
        for pid in (self.pid, *self.workers()):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total / 1024

    def files(self) -> int:
        """Open files and connections of all its processes."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in (self.pid, *self.workers()))


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[Serving]:
    """`interchange serve` on free ports, stopped at the end; its exit status must be 0."""
    command = [sys.executable, "-m", "interchange", "serve", str(folder), "--http-port", "0", "--grpc-port", "0"]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            yield Serving(process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            status = process.wait(60)
        if status:
            errors.seek(0)
            print(errors.read()[-2000:], file=sys.stderr)
            sys.exit(f"the server ended with status {status}")


class Load:
    """Threads that ask without a pause, each for other numbers, and look at every answer.

    factors: those that a right answer may show.  right, lost: calls.  refusals: codes of errors -> how often.
    """

    def __init__(self, url: str, factors: set[float], threads: int = 8, retries: int = 5) -> None:
        self.url, self.factors, self.retries = url, factors, retries
        self.right = self.wrong = 0
        self.refusals: Counter[str] = Counter()
        self.worst = 0.0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(threads)]

    def _ask(self, number: int) -> None:
        x = np.full((1, 3), number + 1, np.float32)
        with Client(self.url, retries=self.retries, timeout=20) as client:
            while not self._stop.is_set():
                begin = time.perf_counter()
                try:
                    y = client.infer("m", x=x)["y"]
                except InterchangeError as error:
                    self.refusals[error.code] += 1
                    continue
                self.worst = max(self.worst, time.perf_counter() - begin)
                factor = float(y[0, 0] / x[0, 0])
                if factor in self.factors and (y == x * np.float32(factor)).all():
                    self.right += 1
                else:
                    self.wrong += 1

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def told(self) -> dict[str, Any]:
        return {
            "right": self.right,
            "wrong": self.wrong,
            "lost": dict(self.refusals),
            "slowest_ms": round(self.worst * 1000),
        }


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Until it holds; ends the benchmark when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {seconds} s")
        time.sleep(0.02)


# -- the faults -------------------------------------------------------------------------------------------------------
def kill(folder: Path, seconds: float) -> dict[str, Any]:
    """kill -9 of a worker, again and again, under load. cut: of a client that does not try again."""
    (folder / "m.onnx").write_bytes(scaled(2))
    kills = 0
    with (
        serving(folder, "--workers", "2") as server,
        Load(server.url, {2.0}) as patient,
        Load(server.url, {2.0}, threads=8, retries=0) as hasty,
    ):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(1.0)
            victim = server.workers()[0]
            os.kill(victim, signal.SIGKILL)
            kills += 1
            wait_for(lambda gone=victim: gone not in server.workers(), "a killed worker is still there")
            wait_for(lambda: server.ready_workers() == 2, "a killed worker was not replaced")
    return {"kills": kills, **patient.told(), "cut": sum(hasty.refusals.values()), "wrong_hasty": hasty.wrong}


def reload(folder: Path, seconds: float) -> dict[str, Any]:
    """Good, broken and half-copied models take turns in the place of the one that is served."""
    path = folder / "m.onnx"
    path.write_bytes(scaled(2))
    factors = {2.0, 3.0, 5.0}
    writes = Counter[str]()
    with serving(folder, "--watch-seconds", "0.2") as server, Load(server.url, factors) as load:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for factor in (3.0, 5.0, 2.0):
                for what, data in (
                    ("broken", b"no model at all"),
                    ("half", scaled(factor)[:60]),
                    ("good", scaled(factor)),
                ):
                    path.write_bytes(data)
                    writes[what] += 1
                    time.sleep(0.5)
        with Client(server.url) as client:
            last = client.infer("m", x=np.ones((1, 3), np.float32))["y"][0, 0]
    return {"writes": dict(writes), **load.told(), "last_factor": float(last)}


def full_disk(folder: Path, seconds: float) -> dict[str, Any]:
    """The access log goes to a device that is full."""
    (folder / "m.onnx").write_bytes(scaled(2))
    with serving(folder, "--access-log", "/dev/full") as server, Load(server.url, {2.0}) as load:
        time.sleep(seconds)
    return load.told()


def vanishing(folder: Path, seconds: float) -> dict[str, Any]:
    """Clients that go away in the middle of their request, or before its answer."""
    (folder / "m.onnx").write_bytes(scaled(2))
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]})
    request = f"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()

    async def go(port: int, end: float, number: int) -> int:
        count = 0
        while time.monotonic() < end:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request if number % 2 else request[: 20 + 7 * number % len(request)])
            await writer.drain()
            writer.transport.abort()
            count += 1
        return count

    async def crowd(port: int) -> int:
        end = time.monotonic() + seconds
        return sum(await asyncio.gather(*(go(port, end, n) for n in range(50))))

    with serving(folder) as server:
        with Load(server.url, {2.0}, threads=2) as load:
            asyncio.run(crowd(server.port))  # everything is warm
            before, files = server.memory(), server.files()
            gone = asyncio.run(crowd(server.port))
        wait_for(lambda: server.files() <= files, "connections are left over")
        after = server.memory()
    return {"vanished": gone, **load.told(), "mb_before": round(before, 1), "mb_after": round(after, 1)}


def idle(folder: Path, seconds: float) -> dict[str, Any]:
    """A thousand connections that say nothing, beside those that ask."""
    (folder / "m.onnx").write_bytes(scaled(2))

    async def hold(port: int) -> list[asyncio.StreamWriter]:
        return [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(1000)]

    async def release(writers: list[asyncio.StreamWriter]) -> None:
        for writer in writers:
            writer.close()
        await asyncio.gather(*(w.wait_closed() for w in writers), return_exceptions=True)

    with serving(folder) as server:
        with Load(server.url, {2.0}, threads=4) as alone:
            time.sleep(seconds / 2)
        before = server.memory()
        loop = asyncio.new_event_loop()
        writers = loop.run_until_complete(hold(server.port))
        with Load(server.url, {2.0}, threads=4) as beside:
            time.sleep(seconds / 2)
        held, memory = server.files(), server.memory()
        loop.run_until_complete(release(writers))
        loop.close()
    rate = beside.right / alone.right
    return {
        **beside.told(),
        "open_files": held,
        "kb_each": round((memory - before) * 1024 / 1000, 1),
        "rate_against_without": round(rate, 2),
    }


def full_queue(folder: Path, seconds: float) -> dict[str, Any]:
    """Sixty-four clients on a busy model with room for eight: each is answered, or told 429 with Retry-After."""
    (folder / "slow.onnx").write_bytes(slow())
    config = folder.parent / "serve.toml"
    config.write_text("[models.slow]\nmax_queue = 8\n")
    body = json.dumps({"inputs": [{"name": "n", "datatype": "INT64", "shape": [1], "data": [20_000]}]}).encode()
    request = b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    statuses: Counter[str] = Counter()

    async def ask(port: int, end: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            status = head.split(b" ")[1].decode()
            statuses[status if status != "429" or b"retry-after: " in head else "429 without retry-after"] += 1
            if status == "429":
                await asyncio.sleep(0.02)
        writer.close()

    async def crowd(port: int) -> None:
        end = time.monotonic() + seconds
        await asyncio.gather(*(ask(port, end) for _ in range(64)))

    with serving(folder, "--config", str(config)) as server:
        asyncio.run(crowd(server.port))
        before = server.memory()
        statuses.clear()
        asyncio.run(crowd(server.port))
        after = server.memory()
    return {"statuses": dict(statuses), "mb_before": round(before, 1), "mb_after": round(after, 1)}


def restart(folder: Path, seconds: float) -> dict[str, Any]:
    """SIGTERM under load: requests are served while the server drains; then nobody is there, and nothing was cut."""
    (folder / "m.onnx").write_bytes(scaled(2))
    with serving(folder, "--drain-seconds", "2") as server, Load(server.url, {2.0}, retries=0) as load:
        time.sleep(seconds / 2)
        os.kill(server.pid, signal.SIGTERM)
        status = server.process.wait(60)
    codes = dict(load.refusals)
    unreachable = codes.pop("IX681", 0)  # after the end: nobody listens
    return {
        "right": load.right,
        "wrong": load.wrong,
        "lost": codes,
        "after_the_end": unreachable,
        "exit_status": status,
    }


FAULTS = {f.__name__: f for f in (kill, reload, full_disk, vanishing, idle, full_queue, restart)}


def main() -> None:
    """Inflict them one after the other, and print a line of JSON for each."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument(
        "--seconds", type=float, default=10.0, help="of each fault; the full queue lasts six times that"
    )
    options.add_argument("--only", default=",".join(FAULTS), help="some of them")
    chosen = options.parse_args()
    for name in chosen.only.split(","):
        place = Path(tempfile.mkdtemp())
        folder = place / "models"
        folder.mkdir()
        try:
            found = FAULTS[name](folder, chosen.seconds * (6 if name == "full_queue" else 1))
        finally:
            shutil.rmtree(place)
        print(json.dumps({"fault": name, **found}), flush=True)


if __name__ == "__main__":
    main()
