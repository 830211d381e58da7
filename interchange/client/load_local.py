"""The same load on a model file in this process, without a server: what a server is compared with."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np

from interchange.client.measurements import Measurement
from interchange.dtypes import Array
from interchange.runtime import Model


def measure_model(
    model: Model, inputs: Sequence[Mapping[str, Array]], *, clients: int = 1, seconds: float = 5.0, warm_up: float = 0.5
) -> Measurement:
    """Run a loaded model in as many threads as there are clients, each of which runs it again when it is done. Blocks.

    Raises as `Model.run`, for the first of the inputs.
    """
    model.run(inputs[0])
    if warm_up:
        _measure(model, inputs, clients, warm_up)
    return _measure(model, inputs, clients, seconds)


def _measure(model: Model, inputs: Sequence[Mapping[str, Array]], clients: int, seconds: float) -> Measurement:
    now = time.perf_counter_ns
    cpu = time.process_time()
    start = now()
    stop = start + int(seconds * 1e9)
    found = [array("q") for _ in range(clients)]

    def work(times: array[int]) -> None:
        following = cycle(inputs).__next__
        while True:
            begun = now()
            if begun >= stop:
                return
            model.run(following())
            end = now()
            times.append(end - begun)
            times.append(end - start)

    threads = [threading.Thread(target=work, args=(times,)) for times in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    used = time.process_time() - cpu
    both = np.concatenate([np.array(times, np.int64).reshape(-1, 2) for times in found]) / 1e9
    both = both[np.argsort(both[:, 1], kind="stable")]
    both = both[both[:, 1] <= seconds]
    return Measurement(seconds, both[:, 0], both[:, 1], client_cpu=used)
