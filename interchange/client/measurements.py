"""What a load generator saw, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from interchange.dtypes import Array

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 100.0)


@dataclass
class Measurement:
    """One stretch of load.

    seconds: how long it took.  latencies: seconds of each request that was answered with 200, in the order of the
    answers; from the moment when it was sent, or with a rate when it should have been sent.  ends: when each answer was
    whole, seconds since the beginning.
    errors: what happened instead of an answer -> how often.  client_cpu, server_cpu: seconds of processor time of
    either side, the server's with all its processes; None where it is not known.
    """

    seconds: float
    latencies: Array
    ends: Array
    errors: dict[str, int] = field(default_factory=dict)
    client_cpu: float | None = None
    server_cpu: float | None = None

    @property
    def requests(self) -> int:
        """How many were answered."""
        return len(self.latencies)

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def failed(self) -> int:
        """How many were not answered, or with another status than 200."""
        return sum(self.errors.values())

    def percentile(self, q: float) -> float:
        """Seconds within which q percent of the answers came; NaN without any."""
        if not self.requests:
            return float("nan")
        return float(np.percentile(self.latencies, q, method="inverted_cdf"))

    def over_time(self, steps: int = 40) -> tuple[Array, Array]:
        """When each step of the time ends, in seconds, and the answers a second in it."""
        edges = np.linspace(0.0, self.seconds, steps + 1)
        counts = np.histogram(self.ends, edges)[0]
        return edges[1:], counts / max(self.seconds / steps, 1e-9)


@dataclass
class Result:
    """What was measured of one target, in one or several rounds: a figure is the median of the rounds."""

    name: str
    rounds: list[Measurement] = field(default_factory=list)

    @property
    def latencies(self) -> Array:
        """Seconds, of all rounds."""
        return np.concatenate([m.latencies for m in self.rounds]) if self.rounds else np.empty(0)

    @property
    def errors(self) -> dict[str, int]:
        """What went wrong, in all rounds."""
        total: dict[str, int] = {}
        for one in self.rounds:
            for what, count in one.errors.items():
                total[what] = total.get(what, 0) + count
        return total

    def figures(self) -> dict[str, Any]:
        """The figures by name. Latencies in microseconds, CPU in microseconds a request; None where it is not known."""
        rounds = self.rounds
        found: dict[str, Any] = {"name": self.name, "rounds": len(rounds)}
        found["requests"] = sum(m.requests for m in rounds)
        found["seconds"] = sum(m.seconds for m in rounds)
        found["requests_per_second"] = _median([m.throughput for m in rounds])
        for q in PERCENTILES:
            name = "max_us" if q == 100 else f"p{q:g}_us"
            found[name] = _median([m.percentile(q) * 1e6 for m in rounds if m.requests])
        found["client_cpu_us"] = _median(
            [c / n * 1e6 for c, n in ((m.client_cpu, m.requests) for m in rounds) if c and n]
        )
        found["server_cpu_us"] = _median(
            [c / n * 1e6 for c, n in ((m.server_cpu, m.requests) for m in rounds) if c and n]
        )
        found["errors"] = self.errors
        return found


def _median(values: Sequence[float]) -> float | None:
    return float(median(values)) if values else None
