"""The files of the page, read once."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}

# The names in a model are somebody else's text. The page never makes markup of text; should it ever, the browser
# refuses.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@cache
def assets() -> dict[str, tuple[str, bytes]]:
    """Path on the server -> (content type, bytes): ``/`` and what it loads, below ``/page/``; send with `HEADERS`."""
    found = {}
    for file in files("interchange.serving.page").iterdir():
        kind = _TYPES.get(file.name[file.name.rfind(".") :])
        if kind is not None:
            found["/" if file.name == "index.html" else f"/page/{file.name}"] = (kind, file.read_bytes())
    return found
