"""What was served, counted and timed. Plain numbers that are cheap to keep, to add up over workers, and to publish."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

# upper bounds of the buckets of every histogram, seconds: powers of two of a microsecond, so that the bucket of a
# duration is the length of a number in bits
BUCKETS = tuple(2**k / 1e6 for k in range(26))  # 1 us to 34 s
PHASES = ("request", "queue", "input", "compute", "output")


class Histogram:
    """Durations, counted in buckets. counts[k]: at most ``BUCKETS[k]``; the last one: longer."""

    __slots__ = ("counts", "total_ns")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total_ns = 0

    def add(self, ns: int, times: int = 1) -> None:
        """Count a duration in nanoseconds."""
        k = ((ns + 999) // 1000 - 1).bit_length() if ns > 1000 else 0
        self.counts[k if k < len(BUCKETS) else -1] += times
        self.total_ns += ns * times

    @property
    def count(self) -> int:
        """How many were counted."""
        return sum(self.counts)

    def snapshot(self) -> dict[str, Any]:
        """As plain data."""
        return {"counts": list(self.counts), "ns": self.total_ns}


class Statistics:
    """Of one version of a model (Triton's statistics extension, and the metrics).

    A phase is timed for each request: `queue` waiting, `input` reading and joining, `compute` the run, `output`
    splitting and writing; `request` is all of it.
    """

    def __init__(self) -> None:
        self.phases = {p: Histogram() for p in PHASES}
        self.fail_ns = 0
        self.failures: dict[str, int] = {}  # reason -> count
        self.cache_hits = self.cache_misses = self.cache_hit_ns = self.cache_miss_ns = 0
        self.inferences = self.executions = 0  # rows, runs
        self.batches: dict[int, list[int]] = {}  # rows of a run -> [runs, input ns, compute ns, output ns]
        self.last_inference_ms = 0
        self.shadow = {"compared": 0, "differed": 0, "failed": 0, "dropped": 0}
        self.differences: dict[str, int] = {}  # how the shadow's answers differed, the first ones -> how often

    def failed(self, reason: str, ns: int) -> None:
        """Count a request that was not answered."""
        self.failures[reason] = self.failures.get(reason, 0) + 1
        self.fail_ns += ns

    def ran(self, rows: int, input_ns: int, compute_ns: int, output_ns: int) -> None:
        """Count one run."""
        self.executions += 1
        self.inferences += rows
        entry = self.batches.get(rows)
        if entry is None:
            entry = self.batches[rows] = [0, 0, 0, 0]
        entry[0] += 1
        entry[1] += input_ns
        entry[2] += compute_ns
        entry[3] += output_ns
        self.last_inference_ms = int(time.time() * 1000)

    def snapshot(self) -> dict[str, Any]:
        """As plain data, for another process; `merged` adds them up."""
        return {
            "phases": {n: h.snapshot() for n, h in self.phases.items()},
            "failures": dict(self.failures),
            "fail_ns": self.fail_ns,
            "cache": [self.cache_hits, self.cache_hit_ns, self.cache_misses, self.cache_miss_ns],
            "inferences": self.inferences,
            "executions": self.executions,
            "batches": {str(rows): list(entry) for rows, entry in sorted(self.batches.items())},
            "last_inference_ms": self.last_inference_ms,
            "shadow": dict(self.shadow),
            "differences": dict(self.differences),
        }


def merged(snapshots: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum of snapshots, of the same version in several workers. Raises ValueError for none."""
    first, *rest = snapshots
    total = dict(first)
    for other in rest:
        total = {k: max(v, other[k]) if k == "last_inference_ms" else _sum(v, other[k]) for k, v in total.items()}
    return total


def _sum(a: Any, b: Any) -> Any:
    match a:
        case dict():
            return {k: _sum(a[k], b[k]) if k in a and k in b else a.get(k, b.get(k)) for k in {**a, **b}}
        case list():
            return [_sum(x, y) for x, y in zip(a, b, strict=True)]
    return a + b
