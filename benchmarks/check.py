"""Checking: time and memory against onnx.checker, on models of many nodes and on one of many weights.

    python benchmarks/check.py [--nodes 100 1000 10000] [--megabytes 2048] [--rounds 7]

The models of many nodes are a multilayer perceptron and blocks of a transformer, each layer with weights of its own, as
bytes. CPU time, contestants in turn in one process, the median of the rounds; *isolated* is the child process in which
files are checked by default, with what it takes to send the model there and the report back (wall time: what the child
needs is not counted as ours). The model of many weights has external data; each contestant reads it in a process of its
own, after a small model that warms it up; its peak memory is what the kernel says.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


# -- models ------------------------------------------------------------------------------------------------------------
class Builder:
    """Nodes and weights of a model that takes ``x`` and gives what was made last."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.random = np.random.default_rng(0)

    def weight(self, *shape: int) -> str:
        """A float32 initializer of that shape."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(self.random.normal(size=shape).astype(np.float32), name))
        return name

    def integers(self, *values: int) -> str:
        """An int64 initializer."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def __call__(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"/{name}", **attributes))
        return name

    def model(self, last: str, shape: list[Any]) -> onnx.ModelProto:
        """What was built."""
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", last)]
        graph = helper.make_graph(self.nodes, "main", values[:1], values[1:], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def perceptron(nodes: int) -> onnx.ModelProto:
    """Layers of MatMul, Add, Relu, of width 16."""
    g, h = Builder(), "x"
    while len(g.nodes) < nodes:
        h = g("Relu", g("Add", g("MatMul", h, g.weight(16, 16)), g.weight(16)))
    return g.model(h, ["batch", 16])


def transformer(nodes: int) -> onnx.ModelProto:
    """Blocks of attention with two heads and a feed-forward net, of width 16."""
    g, h = Builder(), "x"
    split, joined = g.integers(0, 0, 2, 8), g.integers(0, 0, 16)
    while len(g.nodes) < nodes:
        n = g("LayerNormalization", h, g.weight(16), g.weight(16))
        q, k, v = (
            g("Transpose", g("Reshape", g("MatMul", n, g.weight(16, 16)), split), perm=[0, 2, 1, 3]) for _ in range(3)
        )
        scores = g("Softmax", g("MatMul", q, g("Transpose", k, perm=[0, 1, 3, 2])))
        mixed = g("Reshape", g("Transpose", g("MatMul", scores, v), perm=[0, 2, 1, 3]), joined)
        h = g("Add", h, g("MatMul", mixed, g.weight(16, 16)))
        n = g("LayerNormalization", h, g.weight(16), g.weight(16))
        wide = g("Gelu", g("Add", g("MatMul", n, g.weight(16, 64)), g.weight(64)))
        h = g("Add", h, g("Add", g("MatMul", wide, g.weight(64, 16)), g.weight(16)))
    return g.model(h, ["batch", "time", 16])


# -- many nodes --------------------------------------------------------------------------------------------------------
def median_ms(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median CPU time of each in milliseconds (wall time for what waits for another process), in turn."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for action in contestants.values():
        action()
    for _ in range(rounds):
        for name, action in contestants.items():
            clock = time.perf_counter if name == "isolated" else time.process_time
            begin = clock()
            action()
            times[name].append(clock() - begin)
    return {name: statistics.median(t) * 1e3 for name, t in times.items()}


def node_times(sizes: list[int], rounds: int) -> None:
    """Print the time of each contestant, and ours relative to onnx.checker's with full_check."""
    from interchange import check

    print(f"{'CPU ms':<24}{'onnx':>10}{'onnx full':>12}{'ours':>10}{'isolated':>10}{'ours/full':>11}{'us a node':>11}")
    for build in (perceptron, transformer):
        for size in sizes:
            data = build(size).SerializeToString()
            assert not check(data).findings
            t = median_ms(
                {
                    "onnx": lambda data=data: onnx.checker.check_model(data),
                    "full": lambda data=data: onnx.checker.check_model(data, full_check=True),
                    "ours": lambda data=data: check(data, isolate=False),
                    "isolated": lambda data=data: check(data),
                },
                rounds,
            )
            row = f"{t['onnx']:>10.2f}{t['full']:>12.2f}{t['ours']:>10.2f}{t['isolated']:>10.2f}"
            row += f"{t['ours'] / t['full']:>11.2f}{t['ours'] / size * 1e3:>11.1f}"
            print(f"{build.__name__ + f' of {size}':<24}{row}")


# -- many weights ------------------------------------------------------------------------------------------------------
def large(path: Path, megabytes: int) -> None:
    """A model of layers of 16 MB, its weights in one data file."""
    g, h = Builder(), "x"
    rows = 2048
    with open(path.with_suffix(".data"), "wb") as file:
        for i in range(megabytes // 16):
            name, offset = f"w{i}", file.tell()
            file.write(g.random.normal(size=(rows, rows)).astype(np.float32).tobytes())
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[rows, rows], data_location=1)
            for key, value in (("location", f"{path.stem}.data"), ("offset", offset), ("length", 4 * rows * rows)):
                tensor.external_data.add(key=key, value=str(value))
            g.weights.append(tensor)
            h = g("Relu", g("MatMul", h, name))
    path.write_bytes(g.model(h, ["batch", rows]).SerializeToString())


_ACTIONS = {
    "onnx": "import onnx; run = onnx.checker.check_model",
    "onnx full": "import onnx; run = lambda path: onnx.checker.check_model(path, full_check=True)",
    "onnx.load, then full": "import onnx; run = lambda p: onnx.checker.check_model(onnx.load(p), full_check=True)",
    "ours": "from interchange import check; run = lambda path: check(path, isolate=False).raise_if_errors()",
    "ours, scan for NaN": "from interchange import check; run = lambda p: check(p, isolate=False, scan_weights=True)",
}
_MEASURE = """
import json, resource, time
{action}
run({small!r})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begin = time.process_time()
try:
    run({path!r})
    end = ""
except Exception as error:
    end = f"{{type(error).__name__}}: {{str(error)[:60]}}"
print(json.dumps([time.process_time() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, end]))
"""


def weight_times(megabytes: int, rounds: int) -> None:
    """Print the CPU time and the peak memory of each contestant on a model of many weights."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.onnx"
        large(path, megabytes)
        small = path.with_name("small.onnx")
        small.write_bytes(perceptron(2).SerializeToString())
        print(f"\n{f'model of {megabytes} MB':<24}{'CPU s':>10}{'peak MB':>10}")
        for name, action in _ACTIONS.items():
            found = []
            for _ in range(min(rounds, 3)):
                script = _MEASURE.format(path=str(path), small=str(small), action=action)
                done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
                found.append(json.loads(done.stdout.splitlines()[-1]))
            seconds = statistics.median(f[0] for f in found)
            memory = statistics.median(f[1] for f in found) / 1024
            print(f"{name:<24}{seconds:>10.3f}{memory:>10.0f}  {found[0][2]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="*", default=[100, 1_000, 10_000])
    parser.add_argument("--megabytes", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    node_times(arguments.nodes, arguments.rounds)
    if arguments.megabytes:
        weight_times(arguments.megabytes, arguments.rounds)


if __name__ == "__main__":
    main()
