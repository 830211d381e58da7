"""Closed loops: so many clients, each of which sends its next request when it has its answer.

wrk for HTTP and h2load for gRPC where they are installed; otherwise the loops at the end of this file, in a process of
their own: `python load.py http|grpc PORT CLIENTS SECONDS REQUESTS`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent.parent))

from serving.questions import METHOD, Question

# wrk sends the one request by itself; several are sent in turn
_WRK = """
local bodies, made, at = {%s}, {}, 0
wrk.method, wrk.path = "POST", "%s"
%s
local function read(path) local f = io.open(path, "rb"); local body = f:read("*a"); f:close(); return body end
wrk.body = read(bodies[1])
function init()
  for i, path in ipairs(bodies) do made[i] = wrk.format(nil, nil, nil, read(path)) end
end
if #bodies > 1 then
  function request() at = at %% #made + 1; return made[at] end
end
function done(summary, latency)
  local e = summary.errors
  io.stderr:write(string.format('{"requests": %%d, "seconds": %%f, "p50": %%f, "p99": %%f, "errors": %%d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What clients saw. p50, p99: microseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: int


def generators() -> dict[str, str]:
    """What makes the load of each kind of protocol."""
    return {k: shutil.which(c) and c or "python" for k, c in (("http", "wrk"), ("grpc", "h2load"))}


def run(port: int, asked: Sequence[Question], clients: int, seconds: int) -> Load:
    """Keep so many clients busy for so long. Several questions are asked in turn (over HTTP). Raises RuntimeError."""
    kind = "grpc" if asked[0].protocol == "grpc" else "http"
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(i) for i in range(len(asked))]
        program = generators()[kind]
        if program == "wrk":
            command = _wrk(port, asked, paths, clients, seconds, Path(folder) / "lua")
        elif program == "h2load":
            command = _h2load(port, asked[0], paths[0], clients, seconds, Path(folder) / "log")
        else:
            command = [sys.executable, __file__, kind, str(port), str(clients), str(seconds), *map(str, paths)]
        for path, question in zip(paths, asked, strict=True):
            if program == "python" and kind == "http":
                path.write_bytes(_http_request(question))
            else:  # a message of gRPC has a prefix: not compressed, its length
                prefix = b"\0" + len(question.body).to_bytes(4, "big") if program == "h2load" else b""
                path.write_bytes(prefix + question.body)
        result = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
        if result.returncode:
            raise RuntimeError(f"{program} failed: {result.stderr[-500:]}{result.stdout[-500:]}")
        if program == "h2load":
            return _h2load_log(Path(folder) / "log", seconds)
        return Load(**json.loads(result.stderr if program == "wrk" else result.stdout))


def _wrk(
    port: int, asked: Sequence[Question], bodies: Sequence[Path], clients: int, seconds: int, script: Path
) -> list[str]:
    headers = "\n".join(f'wrk.headers["{k}"] = "{v}"' for k, v in asked[0].headers.items())
    script.write_text(_WRK % (", ".join(f'"{b}"' for b in bodies), asked[0].path, headers))
    options = ["-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "-s", str(script)]
    return ["wrk", *options, f"http://127.0.0.1:{port}"]


def _h2load(port: int, asked: Question, body: Path, clients: int, seconds: int, log: Path) -> list[str]:
    options = ["-D", f"{seconds}", "-c", str(clients), "-m", "1", "-t", "1", "-d", str(body), "--log-file", str(log)]
    headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    return ["h2load", *options, *headers, f"http://127.0.0.1:{port}{asked.path}"]


def _h2load_log(log: Path, seconds: float) -> Load:
    """Each line: when it began, the status, how long it took; both times in microseconds."""
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    return _load([int(t) for _, _, t in lines], seconds, sum(status != "200" for _, status, _ in lines))


def _load(micros: list[float], seconds: float, errors: int) -> Load:
    cuts = statistics.quantiles(micros, n=100) if len(micros) > 1 else [micros[0] if micros else 0.0] * 99
    return Load(len(micros), seconds, cuts[49], cuts[98], errors)


# -- without wrk and h2load --------------------------------------------------------------------------------------------
def _http_request(asked: Question) -> bytes:
    headers = "".join(f"{k}: {v}\r\n" for k, v in asked.headers.items())
    head = f"POST {asked.path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}content-length: {len(asked.body)}\r\n\r\n"
    return head.encode() + asked.body


class _Client(asyncio.Protocol):
    """One connection: what it sends, and how long each answer took."""

    def __init__(self, requests: list[bytes], end: float) -> None:
        self.requests, self.end, self.at = requests, end, 0
        self.micros: list[float] = []
        self.errors = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._send()

    def _send(self) -> None:
        self.seen, self.length = b"", -1
        self.began = perf_counter()
        self.transport.write(self.requests[self.at])
        self.at = (self.at + 1) % len(self.requests)

    def data_received(self, data: bytes) -> None:
        self.seen += data
        if self.length < 0:
            head, found, _ = self.seen.partition(b"\r\n\r\n")
            if not found:
                return
            (length,) = (v for n, _, v in (h.partition(b":") for h in head.split(b"\r\n")) if n.lower() == b"content-length")
            self.length = len(head) + 4 + int(length)
        if len(self.seen) < self.length:
            return
        now = perf_counter()
        self.micros.append((now - self.began) * 1e6)
        self.errors += not self.seen.startswith(b"HTTP/1.1 200")
        if now < self.end:
            self._send()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.errors += error is not None
        self.done.set_result(None)


async def _http(port: int, clients: int, seconds: float, requests: list[bytes]) -> Load:
    begin = perf_counter()
    made = [_Client(requests, begin + seconds) for _ in range(clients)]
    for client in made:
        await asyncio.get_running_loop().create_connection(lambda client=client: client, "127.0.0.1", port)
    await asyncio.gather(*(c.done for c in made))
    return _load([t for c in made for t in c.micros], perf_counter() - begin, sum(c.errors for c in made))


async def _grpc(port: int, clients: int, seconds: float, requests: list[bytes]) -> Load:
    from grpc import aio

    begin, micros = perf_counter(), []

    async def loop(number: int) -> None:
        own = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
        async with aio.insecure_channel(f"127.0.0.1:{port}", own) as channel:
            infer = channel.unary_unary(METHOD)
            while (now := perf_counter()) < begin + seconds:
                await infer(requests[0])
                micros.append((perf_counter() - now) * 1e6)

    await asyncio.gather(*map(loop, range(clients)))
    return _load(micros, perf_counter() - begin, 0)


if __name__ == "__main__":
    kind, *numbers = sys.argv[1:5]
    port, clients, seconds = int(numbers[0]), int(numbers[1]), float(numbers[2])
    requests = [Path(p).read_bytes() for p in sys.argv[5:]]
    found = asyncio.run((_grpc if kind == "grpc" else _http)(port, clients, seconds, requests))
    print(json.dumps(vars(found)))
