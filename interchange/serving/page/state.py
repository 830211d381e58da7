"""What the page shows, as plain data: one answer with everything, asked for once a second."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from interchange.serving.pipelines import Pipeline
from interchange.serving.statistics import BUCKETS, merged

if TYPE_CHECKING:
    from interchange.serving.app import App
    from interchange.serving.served import Port, Served
    from interchange.serving.settings import Token

_TRIALS = 8  # of a proof that are shown
_TEXT = 300  # characters of a text that a file brings

_known: WeakKeyDictionary[Served, dict[str, Any]] = WeakKeyDictionary()


async def state(app: App, token: Token | None) -> dict[str, Any]:
    """The server and every version of every model that the token may see.

    {"now": seconds of a clock that only runs forward, "server": {...}, "buckets": upper bounds of the histograms in
    seconds, "models": [{"name", "version", "state", "reason", "default", "about", "steps", "live"}]}

    about: what does not change while a version is served: signature, evidence, how it is executed.  steps: of a
    pipeline, with the models that the token may see.  live: counters and histograms since it was loaded
    (`interchange.serving.statistics`), which the page takes differences of.
    `about` and `live` are None for a version that is not ready.
    """
    index = [e for e in app.operations.index() if app.access.sees(token, e["name"])]
    peers = app.operations.peers
    counted = [app.operations.snapshot(), *(await peers.collect() if peers is not None else ())]
    models = []
    for entry in index:
        name, version = entry["name"], str(entry.get("version", ""))
        versions = app.engine.models.get(name, {})
        served = versions.get(version)
        models.append(
            {
                "name": name,
                "version": version,
                "state": entry["state"],
                "reason": entry.get("reason", ""),
                "default": served is not None and app.engine.find(name) is served,
                "about": served and _about_once(served),
                "steps": _steps(app, token, served),
                "live": served and _live(served, [s[name][version] for s in counted if version in s.get(name, {})]),
            }
        )
    return {"now": time.monotonic(), "server": _server(app), "buckets": list(BUCKETS), "models": models}


def _server(app: App) -> dict[str, Any]:
    settings = app.settings
    metadata = app.operations.server_metadata()
    tls = settings.tls_certificate is not None
    # a port of 0 was chosen by the system: the page knows its own, and asks nobody for the other
    doors = [("HTTP", settings.http_port), ("gRPC", settings.grpc_port)]
    return {
        "name": metadata["name"],
        "version": metadata["version"],
        "uptime": max(time.time() - app.started, 0.0),
        "status": "draining" if app.draining else "ready" if app.operations.ready() else "not ready",
        "doors": [
            {"protocol": name, "address": f"{settings.host}:{port}" if port else "", "tls": tls}
            for name, port in doors
            if port is not None
        ],
        "workers": settings.workers,
    }


# -- what a version is ------------------------------------------------------------------------------------------------
def _about_once(served: Served) -> dict[str, Any]:
    found = _known.get(served)
    if found is None:
        found = _known[served] = _about(served)
    return found


def _about(served: Served) -> dict[str, Any]:
    model = served.model
    return {
        "inputs": [_port(p) for p in served.inputs.values()],
        "outputs": [_port(p) for p in served.outputs.values()],
        "sizes": {name: list(bounds) for name, bounds in model.dims.items()},
        "example_sizes": dict(served.trial.sizes),  # at which it answered when it was loaded
        "guards": [g.to_dict() for g in model.guards],
        "evidence": _evidence(model.evidence),
        "execution": _execution(served),
        "labels": list(served.settings.labels),
    }


def _steps(app: App, token: Token | None, served: Served | None) -> list[dict[str, Any]]:
    if not isinstance(served, Pipeline):
        return []
    return [
        {"name": step.name, "model": step.model if app.access.sees(token, step.model) else "", "version": step.version}
        for step in served.described.steps.values()
    ]


def _port(port: Port) -> dict[str, Any]:
    """An input or output. line: in the shape language.  sizes: numbers, and names or formulas where they are open."""
    sizes = [d if isinstance(d, int) else str(d) for d in port.spec.shape]
    return {**port.metadata(), "line": str(port.spec), "sizes": sizes, "optional": port.optional}


def _execution(served: Served) -> dict[str, Any]:
    settings, trial = served.settings, served.trial
    return {
        "inline": trial.inline,
        "batching": trial.batching,
        "why": trial.why,
        "seconds": {str(rows): seconds for rows, seconds in sorted(trial.seconds.items())},
        "max_batch": settings.max_batch,
        "max_delay_ms": settings.max_delay_ms,
        "max_queue": settings.max_queue,
        "timeout_ms": settings.timeout_ms,
        "instances": settings.instances,
        "pad": {name: list(sizes) for name, sizes in settings.pad.items()},
        "cache": settings.cache,
        "canary": dict(settings.canary),
        "shadow": dict(settings.shadow),
    }


def _evidence(evidence: Any) -> dict[str, Any] | None:
    """What the file says of its proof (`interchange.parity.ParityReport.to_dict`), cut to what a page can show.

    A file may say anything there: what has another form is left out.
    """
    if not isinstance(evidence, Mapping):
        return None
    trials = [t for t in _list(evidence.get("trials")) if isinstance(t, Mapping)]
    return {
        "ok": evidence.get("ok") is True,
        "runtime": _text(evidence.get("runtime")),
        "trials": [
            {
                "sizes": {_text(n): s for n, s in _items(t.get("sizes"))[:_TRIALS] if isinstance(s, int)},
                "differences": [
                    _difference(d) for d in _list(t.get("differences"))[:_TRIALS] if isinstance(d, Mapping)
                ],
            }
            for t in trials[:_TRIALS]
        ],
        "more": max(len(trials) - _TRIALS, 0),
    }


def _difference(difference: Mapping[str, Any]) -> dict[str, Any]:
    problem = difference.get("problem")
    return {
        "output": _text(difference.get("output")),
        "problem": None if problem is None else _text(problem),
        **{n: v if isinstance(v := difference.get(n), (int, float)) else None for n in ("max_abs", "max_rel")},
    }


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _items(value: Any) -> list[tuple[Any, Any]]:
    return list(value.items()) if isinstance(value, Mapping) else []


def _text(value: Any) -> str:
    return value[:_TEXT] if isinstance(value, str) else ""


# -- what it does -----------------------------------------------------------------------------------------------------
def _live(served: Served, counted: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counted over all workers; what waits and runs, in this one."""
    batcher, found = served.batcher, merged(counted)
    found["batches"] = {rows: entry[0] for rows, entry in found["batches"].items()}
    return {"waiting": batcher.waiting, "running": len(batcher.running), **found}
