"""What the commands print: text for people (coloured on a terminal), JSON for programs, progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click


def emit(data: Any, as_json: bool, text: str) -> None:
    """Print `data` as JSON, or `text`."""
    from interchange.errors import printable

    click.echo(json.dumps(data, indent=2, default=str) if as_json else printable(text))


@contextmanager
def progress(what: str) -> Iterator[None]:
    """A spinner on a terminal while something takes its time; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield
