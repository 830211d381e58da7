"""``interchange serve --check``: everything that a start does, but for serving; all that is wrong is told at once."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from interchange.errors import InterchangeError
from interchange.serving.configuration import ConfigurationError, unmatched
from interchange.serving.listening import address_of, bind, require_files, require_free, require_packages
from interchange.serving.plain import to_plain
from interchange.serving.settings import ModelSettings, Settings, Token


@dataclass(frozen=True)
class Rehearsal:
    """What was found. settings: name -> value, those that are not the defaults.  doors: where it would listen.

    models: name, version, state and reason of each version.  problems: what keeps the server, or a model, from serving.
    """

    settings: dict[str, str]
    doors: list[str]
    models: list[dict[str, str]]
    problems: list[InterchangeError]

    @property
    def ok(self) -> bool:
        """Whether all of it is good."""
        return not self.problems and all(m["state"] == "READY" for m in self.models)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "ok": self.ok,
            "settings": self.settings,
            "doors": self.doors,
            "models": self.models,
            "problems": [p.to_dict() for p in self.problems],
        }

    def __str__(self) -> str:
        lines = [f"{name} = {value}" for name, value in self.settings.items()]
        lines += [f"listens at {door}" for door in self.doors]
        for model in self.models:
            version = f" version {model['version']}" if model["version"] else ""
            reason = f": {model['reason']}" if model["reason"] else ""
            lines.append(f"{model['name']}{version} {model['state']}{reason}")
        lines += map(str, self.problems)
        return "\n".join([*lines, "the server can be started" if self.ok else "the server cannot be started like this"])


def rehearse(source: str | os.PathLike[str], settings: Settings) -> Rehearsal:
    """Try files, packages, ports and models of a configuration; blocking. Raises nothing for what is wrong with it."""
    problems: list[InterchangeError] = []

    def attempt(trial: Callable[[], Any]) -> Any:
        try:
            return trial()
        except ConfigurationError as error:
            problems.extend(error.problems)
        except InterchangeError as error:
            problems.append(error)
        return None

    attempt(lambda: require_packages(settings))
    problems += require_files(settings)
    doors = _doors(settings, attempt)
    models = attempt(lambda: asyncio.run(_models(source, settings)))
    names = sorted({m["name"] for m in models or ()} | settings.pipelines.keys())
    if models is not None:
        problems += unmatched(settings, names)
    return Rehearsal(_changed(settings), doors, models or [], problems)


def _doors(settings: Settings, attempt: Callable[[Callable[[], Any]], Any]) -> list[str]:
    doors: list[str] = []
    scheme = "https" if settings.tls_certificate else "http"
    for what, port, prefix in (
        ("http_port", settings.http_port, f"{scheme}://"),
        ("grpc_port", settings.grpc_port, "grpc "),
    ):
        if port is None:
            continue
        doors.append(f"{prefix}{address_of(settings.host, port)}" + ("" if port else " (a free port)"))
        for sock in attempt(partial(bind, settings.host, port, what=what)) or ():
            sock.close()
    if settings.uds is not None:
        doors.append(f"{settings.uds} (mode {settings.uds_mode:o})")
        attempt(partial(require_free, settings.uds))
    return doors


async def _models(source: str | os.PathLike[str], settings: Settings) -> list[dict[str, str]]:
    from interchange.serving.engine import Engine
    from interchange.serving.lifecycle import Lifecycle

    engine = Engine(settings)
    lifecycle = Lifecycle(engine, Path(source))
    await lifecycle.start()
    rows = lifecycle.index()
    await lifecycle.close()
    await engine.close()
    return rows


def _changed(settings: Settings) -> dict[str, str]:
    """Settings that are not the defaults, in words; secrets are never among them."""
    plain = Settings()
    found: dict[str, str] = {}
    for field in fields(Settings):
        value = getattr(settings, field.name)
        if value == getattr(plain, field.name):
            continue
        if field.name == "tokens":
            for token in value:
                found[f"token {token.name}"] = _rights(token)
        elif field.name == "models":
            found |= {f"models.{name}": _differences(model, settings.defaults) for name, model in value.items()}
        elif isinstance(value, ModelSettings):
            found[field.name] = _differences(value, ModelSettings())
        else:
            found[field.name] = f"{value:#o}" if field.name == "uds_mode" else _written(value)
    return found


def _rights(token: Token) -> str:
    rights = [name for name in ("inference", "admin") if getattr(token, name)]
    return f"{' and '.join(rights) or 'nothing'}, of {', '.join(token.models)}"


def _differences(model: ModelSettings, base: ModelSettings) -> str:
    changed = [f.name for f in fields(ModelSettings) if getattr(model, f.name) != getattr(base, f.name)]
    return ", ".join(f"{name} = {_written(getattr(model, name))}" for name in changed) or "as all"


def _written(value: Any) -> str:
    return json.dumps(to_plain(value), ensure_ascii=False)
