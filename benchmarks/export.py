"""Export: time a node. Files: load and save of a 500 MB model, and the memory that takes, against onnx.

    python benchmarks/export.py [--megabytes 500] [--layers 1000]

Export is timed in this process; each load and save in a process of its own, whose peak memory is what the kernel says.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "sample_models"))


# -- export ------------------------------------------------------------------------------------------------------------
def fastest_ms(action: Callable[[], object], rounds: int = 7) -> float:
    """The least wall time of an action, in milliseconds: what else the machine does only adds to it."""
    action()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return min(times) * 1e3


def deep_mlp(layers: int) -> tuple[Any, dict[str, str]]:
    """`layers` linear layers of width 16 with a ReLU after each."""
    from interchange.eager import nn

    blocks = [layer for _ in range(layers) for layer in (nn.Linear(16, 16), nn.ReLU())]
    return nn.Sequential(*blocks).eval(), {"x": "float32[batch, 16]"}


def export_times(layers: int, folder: Path) -> None:
    """Print, for each model, the time to the graph, to the file, and of a whole export with check and proof."""
    import digits_cnn
    import iris_regression

    import interchange as ix
    from interchange.exporting import clean
    from interchange.frontends import capture
    from interchange.graph import files

    models = {
        "iris regression": (iris_regression.PetalWidth().eval(), {"x": "float32[batch, 3]"}),
        "digits CNN": (digits_cnn.DigitReader().eval(), {"x": "float32[batch, 1, 8, 8]"}),
        f"MLP of {layers} layers": deep_mlp(layers),
    }
    path = folder / "model.onnx"
    columns = " ".join(f"{c:>20}" for c in ("trace, clean", "write", "check", "all, with proof"))
    print(f"{'ms (and us a node)':24} {'nodes':>6} {columns}")
    for label, (model, inputs) in models.items():

        def trace(model: Any = model, inputs: Any = inputs) -> Any:
            captured = capture(model, inputs, dynamic=None, opset=21, options={})
            clean(captured.model, captured, False)
            captured.model.ir_version = 10
            return captured.model

        graph = trace()
        files.save(graph, path)
        steps = (
            trace,
            partial(files.save, graph, path),
            partial(ix.check, path),
            partial(ix.export, model, inputs, path),
        )
        nodes = len(graph.graph.nodes)
        times = [fastest_ms(step) for step in steps]
        cells = [f"{ms:10.1f} ({ms * 1e3 / nodes:7.1f})" for ms in times]
        print(f"{label:24} {nodes:6} {' '.join(cells)}", flush=True)


# -- files -------------------------------------------------------------------------------------------------------------
def build(path: str, megabytes: str) -> None:
    """A model of matrices of 20 MB each, with its weights in a data file."""
    from interchange.graph import files
    from interchange.graph.core import Graph, ModelIR, Node, Value
    from interchange.graph.tensor import Tensor

    f32, side = np.dtype(np.float32), 2290
    x = Value("x", f32, ("batch", side))
    graph, last = Graph("big", inputs=[x]), x
    rng = np.random.default_rng(0)
    for i in range(max(1, int(megabytes) // 20)):
        data = rng.standard_normal((side, side), np.float32)
        weight = Value(f"w{i}", f32, data.shape, const=Tensor.of(data, name=f"w{i}"))
        graph.initializers[weight.name] = weight
        out = Value(f"y{i}", f32, ("batch", side))
        graph.nodes.append(Node("MatMul", [last, weight], [out]))
        last = out
    graph.outputs.append(last)
    files.save(ModelIR(graph, opsets={"": 21}, ir_version=10), path, external=True)


def ours_load(path: str, _: str) -> Any:
    """Load with interchange."""
    from interchange.graph import files

    return files.load(path)


def onnx_load(path: str, _: str) -> Any:
    """Load with onnx."""
    import onnx

    return onnx.load(path)


def ours_save(path: str, out: str) -> None:
    """Load and save with interchange (durable, content-addressed, read back)."""
    from interchange.graph import files

    model = files.load(path)
    restart_clock()
    files.save(model, out, external=True)


def onnx_save(path: str, out: str) -> None:
    """Load and save with onnx."""
    import onnx

    model = onnx.load(path)
    restart_clock()
    onnx.save(model, out, save_as_external_data=True, location="big.data", size_threshold=1024)


def ours_run(path: str, _: str) -> Any:
    """Load into the runtime, ready to run, with the check of the model."""
    import interchange as ix

    return ix.load(path)


ACTIONS = {a.__name__: a for a in (build, ours_load, onnx_load, ours_save, onnx_save, ours_run)}
CLOCK = [0.0]


def restart_clock() -> None:
    """What came before is not timed."""
    CLOCK[0] = time.perf_counter()


def child(name: str, path: str, other: str) -> None:
    """Run one action in this process; print its time and what it added to the peak memory, as JSON."""
    import onnx  # both need it: its import is not part of the comparison

    import interchange.graph.files

    assert onnx
    assert interchange.graph.files
    before = peak_bytes()
    restart_clock()
    result = ACTIONS[name](path, other)
    seconds = time.perf_counter() - CLOCK[0]
    del result
    print(json.dumps({"seconds": seconds, "megabytes": (peak_bytes() - before) / 1e6}))


def peak_bytes() -> int:
    """The peak memory of this process. Linux's own figure where there is one: getrusage's begins with the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure(name: str, path: Path, other: Path | str, rounds: int = 3) -> dict[str, float]:
    """The medians of an action over fresh processes."""
    found = []
    for _ in range(rounds):
        command = [sys.executable, __file__, "--child", name, str(path), str(other)]
        found.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    return {key: statistics.median(f[key] for f in found) for key in found[0]}


def file_times(megabytes: int, folder: Path) -> None:
    """Print time and peak memory of load and save."""
    source = folder / "big.onnx"
    measure("build", source, str(megabytes), rounds=1)
    size = sum(p.stat().st_size for p in folder.glob("big*")) / 1e6
    lines = {
        "load: interchange": ("ours_load", folder),
        "load: onnx": ("onnx_load", folder),
        "save: interchange": ("ours_save", folder / "ours" / "big.onnx"),
        "save: onnx": ("onnx_save", folder / "theirs" / "big.onnx"),
        "load and check into the runtime": ("ours_run", folder),
    }
    print(f"\n{f'model of {size:.0f} MB':36} {'seconds':>8} {'peak memory MB':>16}")
    for label, (action, other) in lines.items():
        other.parent.mkdir(exist_ok=True)
        found = measure(action, source, other)
        print(f"{label:36} {found['seconds']:8.3f} {found['megabytes']:16.0f}", flush=True)


def main() -> None:
    """Measure all and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=1000)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    with tempfile.TemporaryDirectory() as folder:
        export_times(arguments.layers, Path(folder))
        file_times(arguments.megabytes, Path(folder))


if __name__ == "__main__":
    main()
