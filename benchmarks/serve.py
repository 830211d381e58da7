"""Serving: what a request costs the server, against FastAPI, MLServer and Triton; on loopback, in one run.

    python benchmarks/serve.py [--peers fastapi,mlserver,triton] [--cases json,binary,grpc,validation,large]

The figure is CPU time: what the server's processes use, user and system, divided by the requests they answered; the
load generator's is not in it. Beside it throughput, latency as the clients saw it, and memory (PSS). All servers are up
at the same time, and each round measures each of them once, in turn; the medians of the rounds are printed, with the
least and the most. What else ran on the machine meanwhile is measured as well: where it took more than `--quiet` cores
a measurement is repeated, three times at most, and the least disturbed one counts.

The peers are installed with pip into environments of their own under .bench/, the first time they are asked for. Triton
comes out of the package nvidia-pytriton, which has its server and its Python back end, which needs the Python of the
system (`--triton-python /usr/bin/python3.11` on Debian 12). Where an ONNX Runtime back end for that server is at hand,
`--triton-backends DIR` uses it instead: DIR/onnxruntime/libtriton_onnxruntime.so.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"  # of numpy, here and in every server; ONNX Runtime has threads of its own

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from serving import load, models, peers
from serving.load import Load
from serving.processes import Server, machine_seconds, memory_mb, used_seconds
from serving.questions import Question, ask, question

WARM_UP = 1  # second
TRIES = 3  # of a measurement that other work disturbed
CASES = ("json", "binary", "grpc", "validation", "large")
OURS = ("interchange", "fixed body")
PEERS = ("fastapi", "mlserver", "triton")


@dataclass
class Sample:
    """One measurement. cpu: microseconds a request.  others: cores that were busy with something else."""

    load: Load
    cpu: float
    others: float
    memory: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.load.requests / self.load.seconds


class Bare:
    """ONNX Runtime in a loop, in a process of its own."""

    def __init__(self, model: Path, feeds: dict[str, np.ndarray], threads: int, folder: Path) -> None:
        np.savez(folder / "feeds.npz", **feeds)
        command = [sys.executable, str(peers.HERE / "bare.py"), str(model), str(folder / "feeds.npz"), str(threads)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        self._read()

    def _read(self) -> Any:
        return json.loads(self._process.stdout.readline())

    def run(self, seconds: int) -> Load:
        """Keep it busy for so long."""
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        found = self._read()
        micros = found["seconds"] / found["requests"] * 1e6
        return Load(found["requests"], found["seconds"], micros, micros, 0)

    def stop(self) -> None:
        """End it."""
        self._process.stdin.close()
        self._process.wait()


@dataclass
class Contestant:
    """One line of a table: how it is kept busy, and by which process."""

    name: str
    pid: int
    run: Callable[[int, int], Load]
    samples: dict[int, list[Sample]] = field(default_factory=dict)  # by the number of clients

    def measure(self, clients: int, seconds: int) -> Sample:
        """One measurement. Raises RuntimeError for a request that failed."""
        begin, cpu, machine, own = time.perf_counter(), used_seconds(self.pid), machine_seconds(), _own()
        found = self.run(clients, seconds)
        cpu, machine, own = used_seconds(self.pid) - cpu, machine_seconds() - machine, _own() - own
        passed = time.perf_counter() - begin
        if found.errors or not found.requests:
            raise RuntimeError(f"{self.name}: {found.errors} of {found.requests} requests failed")
        others = max(0.0, machine - cpu - own) / passed
        return Sample(found, cpu / found.requests * 1e6, others, memory_mb(self.pid))

    def median(self, clients: int, what: Callable[[Sample], float]) -> float:
        """Over the rounds."""
        return statistics.median(map(what, self.samples[clients]))


def _own() -> float:
    """CPU time of this process and of the load generators, which have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


