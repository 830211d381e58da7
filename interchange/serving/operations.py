"""What both doors answer beside inference: health, metadata, configuration, statistics, the repository.

Everything is in the form that the Open Inference Protocol and Triton's extensions of it give it in JSON; the gRPC door
makes its messages of the same answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from interchange import __version__
from interchange.protocol.errors import ServingError
from interchange.serving.engine import Engine
from interchange.serving.lifecycle import Lifecycle
from interchange.serving.parameters import bad
from interchange.serving.pipelines import Pipeline
from interchange.serving.served import Port, Served
from interchange.serving.settings import ModelSettings, Settings
from interchange.serving.statistics import merged

NAME = "interchange"
EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "parameters",
    "schedule_policy",
    "statistics",
)
Snapshot = dict[str, dict[str, dict[str, Any]]]  # model -> version -> `Statistics.snapshot`


class Peers(Protocol):
    """The other processes that serve the same repository."""

    async def collect(self) -> list[Snapshot]:
        """What each of them has counted."""

    async def tell(self, message: Mapping[str, Any]) -> None:
        """Have each of them do the same; returns when all have. Raises InterchangeError of the first that failed."""

    async def states(self) -> dict[str, Any]:
        """What the metrics tell of each of them (`interchange.serving.metrics.state`), and of who supervises them."""


class Operations:
    """Asked by the doors, on the engine's loop. peers: None where one process serves alone."""

    def __init__(self, engine: Engine, lifecycle: Lifecycle, settings: Settings) -> None:
        self.engine, self.lifecycle, self.settings = engine, lifecycle, settings
        self.peers: Peers | None = None

    # -- health -------------------------------------------------------------------------------------------------------
    def live(self) -> bool:
        """Whether the process answers."""
        return True

    def ready(self) -> bool:
        """Whether requests should be sent here: see `Lifecycle.ready`."""
        return self.lifecycle.ready

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether a model answers. Raises ServingError IX640, IX641 for one that is unknown."""
        try:
            self.engine.find(name, version)
        except ServingError as error:
            if error.code == "IX642":
                return False
            raise
        return True

    # -- what there is ------------------------------------------------------------------------------------------------
    def server_metadata(self) -> dict[str, Any]:
        """Name, version and extensions of this server."""
        return {"name": NAME, "version": __version__, "extensions": list(EXTENSIONS)}

    def model_metadata(self, name: str, version: str = "") -> dict[str, Any]:
        """The signature of a model. Raises ServingError IX640 to IX642."""
        served = self.engine.find(name, version)
        return served.metadata(sorted(self.engine.models[name], key=int))

    def model_config(self, name: str, version: str = "") -> dict[str, Any]:
        """How a model is served, as Triton's ModelConfig. Raises ServingError IX640 to IX642."""
        return model_config(self.engine.find(name, version))

    def index(self, ready_only: bool = False) -> list[dict[str, str]]:
        """The models of the repository: see `Lifecycle.index`."""
        return self.lifecycle.index(ready_only)

    # -- statistics ---------------------------------------------------------------------------------------------------
    def snapshot(self) -> Snapshot:
        """What this process has counted."""
        return {
            name: {version: served.statistics.snapshot() for version, served in versions.items()}
            for name, versions in self.engine.models.items()
        }

    async def statistics(self, name: str = "", version: str = "") -> dict[str, Any]:
        """What was counted and timed, over all processes. name "": of all models; version "": of all versions.

        Raises ServingError IX640 to IX642.
        """
        if name:
            self.engine.find(name, version)
        snapshots = [self.snapshot(), *(await self.peers.collect() if self.peers is not None else ())]
        wanted = {
            (n, v)
            for n, versions in self.engine.models.items()
            for v in versions
            if name in ("", n) and version in ("", v)
        }
        return {
            "model_stats": [
                model_statistics(n, v, merged(s[n][v] for s in snapshots if v in s.get(n, {})))
                for n, v in sorted(wanted, key=lambda key: (key[0], int(key[1])))
            ]
        }

    # -- the repository -----------------------------------------------------------------------------------------------
    async def load(self, name: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Load a model from the repository, in every process.

        Raises ServingError IX638 for a parameter: neither a model nor its configuration comes over the network; IX640;
        and what is wrong with the model.
        """
        for parameter in parameters or {}:
            raise ServingError(
                "IX638",
                "a model is loaded from the repository only",
                found=f"the parameter {parameter[:100]}",
                expected="no parameters",
                fix="put the model and its config.pbtxt into the repository's folder, then load it",
            )
        await self.lifecycle.load(name)
        if self.peers is not None:
            await self.peers.tell({"do": "load", "model": name})

    async def unload(self, name: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Serve a model no longer, in any process; returns when its last request is answered.

        parameters: unload_dependents, true or false; nothing depends on a model here.
        Raises ServingError IX638, IX640.
        """
        for parameter, value in (parameters or {}).items():
            if parameter != "unload_dependents" or type(value) is not bool:
                raise bad(parameter[:100], value, "unload_dependents: true or false, or no parameters")
        await self.lifecycle.unload(name)
        if self.peers is not None:
            await self.peers.tell({"do": "unload", "model": name})


# -- Triton's forms ---------------------------------------------------------------------------------------------------
def model_config(served: Served) -> dict[str, Any]:
    """A version of a model as Triton's ModelConfig, in protobuf's JSON with the names of the fields as they are.

    max_batch_size is 0, and dims are whole shapes, where requests do not share a run. A pipeline is an ensemble.
    """
    settings, trial = served.settings, served.trial
    rows = trial.max_batch if trial.batching else 0
    config: dict[str, Any] = {
        "name": served.name,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "version_policy": _version_policy(settings),
        "max_batch_size": rows,
        "input": [
            _port(p, bool(rows)) | {"format": "FORMAT_NONE", "allow_ragged_batch": False, "optional": p.optional}
            for p in served.inputs.values()
        ],
        "output": [_port(p, bool(rows)) | {"label_filename": ""} for p in served.outputs.values()],
        "batch_input": [],
        "batch_output": [],
        "instance_group": [
            {"name": served.name, "kind": "KIND_CPU", "count": settings.instances, "gpus": [], "profile": []}
        ],
        "default_model_filename": "model.onnx",
        "cc_model_filenames": {},
        "metric_tags": {},
        "parameters": {"execution": {"string_value": "inline" if trial.inline else "thread"}},
        "model_warmup": [],
        "response_cache": {"enable": settings.cache > 0},
    }
    if settings.threads is not None:
        config["parameters"]["intra_op_thread_count"] = {"string_value": str(settings.threads)}
    if rows:
        timeout = round((settings.timeout_ms or 0) * 1000)
        config["dynamic_batching"] = {
            "preferred_batch_size": [],
            "max_queue_delay_microseconds": round(settings.max_delay_ms * 1000),
            "preserve_ordering": False,
            "priority_levels": 0,
            "default_priority_level": 0,
            "default_queue_policy": {
                "timeout_action": "REJECT",
                "default_timeout_microseconds": timeout,
                "allow_timeout_override": True,
                "max_queue_size": settings.max_queue,
            },
            "priority_queue_policy": {},
        }
    if isinstance(served, Pipeline):
        config |= {"platform": "ensemble", "backend": "", "instance_group": []}
        config["ensemble_scheduling"] = served.scheduling()
    return config


def _port(port: Port, batched: bool) -> dict[str, Any]:
    kind = "STRING" if port.datatype == "BYTES" else port.datatype
    dims = port.shape[1:] if batched else port.shape
    return {"name": port.name, "data_type": f"TYPE_{kind}", "dims": list(dims), "is_shape_tensor": False}


def _version_policy(settings: ModelSettings) -> dict[str, Any]:
    match settings.versions:
        case int(count):
            return {"latest": {"num_versions": count}}
        case "all":
            return {"all": {}}
        case listed:
            return {"specific": {"versions": list(listed)}}


def model_statistics(name: str, version: str, snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """A snapshot of `Statistics` in the form of the statistics extension. Durations in ns, times in ms since 1970."""
    phases = {p: _duration(sum(h["counts"]), h["ns"]) for p, h in snapshot["phases"].items()}
    hits, hit_ns, misses, miss_ns = snapshot["cache"]
    return {
        "name": name,
        "version": version,
        "last_inference": snapshot["last_inference_ms"],
        "inference_count": snapshot["inferences"],
        "execution_count": snapshot["executions"],
        "inference_stats": {
            "success": phases["request"],
            "fail": _duration(sum(snapshot["failures"].values()), snapshot["fail_ns"]),
            "queue": phases["queue"],
            "compute_input": phases["input"],
            "compute_infer": phases["compute"],
            "compute_output": phases["output"],
            "cache_hit": _duration(hits, hit_ns),
            "cache_miss": _duration(misses, miss_ns),
        },
        "batch_stats": [_batch(int(rows), *entry) for rows, entry in _by_size(snapshot["batches"])],
        "memory_usage": [],
    }


def _by_size(batches: Mapping[str, list[int]]) -> Iterable[tuple[str, list[int]]]:
    return sorted(batches.items(), key=lambda item: int(item[0]))


def _batch(rows: int, runs: int, input_ns: int, compute_ns: int, output_ns: int) -> dict[str, Any]:
    return {
        "batch_size": rows,
        "compute_input": _duration(runs, input_ns),
        "compute_infer": _duration(runs, compute_ns),
        "compute_output": _duration(runs, output_ns),
    }


def _duration(count: int, ns: int) -> dict[str, int]:
    return {"count": count, "ns": ns}
