"""Every setting of the server and of one model, with its default: the one list behind flags, environment and TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Versions = Literal["all"] | int | tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """How one model is served.

    versions: which of the model's versions are served: the latest N (an int), those listed (a tuple), or "all".
    batching: run requests that wait together as one batch. None: where a trial at loading shows that it changes no
    answer.
    max_batch: rows of one run.  max_delay_ms: how long the first request of a batch waits for others; 0 never waits.
    max_queue: requests that may wait; one more is told to come again (429).  timeout_ms: how long a request may take,
    waiting included; None has no limit. A request may ask for less.
    instances: runs that may go on at once.  threads: of one run; None chooses: all cores shared by the instances.
    execution: "inline" runs on the thread of the network, for models of microseconds; "thread" beside it; "auto"
    measures.
    pad: a named size -> the sizes it is filled up to with zeros, so that unequal requests share a batch. It is tried at
    loading whether the outputs stay what they were.
    cache: how many answers are kept for requests that come again; 0 keeps none.  cache_bytes: of them all together.
    weights: "shared" maps the weights from the file, one copy for all workers; "private" copies and repacks them,
    which is faster for large batches.
    canary: version -> the part of the requests without a version that goes there.  shadow: version -> the part of the
    requests that is run there as well, its answers compared and dropped.
    sample: an .npz file with inputs to try it on at loading; without it zeros at small sizes.
    labels: the names of the classes, for the classification parameter.
    allow_unranked: see `interchange.load`.
    config_pbtxt: follow Triton's file in the model's folder, where the settings of this model are the defaults.
    """

    versions: Versions = 1
    batching: bool | None = None
    max_batch: int = 64
    max_delay_ms: float = 0.0
    max_queue: int = 1024
    timeout_ms: float | None = 60_000.0
    instances: int = 1
    threads: int | None = None
    execution: Literal["auto", "inline", "thread"] = "auto"
    pad: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    cache: int = 0
    cache_bytes: int = 64 << 20
    weights: Literal["private", "shared"] = "private"
    canary: Mapping[str, float] = field(default_factory=dict)
    shadow: Mapping[str, float] = field(default_factory=dict)
    sample: Path | None = None
    labels: tuple[str, ...] = ()
    allow_unranked: bool = False
    config_pbtxt: bool = True


@dataclass(frozen=True, kw_only=True)
class Token:
    """Who may do what. secret: as it comes in ``Authorization: Bearer``. models: names, ``*`` in them for any text."""

    secret: str = field(repr=False)
    name: str = ""
    inference: bool = True
    admin: bool = False
    models: tuple[str, ...] = ("*",)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the server runs.

    host, http_port, grpc_port: where it listens; port 0 chooses a free one, None opens no such door.  uds: the path of
    a Unix domain socket for HTTP as well.  uds_mode: its permissions.
    workers: processes that share the ports.
    tls_certificate, tls_key: PEM files; both doors speak TLS then.
    tokens: with any, a request must bring one; administration is off without one that has the right.
    watch_seconds: how often the repository is looked at for changes; None never.
    drain_seconds: after SIGTERM, how long new requests are still served while /v2/health/ready says no.
    stop_seconds: how long requests in flight may then take.  hang_seconds: a worker that says nothing for so long is
    replaced.
    max_body, max_head: bytes of one request, and of its head.  max_connections: at once, for each worker.
    max_incoming: bytes of requests that are not complete yet, over all connections of a worker.
    max_elements: of one tensor of a request.
    idle_seconds: a connection without a request is closed.  slow_seconds: one request must have come within it, and one
    answer must have been taken.
    metrics_aliases: also publish Triton's names (nv_*).  access_log: a file, "-" for stderr, None for none.
    otlp_endpoint: where OpenTelemetry traces go; None sends none.  page: serve the page for people at /.
    defaults: of models that are not named in `models`.  models: name -> its settings.  pipelines: name -> its file.
    """

    host: str = "127.0.0.1"
    http_port: int | None = 8000
    grpc_port: int | None = 8001
    uds: Path | None = None
    uds_mode: int = 0o600
    workers: int = 1
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tokens: tuple[Token, ...] = ()
    watch_seconds: float | None = 2.0
    drain_seconds: float = 0.0
    stop_seconds: float = 30.0
    hang_seconds: float = 60.0
    max_body: int = 64 << 20
    max_incoming: int = 1 << 30
    max_head: int = 16 << 10
    max_connections: int = 4096
    max_elements: int = 1 << 28
    idle_seconds: float = 75.0
    slow_seconds: float = 30.0
    metrics_aliases: bool = True
    access_log: str | None = None
    otlp_endpoint: str | None = None
    page: bool = True
    defaults: ModelSettings = field(default_factory=ModelSettings)
    models: Mapping[str, ModelSettings] = field(default_factory=dict)
    pipelines: Mapping[str, Path] = field(default_factory=dict)

    def of(self, model: str) -> ModelSettings:
        """The settings of a model."""
        return self.models.get(model, self.defaults)
