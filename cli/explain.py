"""``interchange explain``: what a code means, with a broken example and its repair."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from interchange.checker.pages import Page


@click.command("explain")
@click.argument("codes", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(codes: tuple[str, ...], as_json: bool) -> None:
    """Tell what the error codes CODES mean: why, a broken example, and its repair. Without a code: list them all.

    \b
    interchange explain IX506
    interchange explain
    """
    from interchange.checker.pages import explain, pages
    from interchange.checker.rule import all_rules
    from interchange.cli.output import emit, on_terminal
    from interchange.cli.tables import show_sections

    if codes:
        found = list(dict.fromkeys(explain(code) for code in codes))
        if on_terminal(sys.stdout) and not as_json:
            _show(found)
            return
        text = "\n\n".join(f"## {p.code}: {p.title}\n{p.text}" for p in found)
        data = [asdict(p) for p in found]
        emit(data[0] if len(codes) == 1 else data, as_json, text)
        return
    listed = {p.code: p.title for p in pages().values()}
    listed |= {r.code: r.title for r in all_rules().values() if not r.ours}
    if as_json:
        emit(listed, True, "")
        return
    sections: dict[str, list[tuple[str, str]]] = {}
    for code, title in listed.items():
        about = pages()[code].document.removesuffix(".md") if code in pages() else "rules of yours"
        sections.setdefault(about, []).append((code, title))
    show_sections(sections)


def _show(found: list[Page]) -> None:
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.text import Text

    from interchange.errors import printable

    console = Console()
    for page in found:
        console.print(Text(f"{page.code}: {page.title}", "bold cyan"))
        console.print(Markdown(printable(page.text), code_theme="ansi_dark"))
        console.print()
