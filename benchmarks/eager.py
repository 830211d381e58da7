"""Eager speed against PyTorch eager: the same work in one process, in turn, on one thread, in CPU time.

    python benchmarks/eager.py [--rounds 15]

Both libraries start from the same weights and see the same data; that their losses agree is checked before the timing.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy and torch read it

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from interchange import eager as E
from interchange.eager import nn, optim

torch.set_num_threads(1)
Step = Callable[[], Any]
RNG = np.random.default_rng(0)


def cpu_times(contestants: dict[str, Step], rounds: int) -> dict[str, float]:
    """Seconds a call: the median of `rounds` rounds, in each of which every contestant runs for about 20 ms."""
    repeats = {}
    for name, step in contestants.items():
        for _ in range(5):
            step()  # caches filled, functions compiled
        begin, count = time.process_time(), 0
        while time.process_time() - begin < 0.02:
            step()
            count += 1
        repeats[name] = count
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, step in contestants.items():
            begin = time.process_time()
            for _ in range(repeats[name]):
                step()
            samples[name].append((time.process_time() - begin) / repeats[name])
    return {name: statistics.median(times) for name, times in samples.items()}


# -- single operations -------------------------------------------------------------------------------------------------
def operation(name: str, backward: bool) -> dict[str, Step]:
    """8x8 add or matmul, alone or with the backward pass into both operands."""
    a, b, g = (RNG.standard_normal((8, 8)).astype(np.float32) for _ in range(3))

    def step(tensor: Callable[[Any], Any]) -> Step:
        x, y, seed = tensor(a), tensor(b), tensor(g)
        if backward:
            x.requires_grad, y.requires_grad = True, True

        def add() -> Any:
            return x + y

        def matmul() -> Any:
            return x @ y

        forward = add if name == "add" else matmul
        return (lambda: forward().backward(seed)) if backward else forward

    return {"torch": step(torch.tensor), "interchange": step(E.Tensor)}


# -- training steps ----------------------------------------------------------------------------------------------------
def mlp(layers: Any) -> Any:
    """64-128-10."""
    return layers.Sequential(layers.Linear(64, 128), layers.ReLU(), layers.Linear(128, 10))


def lenet(layers: Any, size: int) -> Any:
    """LeNet-5 with ReLU and max pooling; at 8x8 with kernels of 3."""
    kernel, padding, last = (5, 0, 5) if size == 28 else (3, 1, 2)
    return layers.Sequential(
        *(layers.Conv2d(1, 6, kernel, padding=kernel // 2), layers.ReLU(), layers.MaxPool2d(2)),
        *(layers.Conv2d(6, 16, kernel, padding=padding), layers.ReLU(), layers.MaxPool2d(2)),
        *(layers.Flatten(), layers.Linear(16 * last * last, 120), layers.ReLU()),
        *(layers.Linear(120, 84), layers.ReLU(), layers.Linear(84, 10)),
    )


def training(build: Callable[[Any], Any], shape: tuple[int, ...], optimiser: str) -> dict[str, Step]:
    """One training step: forward, cross-entropy, backward, update. Each contestant returns the loss."""
    x = RNG.standard_normal(shape).astype(np.float32)
    y = RNG.integers(0, 10, shape[0])
    weights = {n: p.detach().numpy().copy() for n, p in build(torch.nn).named_parameters()}

    def step(layers: Any, optimisers: Any, tensor: Callable[[Any], Any], compile: Any = None) -> Step:
        model, inputs, targets = build(layers), tensor(x), tensor(y)
        model.load_state_dict({n: tensor(w) for n, w in weights.items()})
        update = getattr(optimisers, optimiser)(model.parameters(), lr=0.01)
        criterion = layers.CrossEntropyLoss()

        def train(inputs: Any, targets: Any) -> Any:
            update.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            update.step()
            return loss

        compiled = compile(train) if compile else train
        return lambda: compiled(inputs, targets)

    return {
        "torch": step(torch.nn, torch.optim, torch.tensor),
        "interchange": step(nn, optim, E.Tensor),
        "compiled": step(nn, optim, E.Tensor, lambda f: E.compile(f, threads=1)),
    }


def agree(contestants: dict[str, Step]) -> None:
    """Stop if the losses of five steps differ: what is timed must be the same work."""
    losses = {name: [step().item() for _ in range(5)] for name, step in contestants.items()}
    for name, values in losses.items():
        np.testing.assert_allclose(values, losses["torch"], rtol=1e-4, err_msg=f"{name} does other work than torch")


def main() -> None:
    """Time all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    steps = {
        "MLP 64-128-10, SGD": (mlp, (64, 64), "SGD"),
        "MLP 64-128-10, Adam": (mlp, (64, 64), "Adam"),
        "LeNet 8x8, SGD": (lambda layers: lenet(layers, 8), (64, 1, 8, 8), "SGD"),
        "LeNet 8x8, Adam": (lambda layers: lenet(layers, 8), (64, 1, 8, 8), "Adam"),
        "LeNet 28x28, SGD": (lambda layers: lenet(layers, 28), (64, 1, 28, 28), "SGD"),
        "LeNet 28x28, Adam": (lambda layers: lenet(layers, 28), (64, 1, 28, 28), "Adam"),
    }
    print(f"torch {torch.__version__}, one thread, CPU time; the ratio is ours / torch: below 1 is faster")
    print(f"{'':32} {'torch us':>9} {'ours us':>9} {'ratio':>6} {'compiled us':>12} {'ratio':>6}")
    for name in ("add", "matmul"):
        for backward in (False, True):
            label = f"8x8 {name}, {'forward+backward' if backward else 'forward'}"
            report(label, cpu_times(operation(name, backward), rounds))
    for label, (build, shape, optimiser) in steps.items():
        contestants = training(build, shape, optimiser)
        agree(contestants)
        report(f"{label}, batch 64", cpu_times(contestants, rounds))


def report(label: str, seconds: dict[str, float]) -> None:
    """Print one line of the table."""
    theirs = seconds["torch"]
    cells = [f"{theirs * 1e6:9.1f}"]
    for name, width in (("interchange", 9), ("compiled", 12)):
        if name in seconds:
            cells += [f"{seconds[name] * 1e6:{width}.1f}", f"{seconds[name] / theirs:6.2f}"]
    print(f"{label:32} {' '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
