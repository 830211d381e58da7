"""What is asked, by method and path: one table, in which each entry says what right it takes."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from interchange.protocol.errors import ServingError

if TYPE_CHECKING:
    from interchange.serving.access import Right
    from interchange.serving.app import App
    from interchange.serving.settings import Token


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked. params: the parts of the path that its template names.  token: who asks, where it was needed."""

    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, data: Any, status: int = 200) -> Response:
        """Data as JSON."""
        return cls(orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS), status)


Handler = Callable[["App", Request], Awaitable[Response]]


class Route(NamedTuple):
    """handler: None for inference, which the connection itself does."""

    method: str
    template: str
    right: Right
    handler: Handler | None


def find_route(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """What answers, and the parts of the path. Raises ServingError IX650 (no such path), IX651 (another method)."""
    wanted = "GET" if method == "HEAD" else method
    allowed: set[str] = set()
    for pattern, route in _table():
        match = pattern.fullmatch(path)
        if match is None:
            continue
        if route.method == wanted:
            return route, match.groupdict()
        allowed.add(route.method)
    if allowed:
        raise ServingError(
            "IX651",
            "this path does not take this method",
            found=method,
            expected=", ".join(sorted(allowed)),
            fix=f"send it as {sorted(allowed)[0]}",
        )
    raise ServingError(
        "IX650",
        "there is no such path",
        found=path[:200],
        expected="/v2/... of the Open Inference Protocol, /metrics, /openapi.json, or / for people",
        fix="POST /v2/models/NAME/infer is an inference; /openapi.json lists everything",
    )


@cache
def _table() -> tuple[tuple[re.Pattern[str], Route], ...]:
    from interchange.serving.http import people, rest

    return tuple((_pattern(route.template), route) for route in (*rest.ROUTES, *people.ROUTES))


def _pattern(template: str) -> re.Pattern[str]:
    """``/v2/models/{model}`` and, as some clients write it, the same with a slash behind."""
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template) + ("/?" if template != "/" else ""))
