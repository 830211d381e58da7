"""Clients: processor time of one call of a small model, against Triton's client and bare sockets; and of the load
generator, against wrk.

    python benchmarks/client.py [--calls 2000] [--rounds 5]

A server of its own in another process (perceptron 64-32-10, float32). One call at a time, in turn in one process; CPU
time of the client's process, the median of the rounds. tritonclient and wrk are left out where they are not installed.
"""

import argparse
import asyncio
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from interchange.client import AsyncClient, Client
from interchange.client.load import measure
from interchange.client.targets import target_of

SERVER = """
import sys
import numpy as np
import interchange as ix
from interchange.eager import nn
from interchange.serving import Server

nn_model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).eval()
ix.export(nn_model, {"x": "float32[batch, 64]"}, "mlp.onnx")
with Server("mlp.onnx", http_port=0, grpc_port=None) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""
X = np.random.default_rng(0).random((1, 64), np.float32)


def used(who: int = resource.RUSAGE_SELF) -> float:
    """Seconds of processor time."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def contestants(
    url: str, client: Client, loop: asyncio.AbstractEventLoop, other: AsyncClient
) -> dict[str, Callable[[], Any]]:
    """What makes one call."""
    import socket

    found: dict[str, Callable[[], Any]] = {
        "Client": lambda: client.infer("mlp", x=X),
        "Client, JSON": lambda: client.infer("mlp", x=X, binary=False),
        "AsyncClient (one task)": lambda: loop.run_until_complete(other.infer("mlp", x=X)),
    }
    try:
        import tritonclient.http as triton
    except ModuleNotFoundError:
        pass
    else:
        output = client.metadata("mlp")["outputs"][0]["name"]
        theirs = triton.InferenceServerClient(url.removeprefix("http://"))

        def call() -> Any:
            given = triton.InferInput("x", [1, 64], "FP32")
            given.set_data_from_numpy(X)
            return theirs.infer("mlp", [given]).as_numpy(output)

        found["tritonclient.http"] = call
    request = client.prepare("mlp", {"x": X})
    sock = socket.create_connection((client.address.host, client.address.port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def bare() -> bytes:
        sock.sendall(request)
        return sock.recv(1 << 16)

    return found | {"prepared bytes on a socket, unread": bare}


def calls(url: str, count: int, rounds: int) -> None:
    """Print the CPU time of a call for each contestant."""
    loop = asyncio.new_event_loop()
    other = AsyncClient(url)
    with Client(url) as client:
        made = contestants(url, client, loop, other)
        times: dict[str, list[float]] = {name: [] for name in made}
        for number in range(rounds + 1):  # the first warms up
            for name, call in made.items():
                before = used()
                for _ in range(count):
                    call()
                if number:
                    times[name].append((used() - before) / count * 1e6)
    print(f"{'one call at a time':36} CPU us a call")
    for name, values in times.items():
        print(f"{name:36} {statistics.median(values):6.1f}")
    loop.run_until_complete(other.close())


def generators(url: str) -> None:
    """Print the CPU time of a request for the load generator, and for wrk."""
    print(f"\n{'16 connections':36} CPU us a request, requests a second")
    with Client(url) as client:
        target = target_of(client, "mlp", {"x": X})
        found = measure(target, clients=16, seconds=3)
        print(
            f"{'interchange bench':36} {(found.client_cpu or 0) / found.requests * 1e6:6.1f} {found.throughput:12.0f}"
        )
        if shutil.which("wrk") is None:
            return
        head, _, body = target.requests[0].partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "body").write_bytes(body)
            script = Path(folder) / "script.lua"
            length = lines["Inference-Header-Content-Length"]
            script.write_text(
                f'wrk.method = "POST"\nwrk.body = io.open("{folder}/body", "rb"):read("*a")\n'
                f'wrk.headers["Inference-Header-Content-Length"] = "{length}"\n'
                f"done = function(s) io.stderr:write(s.requests, ' ', s.duration / 1e6) end\n"
            )
            before = used(resource.RUSAGE_CHILDREN)
            command = ["wrk", "-t1", "-c16", "-d3", "-s", str(script), f"{url}/v2/models/mlp/infer"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            requests, seconds = map(float, done.stderr.split())
            cpu = (used(resource.RUSAGE_CHILDREN) - before) / requests * 1e6
        print(f"{'wrk':36} {cpu:6.1f} {requests / seconds:12.0f}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", SERVER]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder) as server:
            try:
                assert server.stdout is not None
                url = server.stdout.readline().strip()
                time.sleep(0.2)
                calls(url, options.calls, options.rounds)
                generators(url)
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