@dataclass
class Case:
    """A table. large: times are told in milliseconds."""

    title: str
    clients: Sequence[int]
    contestants: list[Contestant]
    seconds: int
    large: bool = False

    def round(self, quiet: float) -> None:
        """Measure each contestant once at each number of clients."""
        for clients in self.clients:
            for contestant in self.contestants:
                tries: list[Sample] = []
                while not tries or (tries[-1].others > quiet and len(tries) < TRIES):
                    tries.append(contestant.measure(clients, self.seconds))
                best = min(tries, key=lambda s: s.others)
                contestant.samples.setdefault(clients, []).append(best)

    def print(self) -> None:
        """The medians, with the least and the most of the two figures that count."""
        unit, scale, digits = ("ms", 1e3, 2) if self.large else ("us", 1.0, 1)
        for clients in self.clients:
            title = f"{self.title}, {clients} client{'s' * (clients > 1)}"
            print(f"\n{title:<36}{'requests/s':>11}{'':17} {'CPU ' + unit:>8}{'':17}", end="")
            print(f"{'p50 ' + unit:>9}{'p99 ' + unit:>9}{'MB':>7}{'others':>8}")
            for c in self.contestants:
                rates, cpus = ([f(s) for s in c.samples[clients]] for f in (lambda s: s.rate, lambda s: s.cpu / scale))
                rate_spread = f"({min(rates):.{digits - 1}f}-{max(rates):.{digits - 1}f})"
                cpu_spread = f"({min(cpus):.{digits}f}-{max(cpus):.{digits}f})"
                print(f"{c.name:<36}{statistics.median(rates):>11,.{digits - 1}f} {rate_spread:<16}", end=" ")
                print(f"{statistics.median(cpus):>8,.{digits}f} {cpu_spread:<16}", end="")
                for what in (lambda s: s.load.p50 / scale, lambda s: s.load.p99 / scale):
                    print(f"{c.median(clients, what):>9,.{digits - 1}f}", end="")
                print(f"{c.median(clients, lambda s: s.memory):>7.0f}{max(s.others for s in c.samples[clients]):>8.2f}")


# -- who stands in which table -----------------------------------------------------------------------------------------
def http_or_grpc(server: Server, name: str, asked: Sequence[Question]) -> Contestant:
    """A contestant that is asked over the network."""
    port = server.grpc if asked[0].protocol == "grpc" else server.http
    return Contestant(name, server.pid, lambda clients, seconds: load.run(port, asked, clients, seconds))


