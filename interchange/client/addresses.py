"""Where a server is: ``http://host:port``, ``https://host:port/prefix``, ``unix:///path/to/socket``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from interchange.errors import UsageError

_PORTS = {"http": 80, "https": 443}
_HEADER = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")


@dataclass(frozen=True, slots=True)
class Address:
    """One server. socket: the path of its Unix domain socket, or "".  prefix: of its paths, without a last slash."""

    host: str = "localhost"
    port: int = 80
    socket: str = ""
    tls: bool = False
    prefix: str = ""

    @property
    def authority(self) -> str:
        """What the Host header says."""
        if self.socket:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.tls else "http"] else f"{host}:{self.port}"

    def __str__(self) -> str:
        if self.socket:
            return f"unix://{self.socket}"
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.prefix}"


def read_url(url: str) -> Address:
    """The address that a URL names. Raises UsageError IX680."""
    if not isinstance(url, str) or not url.isprintable() or " " in url:
        raise _bad(url, "no text, or characters that no address has")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _bad(url, str(error)) from None
    if parts.query or parts.fragment or parts.username is not None or parts.password is not None:
        raise _bad(url, "more than an address: a query, a fragment or a password")
    if parts.scheme == "unix":
        if parts.netloc or not parts.path.strip("/"):
            raise _bad(url, "no path of a socket")
        return Address(socket=parts.path)
    if parts.scheme not in _PORTS:
        raise _bad(url, f"the scheme {parts.scheme!r}" if "://" in url else "no scheme")
    if not parts.hostname:
        raise _bad(url, "no host")
    port = _PORTS[parts.scheme] if port is None else port
    prefix = quote(parts.path.rstrip("/"), safe="/%~")
    return Address(parts.hostname, port, tls=parts.scheme == "https", prefix=prefix.removesuffix("/v2"))


def header_line(name: str, value: str) -> str:
    """One line of a request's head. Raises UsageError IX680 for what would break out of it."""
    if not _NAME.match(name) or not _HEADER.match(value):
        raise UsageError(
            "IX680",
            f"this cannot be sent as the header {name!r}"[:100],
            found="an empty text, or characters beyond printable ASCII",
            expected="printable ASCII in one line",
            fix="read a token from its file without the end of the line: text.strip()",
        )
    return f"{name}: {value}\r\n"


def _bad(url: object, found: str) -> UsageError:
    return UsageError(
        "IX680",
        "this is not the address of a server",
        found=f"{url!r}"[:200] + f": {found}",
        expected="http://host:port, https://host:port or unix:///path/to/socket",
        fix="write http:// before the host and its port: http://127.0.0.1:8000",
    )
