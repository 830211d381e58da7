"""When to ask again, and how long to wait before."""

from __future__ import annotations

import random
import time
from email.utils import parsedate_to_datetime

from interchange.client.answers import Answer
from interchange.client.errors import ClientError

_AGAIN = frozenset((429, 502, 503))  # not yet, or not there for a moment
_FIRST, _LONGEST = 0.05, 5.0  # seconds


class Attempts:
    """The attempts of one call. deadline: of all of them, on `time.monotonic`."""

    __slots__ = ("deadline", "left", "made")

    def __init__(self, retries: int, deadline: float) -> None:
        self.left, self.deadline, self.made = retries, deadline, 0

    def after(self, answer: Answer) -> float | None:
        """Seconds until the next attempt; None where the answer stands."""
        if answer.status not in _AGAIN or not self.left:
            return None
        return self._wait(retry_after(answer) or 0.0)

    def failed(self, error: ClientError) -> float:
        """Seconds until the next attempt after none was answered. Raises the error where there is none."""
        wait = self._wait(0.0) if self.left else None
        if wait is None:
            raise error
        return wait

    def _wait(self, least: float) -> float | None:
        """Twice as long each time, and at random, so that clients that were refused together do not come together."""
        wait: float = least + random.uniform(0.5, 1.0) * min(_FIRST * 2.0**self.made, _LONGEST)
        if time.monotonic() + wait >= self.deadline:
            return None
        self.made += 1
        self.left -= 1
        return wait


def retry_after(answer: Answer) -> float | None:
    """The seconds that a Retry-After header asks for, given as such or as a date."""
    text = answer.headers.get(b"retry-after", b"").decode("latin-1").strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None