class Field:
    """The servers that run, and the cases they are measured in."""

    def __init__(self, servers: dict[str, Server], place: peers.Place, seconds: int, clients: Sequence[int]) -> None:
        self.servers, self.place, self.seconds, self.clients = servers, place, seconds, clients

    def _asked(self, server: str, label: str, protocol: str, model: str, source: str) -> list[Contestant]:
        """A contestant, if its server runs and answers as ONNX Runtime does."""
        if server not in self.servers:
            return []
        running = self.servers[server]
        feeds = models.feeds(source)
        session = onnxruntime.InferenceSession(str(self.place.models[source]))
        asked = question(protocol, model, feeds)
        answer = ask(running.grpc if protocol == "grpc" else running.http, asked)
        np.testing.assert_allclose(answer, session.run(None, feeds)[0], rtol=1e-4, atol=1e-4, err_msg=label)
        return [http_or_grpc(running, label, [asked])]

    def small(self, protocol: str) -> Case:
        """The perceptron."""
        found = []
        if protocol == "json":
            feeds = models.feeds("mlp")
            found.append(http_or_grpc(self.servers["fixed body"], "fixed body", [question("json", "mlp", feeds)]))
        lines = [
            ("interchange", "interchange", "mlp"),
            ("interchange", "interchange, no batching", "mlp_alone"),
            ("interchange, 2 workers", "interchange, 2 workers", "mlp"),
            ("triton", "triton", "mlp"),
            ("triton", "triton, dynamic batching", "mlp_batching"),
            ("triton", "triton, 2 instances", "mlp_two"),
        ]
        lines += [("fastapi", "fastapi", "mlp")] if protocol == "json" else []
        lines += [("mlserver", "mlserver", "mlp")] if protocol != "binary" else []
        for server, label, model in lines:
            found += self._asked(server, label, protocol, model, "mlp")
        titles = {"json": "MLP, JSON", "binary": "MLP, binary", "grpc": "MLP, gRPC"}
        return Case(titles[protocol], self.clients, found, self.seconds)

    def validation(self) -> Case:
        """What it costs that shapes are held against the signature and the guards of the model."""
        ours, found = self.servers["interchange"], []
        for model in ("unguarded", "guarded"):
            for count in (1, 64):
                # close to 64 values each, so that reading them costs the same
                sizes = [64] if count == 1 else [4 * i for i in range(1, 33) for _ in (0, 1)]
                asked = [
                    question("json", model, models.feeds(model, rows=1 + i % 2, time=t)) for i, t in enumerate(sizes)
                ]
                found.append(http_or_grpc(ours, f"{model}, {count} shape{'s' * (count > 1)}", asked))
        return Case("x + x, JSON", [16], found, self.seconds)

    def large(self, stack: ExitStack) -> Case:
        """The network of ResNet-50's size, beside ONNX Runtime with the same threads."""
        with tempfile.TemporaryDirectory() as folder:
            feeds = models.feeds("resnet")
            bare = Bare(self.place.models["resnet"], feeds, self.place.threads, Path(folder))
        stack.callback(bare.stop)
        found = [Contestant("bare ONNX Runtime", bare.pid, lambda _, seconds: bare.run(seconds))]
        for server, label, protocol, model in (
            ("interchange, large", "interchange, binary", "binary", "resnet"),
            ("interchange, large", "interchange, binary, no batching", "binary", "resnet_alone"),
            ("interchange, large", "interchange, gRPC", "grpc", "resnet"),
            ("interchange, large", "interchange, JSON", "json", "resnet"),
            ("triton, large", "triton, binary", "binary", "resnet"),
        ):
            found += self._asked(server, label, protocol, model, "resnet")
        return Case("25.6M weights, 3x224x224", [1, 4], found, 2 * self.seconds, large=True)


# -- goals -------------------------------------------------------------------------------------------------------------
def goals(cases: dict[str, Case]) -> None:
    """Print each goal, what was measured, and whether it is met."""
    print("\ngoals")
    if "json" in cases and 16 in cases["json"].clients:
        lines = {
            c.name: (c.median(16, lambda s: s.rate), c.median(16, lambda s: s.cpu)) for c in cases["json"].contestants
        }
        rate, cpu = lines["interchange"]
        _goal("JSON, 16 clients, one process: requests a second", rate, 30_000, ",.0f")
        _goal("JSON, 16 clients, one process: CPU us a request", cpu, 35, ".1f", most=True)
        rivals = {n: v for n, v in lines.items() if n.startswith("triton")}
        if rivals:
            best = max(rivals, key=lambda n: rivals[n])
            _goal(f"its throughput, relative to {best}", rate / rivals[best][0], 1.5, ".2f")
            _goal(f"its CPU, relative to {best}", cpu / rivals[best][1], 0.5, ".2f", most=True)
        if "mlserver" in lines:
            _goal("its CPU, relative to mlserver", cpu / lines["mlserver"][1], 0.1, ".3f", most=True)
    if "large" in cases:
        bare, ours = cases["large"].contestants[:2]
        for clients in cases["large"].clients:
            share = ours.median(clients, lambda s: s.rate) / bare.median(clients, lambda s: s.rate)
            at = f"{clients} client{'s' * (clients > 1)}"
            _goal(f"large model, {at}: throughput, relative to bare ONNX Runtime", share, 0.97, ".3f")


