"""Closed loops: so many clients, each of which sends its next request when it has its answer.

wrk for HTTP and h2load for gRPC where they are installed; otherwise the generators of interchange.client, in a process
of their own: `python load.py http|grpc PORT CLIENTS SECONDS REQUEST...`.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from serving.questions import Question

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
    return {k: (shutil.which(c) and c) or "python" for k, c in (("http", "wrk"), ("grpc", "h2load"))}


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
            found = _h2load_log(Path(folder) / "log", seconds)
            if not found.requests:
                raise RuntimeError(f"h2load had no answer: {result.stdout[-1000:]}")
            return found
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


def main(kind: str, port: str, clients: str, seconds: str, *paths: str) -> None:
    """The load generator of interchange.client."""
    from interchange.client.addresses import Address
    from interchange.client.load import Target, measure
    from interchange.client.load_grpc import measure_grpc

    requests = [Path(p).read_bytes() for p in paths]
    much = {"clients": int(clients), "seconds": float(seconds), "warm_up": 0.0}
    if kind == "grpc":
        found = measure_grpc(f"127.0.0.1:{port}", requests, **much)
    else:
        found = measure(Target("", Address("127.0.0.1", int(port)), requests), **much)
    micros = [found.percentile(q) * 1e6 for q in (50, 99)]
    print(json.dumps(vars(Load(found.requests, found.seconds, *micros, found.failed))))


if __name__ == "__main__":
    main(*sys.argv[1:])
