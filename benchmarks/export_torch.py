"""Export of PyTorch models against torch.onnx: CPU time, peak memory, and how fast the files run in ONNX Runtime.

    python benchmarks/export_torch.py [--parts time memory speed] [--models gpt resnet50 ...] [--rounds 5]

Each model is measured in a process of its own, on one thread, after a small export through every contestant; in each
round they take turns, and a ratio is the median of the rounds' ratios. Time is CPU time of the process.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy and torch read it
os.environ["HF_HUB_OFFLINE"] = "1"  # transformers: the models are made here

import argparse
import contextlib
import gc
import io
import json
import logging
import math
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

EXPORTED = ("gpt", "resnet50", "encoder", "mlp")
RUN = (*EXPORTED, "bert", "llama", "vit")
Samples = dict[str, list[float]]


# -- contestants -------------------------------------------------------------------------------------------------------
def contestants(case: Any, folder: Path) -> dict[str, Callable[[], object]]:
    """What is timed for one model. The two exporters get the same dynamic sizes and write one file each."""
    import torch
    import torch_models

    import interchange as ix
    from interchange import schemas
    from interchange.dims import Dim
    from interchange.exporting import clean
    from interchange.frontends import capture
    from interchange.graph import files

    ours, theirs = case.sizes(Dim), case.sizes(torch.export.Dim)
    finished: list[Any] = []

    def capture_only() -> object:
        return torch.export.export(case.model, case.example, dynamic_shapes=theirs)

    def torch_onnx() -> None:
        with quiet():
            torch.onnx.export(case.model, case.example, folder / "theirs.onnx", dynamic_shapes=theirs, dynamo=True)

    def exported() -> None:
        ix.export(case.model, case.example, folder / "ours.onnx", dynamic=ours, verify=False)

    def verified() -> None:
        ix.export(case.model, case.example, folder / "ours.onnx", dynamic=ours)

    def write() -> None:
        if not finished:
            aim = schemas.resolve(None, None)
            captured = capture(case.model, case.example, dynamic=ours, opset=aim.opset, options={})
            captured.model.ir_version = aim.ir_version
            clean(captured.model, captured, False)
            finished.append(captured.model)
        files.save(finished[0], folder / "written.onnx")

    assert torch_models
    # what is compared most closely stands side by side
    return {"torch.onnx": torch_onnx, "capture": capture_only, "ours": exported, "write": write, "verified": verified}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """torch.onnx prints and warns about what it skips."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def warm(folder: Path, names: tuple[str, ...]) -> None:
    """Imports, registries and caches: a small model through the contestants that will be measured."""
    import torch_models

    small = contestants(torch_models.mlp(layers=2), folder)
    for name in names:
        small[name]()


# -- time --------------------------------------------------------------------------------------------------------------
def time_child(model: str, rounds: int, folder: Path) -> Samples:
    """CPU seconds of each contestant, a list of one a round."""
    import torch_models

    steps = contestants(torch_models.MODELS[model][1](), folder)
    warm(folder, tuple(steps))
    steps["write"]()  # makes the model that it will write
    samples: Samples = {name: [] for name in steps}
    for i in range(rounds):
        for name in steps if i % 2 else reversed(steps):
            gc.collect()
            samples[name].append(seconds_of(steps[name]))
    return samples


def print_times(models: list[str], rounds: int) -> None:
    """A line for each model."""
    from torch_models import MODELS

    columns = ("torch.export", "write", "torch.onnx", "ours", "verified", "/torch.onnx", "/(export+write)")
    print(f"\n{'Export, CPU seconds':30} " + " ".join(f"{c:>{max(len(c), 9)}}" for c in columns))
    for name in models:
        found = child("time", name, rounds)
        of_theirs = [a / b for a, b in zip(found["ours"], found["torch.onnx"], strict=True)]
        parts = [a + b for a, b in zip(found["capture"], found["write"], strict=True)]
        of_parts = [a / b for a, b in zip(found["ours"], parts, strict=True)]
        cells = [statistics.median(found[k]) for k in ("capture", "write", "torch.onnx", "ours", "verified")]
        cells += [statistics.median(of_theirs), statistics.median(of_parts)]
        texts = (f"{x:{max(len(c), 9)}.2f}" for x, c in zip(cells, columns, strict=True))
        print(f"{MODELS[name][0]:30} {' '.join(texts)}", flush=True)
    print(
        "'ours' is ix.export(verify=False), 'verified' the default. Goals of 'ours': 0.33 and 1.15 in the last columns."
    )


# -- memory ------------------------------------------------------------------------------------------------------------
def memory_child(contestant: str, megabytes: int, folder: Path) -> dict[str, float]:
    """MB that one export adds at its peak to what was resident before, the model's own weights among that."""
    import torch_models

    warm(folder, (contestant,))
    case = torch_models.wide(megabytes)
    step = contestants(case, folder)[contestant]
    weights = sum(p.numel() * p.element_size() for p in case.model.parameters()) / 1e6
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew here
    before = status("self")
    print(json.dumps("begin"), flush=True)
    begin = time.process_time()
    step()
    seconds = time.process_time() - begin
    peak = status("self")["VmHWM"] - before["VmRSS"]
    return {"weights": weights, "seconds": seconds, "all": peak, "anonymous before": before["RssAnon"]}


