"""Rows of text: a table on a terminal, aligned lines in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from interchange.cli.output import on_terminal
from interchange.errors import one_line, printable

Rows = Sequence[Sequence[str]]


def show_sections(sections: Mapping[str, Rows]) -> None:
    """Print each section that has rows under its heading."""
    if on_terminal(sys.stdout):
        _rich(sections)
        return
    for heading, rows in sections.items():
        if rows:
            click.echo(printable(heading))
            click.echo("\n".join(aligned(rows)))


def detour_lines(detours: Iterable[Mapping[str, Any]]) -> list[str]:
    """What an exporter noted of detours, a line for each pair of dtypes: ``in float32 instead of bfloat16: Gemm``."""
    found: dict[str, list[str]] = {}
    for d in detours:
        how = f"in {d['to']} instead of {d['from']}{', with rounded values' if d['lossy'] else ''}"
        found.setdefault(how, []).append(str(d["op"]))
    return [f"{how}: {', '.join(ops)}" for how, ops in found.items()]


def aligned(rows: Rows) -> Iterable[str]:
    """Lines with columns of equal width."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(r[i]) for r in rows if i < len(r)) for i in range(max(map(len, rows)))]
    for row in rows:
        yield ("  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=False))).rstrip()


def _rich(sections: Mapping[str, Rows]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for heading, rows in sections.items():
        if not rows:
            continue
        console.print(Text(printable(heading), "bold cyan"))
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 2))
        table.add_column(style="green")
        for row in rows:
            table.add_row(*(Text(one_line(cell)) for cell in row))
        console.print(table)