def _goal(what: str, value: float, goal: float, form: str, *, most: bool = False) -> None:
    met = value <= goal if most else value >= goal
    print(f"{what:<72}{value:>9{form}}   {'<=' if most else '>='} {goal:<9,} {'met' if met else 'MISSED'}")


# -- the run -----------------------------------------------------------------------------------------------------------
def start(place: peers.Place, wanted: Sequence[str], cases: Sequence[str], stack: ExitStack) -> dict[str, Server]:
    """All servers; one of the others that cannot be had is left out, and it is said why."""
    servers = {}
    small = ["mlp", "unguarded", "guarded"]
    makers: dict[str, Callable[[], Server]] = {}
    if set(cases) - {"large"}:
        makers["fixed body"] = lambda: peers.fixed_body(place)
        makers["interchange"] = lambda: peers.ours(place, small)
        makers["interchange, 2 workers"] = lambda: peers.ours(place, ["mlp"], workers=2)
        makers.update({name: lambda name=name: getattr(peers, name)(place) for name in wanted})
    if "large" in cases:
        makers["interchange, large"] = lambda: peers.ours(place, ["resnet"])
        if "triton" in wanted:
            makers["triton, large"] = lambda: peers.triton(place, large=True)
    for name, make in makers.items():
        try:
            servers[name] = make()
        except RuntimeError as error:
            if name.startswith(OURS):
                raise
            print(f"{name} is left out: {error}", file=sys.stderr)
        else:
            stack.callback(servers[name].stop)
    return servers


def _numbers(text: str) -> list[int]:
    return [int(n) for n in text.split(",")]


def _names(of: Sequence[str]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        found = [n for n in text.split(",") if n]
        if not set(found) <= set(of):
            raise argparse.ArgumentTypeError(f"choose from {','.join(of)}")
        return found

    return read


def main() -> None:
    """Start the servers, measure them in rounds, print tables and goals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("--peers", type=_names(PEERS), default=[], help="fastapi,mlserver,triton; none of them by itself")
    option("--cases", type=_names(CASES), default=list(CASES))
    option("--clients", type=_numbers, default=[1, 16, 64], help="of the small model: 1,16,64")
    option("--rounds", type=int, default=5)
    option("--seconds", type=int, default=2, help="of one measurement; those of the large model take twice as long")
    option("--quiet", type=float, default=0.1, help="cores that something else may use meanwhile")
    option("--triton-backends", type=Path, help="a folder with back ends for the server of nvidia-pytriton")
    option("--triton-python", default=sys.executable, help="the Python of Triton's Python back end")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cores = len(os.sched_getaffinity(0))
        backends = options.triton_backends and options.triton_backends.resolve()
        written = models.write(folder / "models")
        place = peers.Place(written, folder, cores, backends, options.triton_python)
        servers = start(place, options.peers, options.cases, stack)
        around = Field(servers, place, options.seconds, options.clients)
        cases = {n: around.small(n) for n in ("json", "binary", "grpc") if n in options.cases}
        if "validation" in options.cases:
            cases["validation"] = around.validation()
        if "large" in options.cases:
            cases["large"] = around.large(stack)
        for case in cases.values():
            for contestant in case.contestants:
                contestant.run(max(case.clients), WARM_UP)
        for number in range(options.rounds):
            for name, case in cases.items():
                print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr)
                case.round(options.quiet)
    used = load.generators()
    print(f"{time.strftime('%Y-%m-%d')}, {cores} cores, onnxruntime {onnxruntime.__version__}", end="; ")
    print(f"load by {used['http']} and {used['grpc']}", end="; ")
    if "triton" in options.peers:
        print(f"triton with its {'ONNX Runtime' if backends else 'Python'} back end", end="; ")
    print(f"{options.rounds} rounds of {options.seconds} s: medians (least-most)")
    for case in cases.values():
        case.print()
    goals(cases)


if __name__ == "__main__":
    main()
