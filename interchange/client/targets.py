"""What a load generator asks: a model behind a server, with inputs that are given or made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from interchange.client.load import Target
from interchange.client.processes import server_pids
from interchange.client.synchronous import Client
from interchange.dtypes import Array, string
from interchange.runtime.signature import ValueSpec

_VARIETY = 16  # different requests, so that no cache answers all of them
_BYTES = 1 << 26  # of all of them together


def random_inputs(specs: Iterable[ValueSpec | None], rows: int, seed: int = 0) -> dict[str, Array]:
    """Arrays for a model's inputs; open sizes are 1, or `rows` on the first axis.

    Floats are from 0 to 1, whole numbers 0 or 1, which are indices into any table.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for spec in specs:
        if spec is None or spec.kind != "tensor":
            continue
        shape = tuple(d if isinstance(d, int) else rows if axis == 0 else 1 for axis, d in enumerate(spec.shape))
        if spec.dtype == string:
            found[spec.name] = np.full(shape, "text", object)
        elif spec.dtype.kind in "fV":
            found[spec.name] = rng.random(shape, np.float32).astype(spec.dtype)
        else:
            found[spec.name] = rng.integers(0, 2, shape).astype(spec.dtype)
    return found


def target_of(
    client: Client,
    model: str,
    given: Mapping[str, Any],
    *,
    version: str = "",
    rows: int = 1,
    binary: bool | None = None,
    pids: Iterable[int] | None = None,
) -> Target:
    """What to ask of a model. It is asked once, so that a wrong request is told and not measured.

    given: the inputs; none: random ones that fit the model's metadata.  pids: the server's processes; None looks for
    them on this machine.  Raises as `Client.infer`.
    """
    specs = client.inputs(model, version)
    inputs = [given or random_inputs(specs.values(), rows)]
    client.infer(model, inputs[0], version=version, binary=binary)
    if not given:
        size = sum(a.nbytes for a in inputs[0].values())
        count = min(_VARIETY, _BYTES // max(size, 1))
        inputs += [random_inputs(specs.values(), rows, seed) for seed in range(1, count)]
    requests = [client.prepare(model, i, version=version, binary=binary) for i in inputs]
    found = server_pids(client.address) if pids is None else pids
    return Target(str(client.address), client.address, requests, client.tls, frozenset(found))
