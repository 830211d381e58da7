"""Several targets side by side: measured in turn, in rounds, so that what else the machine does meets all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from interchange.client.measurements import Measurement, Result


def compare(
    measures: Mapping[str, Callable[[float], Measurement]],
    seconds: float,
    rounds: int = 1,
    told: Callable[[str], None] = lambda text: None,
) -> list[Result]:
    """Measure each target in every round. measures: name -> what measures it for so many seconds.

    seconds: of each target, over all rounds.  told: is told what goes on.
    """
    results = {name: Result(name) for name in measures}
    for number in range(rounds):
        for name, one in measures.items():
            told(f"round {number + 1} of {rounds}: {name}" if rounds > 1 else name)
            results[name].rounds.append(one(seconds / rounds))
    return list(results.values())
