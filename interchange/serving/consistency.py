"""Values that make no sense, and values that do not go together: found before a server starts with them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from interchange.serving.settings import ModelSettings, Settings

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_MOST = 1e15
# (least, greatest) of a number, wherever it stands in a field; of all others (0, _MOST)
_RANGES: dict[str, tuple[float, float]] = {
    "http_port": (0, 65535),
    "grpc_port": (0, 65535),
    "workers": (1, 1024),
    "watch_seconds": (0.05, _MOST),
    "hang_seconds": (0.5, _MOST),
    "max_body": (1, _MOST),
    "max_head": (512, 1 << 24),
    "max_connections": (1, _MOST),
    "max_incoming": (1, _MOST),
    "max_elements": (1, _MOST),
    "idle_seconds": (0.05, _MOST),
    "slow_seconds": (0.05, _MOST),
    "versions": (1, _MOST),
    "max_batch": (1, 1 << 20),
    "max_queue": (1, _MOST),
    "timeout_ms": (0.001, _MOST),
    "instances": (1, 1024),
    "threads": (1, 1024),
    "pad": (1, _MOST),
    "canary": (0, 1),
    "shadow": (0, 1),
}


class Found(NamedTuple):
    """One mistake. keys: where it is, from the top of the settings."""

    keys: tuple[Any, ...]
    code: str
    message: str
    found: str
    expected: str
    fix: str


def findings(settings: Settings) -> list[Found]:
    """Everything that makes no sense in settings whose types are right."""
    return [*_numbers(settings, (), ""), *_texts(settings), *_server(settings), *_models(settings)]


def _numbers(value: Any, keys: tuple[Any, ...], name: str) -> Iterator[Found]:
    """Numbers out of their range. name: of the field that they stand in."""
    if is_dataclass(value):
        for field in fields(value):
            yield from _numbers(getattr(value, field.name), (*keys, field.name), field.name)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, (*keys, key), name)
    elif isinstance(value, tuple):
        for index, inner in enumerate(value):
            yield from _numbers(inner, (*keys, index), name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        low, high = _RANGES.get(name, (0, _MOST))
        if not low <= value <= high:
            yield _senseless(keys, repr(value), f"{low} to {high}" if high < _MOST else f"{low} or more")


def _senseless(keys: tuple[Any, ...], found: str, expected: str, fix: str | None = None) -> Found:
    return Found(
        keys, "IX673", f"{'.'.join(map(str, keys))} cannot be this", found, expected, fix or f"make it {expected}"
    )


def _texts(settings: Settings) -> Iterator[Found]:
    if not settings.host.strip():
        yield _senseless(("host",), "an empty text", "an address", 'write "127.0.0.1", or "0.0.0.0" for every address')
    if not 0 < settings.uds_mode <= 0o777:
        yield _senseless(("uds_mode",), str(settings.uds_mode), "permissions, in octal: 0o600, 0o660")
    if settings.otlp_endpoint is not None and not re.match(r"https?://[^/]", settings.otlp_endpoint):
        yield _senseless(("otlp_endpoint",), settings.otlp_endpoint, "a URL: http://collector:4318/v1/traces")
    for group in ("models", "pipelines"):
        for name in getattr(settings, group):
            if not MODEL_NAME.fullmatch(name):
                expected = "letters, digits, '_', '-' and '.', 128 at most, a letter or digit first"
                yield _senseless((group, name), name, expected, "rename the model")
    for i, token in enumerate(settings.tokens):
        if not token.models or not all(token.models):
            yield _senseless(("tokens", i, "models"), repr(token.models), 'names of models, or "*" for all of them')
    for keys, model in _each_model(settings):
        for split in ("canary", "shadow"):
            for version in getattr(model, split):
                if not _VERSION.fullmatch(version):
                    yield _senseless((*keys, split, version), version, "the number of a version of the model")


def _server(settings: Settings) -> Iterator[Found]:
    s = settings
    if s.http_port is None and s.grpc_port is None and s.uds is None:
        yield _together(("http_port",), "no door at all", "an http_port, a grpc_port or a uds", "set one of them")
    if s.http_port and s.http_port == s.grpc_port:
        yield _together(("grpc_port",), f"both doors on port {s.http_port}", "two ports", "choose another, or 0")
    if (s.tls_certificate is None) != (s.tls_key is None):
        given, missing = ("tls_key", "tls_certificate") if s.tls_certificate is None else ("tls_certificate", "tls_key")
        yield _together((given,), f"{given} without {missing}", "both of them, or none", f"set {missing}")
    seen: dict[str, int] = {}
    for i, token in enumerate(s.tokens):
        if seen.setdefault(token.secret, i) != i:
            yield _together(
                ("tokens", i), "two tokens with the same secret", "a secret of its own for each", "make another secret"
            )
    for name in sorted(s.models.keys() & s.pipelines.keys()):
        yield _together(("pipelines", name), f"a model and a pipeline of one name: {name}", "two names", "rename one")


def _models(settings: Settings) -> Iterator[Found]:
    for keys, model in _each_model(settings):
        if sum(model.canary.values()) > 1 + 1e-9:
            total = sum(model.canary.values())
            yield _together((*keys, "canary"), f"parts of {total:g} in all", "1 at most", "make the parts smaller")
        if model.batching is False and model.max_delay_ms:
            yield _together(
                (*keys, "max_delay_ms"),
                f"max_delay_ms = {model.max_delay_ms:g}, but batching = false",
                "a delay only where requests may share a run",
                "leave one of the two out",
            )
        served = model.versions
        for split in ("canary", "shadow"):
            for version in getattr(model, split):
                if isinstance(served, tuple) and version.isdecimal() and int(version) not in served:
                    yield _together(
                        (*keys, split, version),
                        f"version {version}",
                        f"one of the versions that are served: {', '.join(map(str, served))}",
                        "add it to versions, or leave it out",
                    )


def _together(keys: tuple[Any, ...], found: str, expected: str, fix: str) -> Found:
    return Found(keys, "IX674", "these settings do not go together", found, expected, fix)


def _each_model(settings: Settings) -> Iterator[tuple[tuple[Any, ...], ModelSettings]]:
    yield ("defaults",), settings.defaults
    yield from ((("models", name), model) for name, model in settings.models.items())


def unmatched(settings: Settings, names: Sequence[str]) -> Iterator[Found]:
    """Settings that are for no model of the repository. names: of its models and pipelines."""
    for name in settings.models:
        if name not in names:
            yield _nobody(("models", name), name, names)
    for i, token in enumerate(settings.tokens):
        for pattern in token.models:
            if not any(fnmatchcase(name, pattern) for name in names):
                yield _nobody(("tokens", i, "models"), pattern, names)


def _nobody(keys: tuple[Any, ...], found: str, names: Sequence[str]) -> Found:
    close = get_close_matches(found, names, 1)
    expected = ", ".join(names) or "a model; the repository has none"
    fix = f"did you mean {close[0]}?" if close else "correct the name, or leave it out"
    return Found(keys, "IX679", f"{'.'.join(map(str, keys))} is for no model of the repository", found, expected, fix)
