"""The head of a request: read by llhttp, once for all requests that begin with the very same bytes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

import httptools

from interchange.protocol.errors import ServingError
from interchange.serving.http.routes import Route, find_route

if TYPE_CHECKING:
    from interchange.serving.settings import Token

_FIRST_LINE = re.compile(rb"[A-Z-]+ ([!-~]+) HTTP/1\.([01])\r\n")
_LONE_LF = re.compile(rb"(?<!\r)\n")
# as clients write it that take the server for a proxy
_ABSOLUTE = re.compile(r"https?://(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?(?=[/?]|$)", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,15}")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_ONCE = frozenset(("content-length", "host", "authorization", "inference-header-content-length", "content-encoding"))
_MAX_HEADERS = 100
_MAX_QUERY = 50
_CRLF = b"\r\n"


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
        line = _FIRST_LINE.match(raw)
        if line is None:
            raise _malformed(_line(raw))
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
        old = line[2] == b"0"
        # not llhttp's answer: it forgets it with the end of a request without a body
        self.keep_alive = not old and "close" not in _tokens(self.headers.get("connection", ""))
        if not old and "host" not in self.headers:
            raise _malformed("no Host header")
        self._target(line[1].decode("ascii"))
        self._body(old)
        self.token: Token | None = None
        self.allowed = False
        self.route: Route | None = None
        self.params: dict[str, str] = {}
        self.error: ServingError | None = None
        self.json_length: int | None = None
        try:
            self.route, found = find_route(self.method, self.path)
            self.params = {k: unquote(v) for k, v in found.items()}
            self.json_length = self._json_length()
        except ServingError as error:
            self.error = error

    def _target(self, target: str) -> None:
        absolute = None if target.startswith("/") else _ABSOLUTE.match(target)
        if absolute is not None:
            target = target[absolute.end() :]
        if "#" in target:
            raise _malformed("a # in the path")
        self.path, _, query = target.partition("?")
        try:
            self.query = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_QUERY)) if query else {}
        except ValueError:
            raise _malformed(f"more than {_MAX_QUERY} fields in the query") from None

    def _body(self, old: bool) -> None:
        coding = self.headers.get("transfer-encoding", "").lower()
        self.chunked = coding == "chunked"
        if coding and (old or not self.chunked):
            raise _malformed(f"transfer-encoding: {coding}")
        if coding and "content-length" in self.headers:
            raise _malformed("content-length and transfer-encoding")
        length = self.headers.get("content-length", "0")
        if not _NUMBER.fullmatch(length):
            raise _malformed(f"content-length: {length[:80]}")
        self.length = None if self.chunked else int(length)
        self.encoding = self.headers.get("content-encoding", "").strip().lower()
        name = self.headers.get("x-request-id")
        self.request_id = name if name is not None and _REQUEST_ID.fullmatch(name) else None
        self.expects = not old and self.headers.get("expect", "").lower() == "100-continue"

    def _json_length(self) -> int | None:
        text = self.headers.get("inference-header-content-length")
        if text is None:
            return None
        if not _NUMBER.fullmatch(text):
            raise ServingError(
                "IX636",
                "Inference-Header-Content-Length is no number of bytes",
                found=text[:80] or "an empty header",
                expected="the length of the JSON at the beginning of the body, in decimal digits",
                fix="count the bytes of the JSON, or leave the header out where nothing follows it",
            )
        return int(text)


def _tokens(value: str) -> set[str]:
    return {t.strip() for t in value.lower().split(",")}


class _Seen:
    """What llhttp tells of."""

    def __init__(self) -> None:
        self.heads = 0
        self.pairs: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.pairs.append((name, value))

    def on_headers_complete(self) -> None:
        self.heads += 1

    def headers(self) -> dict[str, str]:
        if len(self.pairs) > _MAX_HEADERS:
            raise head_too_large(f"{len(self.pairs)} headers", f"at most {_MAX_HEADERS} headers")
        found: dict[str, str] = {}
        for name, value in self.pairs:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
            if key in found and key in _ONCE:
                raise _malformed(f"{key} twice")
            found[key] = f"{found[key]}, {text}" if key in found else text
        return found


def _line(data: bytes) -> str:
    return f"the line {data.partition(_CRLF)[0][:80].decode('ascii', 'backslashreplace')!r}"


def check_begun(data: bytes) -> None:
    """Look at a head of which more is to come. Raises ServingError IX658 when nothing can make a request of it."""
    line, end, _ = data.partition(b"\n")
    if end and _FIRST_LINE.fullmatch(line + end) is None:
        raise _malformed(_line(data))
    if not b"A" <= data[:1] <= b"Z":
        raise _malformed("something that does not begin with a method")
    if _LONE_LF.search(data):
        raise _malformed("a line that ends in LF without CR")


def head_too_large(found: str, expected: str) -> ServingError:
    """The error for a head above a limit."""
    return ServingError(
        "IX656",
        "the head of the request is too large",
        found=found,
        expected=expected,
        fix="send fewer or shorter headers",
    )


def _malformed(found: str) -> ServingError:
    return ServingError(
        "IX658",
        "this is no HTTP/1.1 request",
        found=found[:200],
        expected="a request line, headers with one Host and at most one Content-Length, an empty line",
        fix="use an HTTP library",
    )