def status(pid: str) -> dict[str, float]:
    """Memory of a process in MB, by the kernel's names."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = (line.split() for line in lines if line.startswith(("VmHWM", "VmRSS", "RssAnon")))
    return {f[0].rstrip(":"): int(f[1]) * 1024 / 1e6 for f in fields}


def print_memory(megabytes: int) -> None:
    """A line for each way to export the large model."""
    print(f"\n{f'Peak memory, {megabytes / 1e3:.1f} GB of weights':30} {'MB added':>9} {'of weights':>10} ", end="")
    print(f"{'anonymous':>10} {'of weights':>10} {'CPU s':>7}")
    for name, label in (("torch.onnx", "torch.onnx"), ("ours", "ours"), ("verified", "ours, verified")):
        found = child("memory", name, megabytes)
        cells = f"{found['all']:9.0f} {found['all'] / found['weights']:10.1%} "
        cells += f"{found['anonymous']:10.0f} {found['anonymous'] / found['weights']:10.1%} {found['seconds']:7.2f}"
        print(f"{label:30} {cells}", flush=True)
    print(
        "'added': resident memory at the peak over what was resident before the export, weights included. 'anonymous':"
    )
    print("without pages of mapped files, which the kernel takes back when memory is short. Goal: 10 %.")


# -- speed of the files ------------------------------------------------------------------------------------------------
def speed_child(model: str, rounds: int, folder: Path) -> Samples:
    """CPU seconds of a run of each exporter's file at the example's sizes, a list of one a round."""
    import numpy as np
    import onnxruntime as ort
    import torch_models

    torch_models.torch.manual_seed(0)
    case = torch_models.MODELS[model][1]()
    steps = contestants(case, folder)
    steps["torch.onnx"]()
    steps["ours"]()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    expected = case.model(*case.example).detach().numpy()
    runs: dict[str, Callable[[], list[Any]]] = {}
    for name in ("theirs", "ours"):
        session = ort.InferenceSession(folder / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
        feeds = {i.name: t.numpy() for i, t in zip(session.get_inputs(), case.example, strict=True)}
        runs[name] = lambda session=session, feeds=feeds: session.run(None, feeds)
        scale = float(np.abs(expected).max())
        np.testing.assert_allclose(runs[name]()[0], expected, atol=1e-4 * scale, err_msg=f"{name}: other results")
    repeats = max(1, round(0.1 / seconds_of(runs["theirs"])))
    samples: Samples = {name: [] for name in runs}
    for i in range(rounds):
        for name in runs if i % 2 else reversed(runs):
            begin = time.process_time()
            for _ in range(repeats):
                runs[name]()
            samples[name].append((time.process_time() - begin) / repeats)
    return samples


def seconds_of(action: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    begin = time.process_time()
    action()
    return time.process_time() - begin


def print_speed(models: list[str], rounds: int) -> None:
    """A line for each model, and the geometric mean."""
    from torch_models import MODELS

    print(f"\n{'A run in ONNX Runtime, ms':30} {'torch.onnx':>10} {'ours':>10} {'ratio':>7}")
    ratios = []
    for name in models:
        found = child("speed", name, rounds)
        ratios.append(statistics.median(a / b for a, b in zip(found["ours"], found["theirs"], strict=True)))
        ours, theirs = (statistics.median(found[k]) * 1e3 for k in ("ours", "theirs"))
        print(f"{MODELS[name][0]:30} {theirs:10.2f} {ours:10.2f} {ratios[-1]:7.3f}", flush=True)
    mean = math.exp(statistics.fmean(map(math.log, ratios)))
    print(f"{'geometric mean':30} {'':10} {'':10} {mean:7.3f}    goal: at most 1.0")


# -- processes ---------------------------------------------------------------------------------------------------------
CHILDREN = {"time": time_child, "memory": memory_child, "speed": speed_child}


def child(part: str, name: str, number: int) -> Any:
    """The result of a measurement in a fresh process; of memory, with the peak of its anonymous pages."""
    command = [sys.executable, __file__, "--child", part, name, str(number)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    peak = 0.0
    if part == "memory" and process.stdout.readline():
        os.set_blocking(process.stdout.fileno(), False)
        while process.poll() is None and not (line := process.stdout.readline()):
            peak = max(peak, status(str(process.pid)).get("RssAnon", 0.0))  # the kernel keeps no peak of this one
            time.sleep(0.002)
        os.set_blocking(process.stdout.fileno(), True)
    else:
        line = ""
    text = line + process.stdout.read()
    if process.wait():
        raise SystemExit(f"{part} of {name} failed, see above")
    found = json.loads(text)
    if part == "memory":
        found["anonymous"] = peak - found["anonymous before"]
    return found


def main() -> None:
    """Measure all and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(CHILDREN), default=list(CHILDREN))
    parser.add_argument("--models", nargs="+", choices=RUN, default=list(RUN))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=2400)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        import torch

        torch.set_num_threads(1)
        logging.disable(logging.WARNING)
        part, name, number = arguments.child
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(CHILDREN[part](name, int(number), Path(folder))))
        return
    if "time" in arguments.parts:
        print_times([m for m in EXPORTED if m in arguments.models], arguments.rounds)
    if "memory" in arguments.parts:
        print_memory(arguments.megabytes)
    if "speed" in arguments.parts:
        print_speed(arguments.models, 3 * arguments.rounds)


if __name__ == "__main__":
    main()
