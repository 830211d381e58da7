"""How an error is told over gRPC: a status, a text, and its parts in the trailing metadata."""

from __future__ import annotations

import math
from typing import Any

import grpc

from interchange.errors import InterchangeError
from interchange.protocol.errors import ServingError, body_of, grpc_status, text_of

_PARTS = ("code", "input", "found", "expected")
# a client refuses metadata of more than 8 KiB in all, and what is no visible ASCII becomes three bytes there
_LONGEST_TEXT, _LONGEST_PART = 1200, 600


def status_of(error: InterchangeError) -> Any:
    """A member of grpc.StatusCode."""
    return grpc.StatusCode[grpc_status(error)]


def details_of(error: InterchangeError) -> str:
    """The text beside the status."""
    return _cut(text_of(error), _LONGEST_TEXT)


def trailing_of(error: InterchangeError) -> tuple[tuple[str, str], ...]:
    """``error-code``, ``error-input``, ``error-found``, ``error-expected``, and when to come again.

    grpc-retry-pushback-ms is what gRPC's own retries obey; retry-after is the same in seconds, as HTTP has it.
    """
    body = body_of(error)
    parts = [(f"error-{p}", _ascii(_cut(str(body[p]), _LONGEST_PART))) for p in _PARTS if p in body]
    if isinstance(error, ServingError) and error.retry_after is not None:
        parts.append(("retry-after", str(math.ceil(error.retry_after))))
        parts.append(("grpc-retry-pushback-ms", str(math.ceil(error.retry_after * 1000))))
    return tuple(parts)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _ascii(text: str) -> str:
    """Metadata are visible ASCII; anything else is written as Python would escape it."""
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode("ascii") for c in text).strip()
