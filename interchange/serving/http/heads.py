"""The head of a request: read by llhttp, once for all requests that begin with the very same bytes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

import httptools

from interchange.protocol.errors import ServingError
from interchange.serving.http.routes import Route, find_route

if TYPE_CHECKING:
    from interchange.serving.settings import Token

_NUMBER = re.compile(r"[0-9]{1,15}")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_ONCE = frozenset(("content-length", "host", "authorization", "inference-header-content-length", "content-encoding"))
_MAX_HEADERS = 100


class Head:
    """One request without its body.

    length: of the body, bytes; None when it comes in chunks.  headers: by name in small letters; of a header that comes
    several times the values, joined by commas.  json_length: what Inference-Header-Content-Length says, or None.
    request_id: what X-Request-Id says, which the answer repeats; None for something that is none.
    route, params: what is asked; or `error`: why there is no such thing.  token: who asks, once it was looked at.
    """

    __slots__ = (
        "allowed", "chunked", "encoding", "error", "expects", "headers", "json_length", "keep_alive", "length",
        "method", "params", "path", "query", "request_id", "route", "token",
    )  # fmt: skip

    def __init__(self, raw: bytes) -> None:
        """Raises ServingError IX658 for what is no HTTP/1.1 request."""
        seen = _Seen()
        parser = httptools.HttpRequestParser(seen)
        try:
            parser.feed_data(raw)
        except httptools.HttpParserUpgrade:  # it asks for another protocol; one need not give it
            pass
        except httptools.HttpParserError as error:
            raise _malformed(f"{type(error).__name__.removeprefix('HttpParser')}: {error}") from None
        if seen.heads != 1:
            raise _malformed("not one request")
        self.method = parser.get_method().decode("ascii")
        self.headers = seen.headers()
        self.keep_alive = parser.should_keep_alive() and parser.get_http_version() != "1.0"
        if parser.get_http_version() == "1.1" and "host" not in self.headers:
            raise _malformed("no Host header")
        target = seen.target.decode("latin-1")
        parts = urlsplit(target)
        self.path = parts.path
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=50))
        self._body()
        self.token: Token | None = None
        self.allowed = False
        self.route: Route | None = None
        self.params: dict[str, str] = {}
        self.error: ServingError | None = None
        try:
            self.route, found = find_route(self.method, self.path)
            self.params = {k: unquote(v) for k, v in found.items()}
        except ServingError as error:
            self.error = error

    def _body(self) -> None:
        coding = self.headers.get("transfer-encoding", "").lower()
        self.chunked = coding == "chunked"
        if coding and not self.chunked:
            raise _malformed(f"transfer-encoding: {coding}")
        if coding and "content-length" in self.headers:
            raise _malformed("content-length and transfer-encoding")
        self.length = None if self.chunked else self._number("content-length") or 0
        self.json_length = self._number("inference-header-content-length")
        self.encoding = self.headers.get("content-encoding", "").strip().lower()
        name = self.headers.get("x-request-id")
        self.request_id = name if name is not None and _REQUEST_ID.fullmatch(name) else None
        self.expects = self.headers.get("expect", "").lower() == "100-continue"

    def _number(self, name: str) -> int | None:
        text = self.headers.get(name)
        if text is None:
            return None
        if not _NUMBER.fullmatch(text):
            raise _malformed(f"{name}: {text}")
        return int(text)


class _Seen:
    """What llhttp tells of."""

    def __init__(self) -> None:
        self.target = b""
        self.heads = 0
        self.pairs: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.pairs.append((name, value))
        if len(self.pairs) > _MAX_HEADERS:
            raise _malformed(f"more than {_MAX_HEADERS} headers")

    def on_headers_complete(self) -> None:
        self.heads += 1

    def headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, value in self.pairs:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
            if key in found and key in _ONCE:
                raise _malformed(f"{key} twice")
            found[key] = f"{found[key]}, {text}" if key in found else text
        return found


def _malformed(found: str) -> ServingError:
    return ServingError(
        "IX658",
        "this is no HTTP/1.1 request",
        found=found[:200],
        expected="a request line, headers with one Host and at most one Content-Length, an empty line",
        fix="use an HTTP library",
    )
