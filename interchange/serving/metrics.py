"""GET /metrics: what all workers have counted, as Prometheus and OpenMetrics have it."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interchange import __version__
from interchange.serving.statistics import BUCKETS, merged

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from interchange.serving.app import App

_EVERY = 2  # of the buckets that are kept half are published: 1 us, 4 us, 16 us, ...
_BOUNDS = [(k, BUCKETS[k]) for k in range(0, len(BUCKETS), _EVERY)]
_ROWS = [2**k for k in range(11)]
_MODEL = ["model", "version"]
_PHASES = {
    "request": "From the first byte of a request to its answer",
    "queue": "Waiting for a run",
    "input": "Reading the inputs and joining them to a batch",
    "compute": "Running the model",
    "output": "Splitting the batch and writing the answer",
}
_PAGE = os.sysconf("SC_PAGE_SIZE")


def state(app: App) -> dict[str, Any]:
    """What one process tells of itself, as plain data."""
    models = app.engine.models
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "models": app.operations.snapshot(),
        "now": {
            name: {version: [s.batcher.waiting, len(s.batcher.running)] for version, s in versions.items()}
            for name, versions in models.items()
        },
        "pid": os.getpid(),
        "started": app.started,
        "connections": app.connections,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "memory_bytes": _memory(),
        "draining": app.draining,
    }


def _memory() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * _PAGE


async def render(app: App, accept: str = "") -> tuple[bytes, str]:
    """The metrics of all workers: (body, content type). accept: the header; without a wish the text of Prometheus."""
    from prometheus_client.exposition import choose_encoder

    peers = app.operations.peers
    told: Mapping[str, Any] = {} if peers is None else await peers.states()
    collector = Collector([state(app), *told.get("workers", ())], told, app)
    encode, content_type = choose_encoder(accept)
    return encode(collector.registry()), content_type


class Collector:
    """The families of one scrape."""

    def __init__(self, states: Sequence[Mapping[str, Any]], told: Mapping[str, Any], app: App) -> None:
        """states: of each worker.  told: by the supervisor, if there is one."""
        self.states, self.told, self.app = states, told, app
        counted: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for models in (*(s["models"] for s in states), told.get("retired", {})):
            for name, versions in models.items():
                for version, snapshot in versions.items():
                    counted.setdefault((name, version), []).append(snapshot)
        self.models = {key: merged(snapshots) for key, snapshots in sorted(counted.items())}

    def registry(self) -> CollectorRegistry:
        """Them in a registry of their own."""
        from prometheus_client import CollectorRegistry

        registry = CollectorRegistry()
        registry.register(self)
        return registry

    def collect(self) -> Iterator[Metric]:
        """Asked by the registry."""
        yield from self._of_models()
        yield from self._of_processes()
        if self.app.settings.metrics_aliases:
            yield from self._aliases()

    # -- models -------------------------------------------------------------------------------------------------------
    def _of_models(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily as Gauge
        from prometheus_client.core import HistogramMetricFamily as Histogram

        for phase, meaning in _PHASES.items():
            family = Histogram(f"interchange_{phase}_seconds", f"{meaning}, of one request.", labels=_MODEL)
            for key, counted in self.models.items():
                family.add_metric(key, *_durations(counted["phases"][phase]))
            yield family
        sizes = Histogram("interchange_batch_rows", "Rows of one run.", labels=_MODEL)
        for key, counted in self.models.items():
            sizes.add_metric(key, *_sizes(counted["batches"]))
        yield sizes
        yield self._counter("interchange_requests", "Requests that were answered.", _answered)
        failures = self._family("interchange_failures", "Requests that were not answered.", "reason")
        shadows = self._family("interchange_shadow", "Requests that were run by a shadow version as well.", "result")
        for key, counted in self.models.items():
            for reason, count in counted["failures"].items():
                failures.add_metric([*key, reason], count)
            for result, count in counted["shadow"].items():
                shadows.add_metric([*key, result], count)
        yield failures
        yield shadows
        yield self._counter("interchange_inferences", "Rows that were run.", lambda c: c["inferences"])
        yield self._counter("interchange_executions", "Runs.", lambda c: c["executions"])
        yield self._counter("interchange_cache_hits", "Answers from the cache.", lambda c: c["cache"][0])
        yield self._counter("interchange_cache_misses", "Requests not in the cache.", lambda c: c["cache"][2])
        for place, name, meaning in (
            (0, "queue_length", "Requests that wait for a run."),
            (1, "runs", "Runs that go on now, beside the loop."),
        ):
            gauge = Gauge(f"interchange_{name}", meaning, labels=_MODEL)
            for key, now in self._now().items():
                gauge.add_metric(key, now[place])
            yield gauge
        ready = Gauge("interchange_model_ready", "1 for a version that answers, else 0.", labels=_MODEL)
        for row in self.app.operations.index():
            ready.add_metric([row["name"], row["version"]], int(row["state"] == "READY"))
        yield ready

    def _family(self, name: str, meaning: str, label: str) -> Any:
        from prometheus_client.core import CounterMetricFamily

        return CounterMetricFamily(name, meaning, labels=[*_MODEL, label])

    def _counter(self, name: str, meaning: str, value: Callable[[Mapping[str, Any]], float]) -> Metric:
        from prometheus_client.core import CounterMetricFamily

        family = CounterMetricFamily(name, meaning, labels=_MODEL)
        for key, counted in self.models.items():
            family.add_metric(key, value(counted))
        return family

    def _now(self) -> dict[tuple[str, str], list[int]]:
        found: dict[tuple[str, str], list[int]] = {}
        for process in self.states:
            for name, versions in process["now"].items():
                for version, now in versions.items():
                    before = found.get((name, version), [0, 0])
                    found[name, version] = [a + b for a, b in zip(before, now, strict=True)]
        return found

    # -- processes ----------------------------------------------------------------------------------------------------
    def _of_processes(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily as Counter
        from prometheus_client.core import GaugeMetricFamily as Gauge
        from prometheus_client.core import InfoMetricFamily as Info

        app = self.app
        yield Info("interchange", "The server.", value={"version": __version__})
        good = app.operations.ready() and not app.draining
        yield Gauge("interchange_ready", "1 where /v2/health/ready says yes, else 0.", value=int(good))
        yield Gauge("interchange_workers", "Processes that serve.", value=len(self.states))
        for name, key, meaning in (
            ("connections", "connections", "Open HTTP connections."),
            ("process_resident_memory_bytes", "memory_bytes", "Memory of a worker, shared pages included."),
            ("process_start_time_seconds", "started", "When a worker began, seconds since 1970."),
        ):
            family = Gauge(f"interchange_{name}", meaning, labels=["worker"])
            for process in self.states:
                family.add_metric([str(process["pid"])], process[key])
            yield family
        cpu = Counter("interchange_process_cpu_seconds", "CPU time of a worker.", labels=["worker"])
        for process in self.states:
            cpu.add_metric([str(process["pid"])], process["cpu_seconds"])
        yield cpu
        restarts = Counter("interchange_worker_restarts", "Workers that were replaced, and why.", labels=["reason"])
        for reason, count in self.told.get("restarts", {}).items():
            restarts.add_metric([reason], count)
        yield restarts

    # -- Triton's names -----------------------------------------------------------------------------------------------
    def _aliases(self) -> Iterator[Metric]:
        """What dashboards for Triton ask for. Its counters have no ``_total``, so here they are of no type."""
        from prometheus_client.core import GaugeMetricFamily as Gauge
        from prometheus_client.core import UnknownMetricFamily as Unknown

        def us(phase: str) -> Callable[[Mapping[str, Any]], float]:
            return lambda counted: counted["phases"][phase]["ns"] // 1000

        values: dict[str, Callable[[Mapping[str, Any]], float]] = {
            "nv_inference_request_success": _answered,
            "nv_inference_count": lambda c: c["inferences"],
            "nv_inference_exec_count": lambda c: c["executions"],
            "nv_inference_request_duration_us": us("request"),
            "nv_inference_queue_duration_us": us("queue"),
            "nv_inference_compute_input_duration_us": us("input"),
            "nv_inference_compute_infer_duration_us": us("compute"),
            "nv_inference_compute_output_duration_us": us("output"),
            "nv_cache_num_hits_per_model": lambda c: c["cache"][0],
            "nv_cache_num_misses_per_model": lambda c: c["cache"][2],
        }
        for name, value in values.items():
            family = Unknown(name, "The same under Triton's name.", labels=_MODEL)
            for key, counted in self.models.items():
                family.add_metric(key, value(counted))
            yield family
        failed = Unknown("nv_inference_request_failure", "The same under Triton's name.", labels=[*_MODEL, "reason"])
        for key, counted in self.models.items():
            for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER"):
                failed.add_metric([*key, reason], counted["failures"].get(reason, 0))
        yield failed
        waiting = Gauge("nv_inference_pending_request_count", "The same under Triton's name.", labels=_MODEL)
        for key, now in self._now().items():
            waiting.add_metric(key, now[0])
        yield waiting


def _answered(counted: Mapping[str, Any]) -> int:
    return sum(counted["phases"]["request"]["counts"])


def _durations(counted: Mapping[str, Any]) -> tuple[list[tuple[str, float]], float]:
    """(the buckets as Prometheus has them, each with all below it; the sum in seconds)."""
    counts = counted["counts"]
    buckets = [(str(float(bound)), float(sum(counts[: k + 1]))) for k, bound in _BOUNDS]
    return [*buckets, ("+Inf", float(sum(counts)))], counted["ns"] / 1e9


def _sizes(batches: Mapping[str, Sequence[int]]) -> tuple[list[tuple[str, float]], float]:
    runs = {int(rows): entry[0] for rows, entry in batches.items()}
    buckets = [(str(float(b)), float(sum(n for rows, n in runs.items() if rows <= b))) for b in _ROWS]
    return [*buckets, ("+Inf", float(sum(runs.values())))], float(sum(rows * n for rows, n in runs.items()))
