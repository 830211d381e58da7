"""Running two models on the same inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from interchange.comparing.report import Outcome
from interchange.comparing.sides import Source
from interchange.dims import Spec
from interchange.errors import InterchangeError
from interchange.graph.core import ModelIR
from interchange.parity.compare import Difference, compare
from interchange.runtime import InputsError, Model, load
from interchange.sampling import random_array, sample_sizes

_SIZES = 3  # assignments of the named sizes that are tried


def side_by_side(a: Source, b: Source, inputs: Mapping[str, Any] | None, trust_links: bool) -> Outcome:
    """Run both models, and compare the outputs of one name. A model that does not load or run is a problem, no error.

    inputs: name -> array; None to sample some.  Raises InputsError for `inputs` that the first model does not take.
    """
    models = []
    for which, source in (("first", a), ("second", b)):
        try:
            models.append(load(_loadable(source), trust_links=trust_links))
        except InterchangeError as error:
            return Outcome(f"the {which} model cannot be run: {error.code}: {error.message}")
    given: list[tuple[dict[str, int], Mapping[str, Any]]] = []
    if inputs is not None:
        given = [({}, inputs)]
    else:
        odd = [s for s in models[0].inputs.values() if not s.optional and (s.kind != "tensor" or not s.ranked)]
        if odd:
            return Outcome(f"no inputs can be sampled for {odd[0]}: give them")
        given = list(_sampled(models[0]))
    trials = []
    problem = None if given else "no sizes were found that the first model takes: give inputs"
    for sizes, arrays in given:
        trial, found = _trial(models[0], models[1], sizes, arrays, sampled=inputs is None)
        problem = problem or found
        trials.append(trial)
    return Outcome(problem, tuple(trials))


def _loadable(source: Source) -> Any:
    if isinstance(source, ModelIR):
        from interchange.graph.files import serialize

        return serialize(source)
    return source.SerializeToString() if hasattr(source, "SerializeToString") else source


def _sampled(model: Model) -> Iterator[tuple[dict[str, int], dict[str, Any]]]:
    """(sizes, inputs at them), for a few admissible sizes."""
    rng = np.random.default_rng(0)
    for sizes in sample_sizes(model.dims, model.guards, _SIZES):
        specs = {s.name: Spec(s.name, s.dtype, s.shape) for s in model.inputs.values() if not s.optional}
        yield sizes, {name: random_array(spec, sizes, rng, None) for name, spec in specs.items()}


def _trial(
    a: Model, b: Model, sizes: dict[str, int], arrays: Mapping[str, Any], sampled: bool
) -> tuple[dict[str, Any], str | None]:
    """(the trial as data, the first problem)."""
    at = f" at {', '.join(f'{n}={s}' for n, s in sizes.items())}" if sizes else ""
    results = []
    for which, model in (("first", a), ("second", b)):
        try:
            results.append(model.run(dict(arrays)))
        except InterchangeError as error:
            if isinstance(error, InputsError) and model is a and not sampled:
                raise
            return {"sizes": sizes, "outputs": []}, f"the {which} model does not run{at}: {error.code}: {error.message}"
    expected, found = results
    differences = [d for n in expected if n in found for d in _differences(n, found[n], expected[n])]
    problem = next((f"output {d.output}{at}: {d.problem}" for d in differences if d.problem), None)
    odd = sorted(expected.keys() ^ found.keys())
    if problem is None and odd:
        problem = f"output {odd[0]} is in one model only"
    return {"sizes": sizes, "outputs": [asdict(d) for d in differences]}, problem


def _differences(name: str, found: Any, expected: Any) -> Iterator[Difference]:
    """Of an output: an array, or a sequence, map or optional of them."""
    if isinstance(found, np.ndarray) and isinstance(expected, np.ndarray):
        yield compare(name, found, expected)
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for index, (mine, other) in enumerate(zip(found, expected, strict=True)):
            yield from _differences(f"{name}[{index}]", mine, other)
    elif isinstance(found, dict) and isinstance(expected, dict) and found.keys() == expected.keys():
        for key in found:
            yield from _differences(f"{name}[{key!r}]", np.asarray(found[key]), np.asarray(expected[key]))
    else:
        same = type(found) is type(expected) and not isinstance(found, (list, dict)) and found == expected
        yield Difference(name, None if same else f"{str(found)[:40]} instead of {str(expected)[:40]}")
