"""How an error is told over gRPC: a status, a text, and its parts in the trailing metadata."""

from __future__ import annotations

import math
from typing import Any

import grpc

from interchange.errors import InterchangeError
from interchange.protocol.errors import ServingError, body_of, grpc_status, text_of

_PARTS = ("code", "input", "found", "expected")
# bytes, as they are sent: beyond 8 KiB in all a client may refuse them, and tells nothing of what it refused
_LONGEST_TEXT, _LONGEST_PART = 3000, 800


def status_of(error: InterchangeError) -> Any:
    """A member of grpc.StatusCode."""
    return grpc.StatusCode[grpc_status(error)]


def details_of(error: InterchangeError) -> str:
    """The text beside the status."""
    text = text_of(error)
    sent = 0
    for i, char in enumerate(text[: _LONGEST_TEXT + 1]):
        sent += 1 if " " <= char <= "~" and char != "%" else 3 * len(char.encode())  # %D0%B6
        if sent > _LONGEST_TEXT:
            return f"{text[: i - 3]}..."
    return text


def trailing_of(error: InterchangeError) -> tuple[tuple[str, str], ...]:
    """``error-code``, ``error-input``, ``error-found``, ``error-expected``, and when to come again.

    grpc-retry-pushback-ms is what gRPC's own retries obey; retry-after is the same in seconds, as HTTP has it.
    """
    body = body_of(error)
    parts = [(f"error-{p}", _ascii(str(body[p]))) for p in _PARTS if p in body]
    if isinstance(error, ServingError) and error.retry_after is not None:
        parts.append(("retry-after", str(math.ceil(error.retry_after))))
        parts.append(("grpc-retry-pushback-ms", str(math.ceil(error.retry_after * 1000))))
    return tuple(parts)


def _ascii(text: str) -> str:
    """Metadata are visible ASCII; anything else is written as Python would escape it."""
    plain = "".join(
        c if " " <= c <= "~" else c.encode("unicode_escape").decode("ascii") for c in text[:_LONGEST_PART]
    ).strip()
    return plain if len(plain) <= _LONGEST_PART else f"{plain[: _LONGEST_PART - 3]}..."
