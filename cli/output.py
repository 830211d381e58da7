"""What the commands print: text for people (coloured on a terminal), JSON for programs, progress on stderr."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import click


def emit(data: Any, as_json: bool, text: str) -> None:
    """Print `data` as JSON, or `text`."""
    from interchange.errors import printable

    click.echo(json_text(data) if as_json else printable(text))


def json_text(data: Any, indent: int | None = 2) -> str:
    """JSON that every reader takes: NaN and infinities, for which JSON has no number, as the texts that protobuf's
    JSON has for them: "NaN", "Infinity", "-Infinity"."""
    return json.dumps(_finite(data), indent=indent, default=str, allow_nan=False)


def _finite(data: Any) -> Any:
    match data:
        case float() if not math.isfinite(data):
            return "NaN" if math.isnan(data) else "Infinity" if data > 0 else "-Infinity"
        case dict():
            return {k: _finite(v) for k, v in data.items()}
        case list() | tuple():
            return [_finite(v) for v in data]
    return data


def on_terminal(stream: IO[str] | None) -> bool:
    """Whether a person reads this stream; None is one that was closed before we were started."""
    return stream is not None and stream.isatty()


class _Stages(logging.Handler):
    """Shows the stages that the library tells of by its logger."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self.show = show

    def emit(self, record: logging.LogRecord) -> None:
        self.show(record.getMessage())


@contextmanager
def progress(what: str) -> Iterator[None]:
    """A spinner on a terminal while something takes its time, with the stage it is in; nothing in a pipe."""
    if not on_terminal(sys.stderr):
        yield
        return
    from rich.console import Console
    from rich.text import Text

    from interchange.errors import printable

    logger = logging.getLogger("interchange")
    before = logger.level
    with Console(stderr=True).status(Text(printable(what))) as status:  # Text: a file's name is no markup
        stages = _Stages(lambda stage: status.update(Text(printable(f"{what}: {stage}"))))
        logger.addHandler(stages)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.setLevel(before)
            logger.removeHandler(stages)
