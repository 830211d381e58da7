"""Several targets side by side: measured in turn, in rounds, so that what else the machine does meets all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from interchange.client.measurements import Measurement, Result


def compare(
    measures: Mapping[str, Callable[..., Measurement]],
    seconds: float,
    rounds: int = 1,
) -> list[Result]:
    """Measure each target in every round. measures: name -> what measures it for so many `seconds`.

    seconds: of each target, over all rounds.
    """
    results = {name: Result(name) for name in measures}
    for _ in range(rounds):
        for name, one in measures.items():
            results[name].rounds.append(one(seconds=seconds / rounds))
    return list(results.values())
