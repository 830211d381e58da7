"""``interchange schema``: what an operator takes and gives, and what changed between two opsets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from interchange.schemas import OpSchema


@click.command(name="schema")
@click.argument("operator", required=False)
@click.option("--opset", type=int, help="The version in force at this opset (default: the newest).")
@click.option("--domain", default="", help="ai.onnx (the default), ai.onnx.ml, com.microsoft, or one of your own.")
@click.option("--diff", nargs=3, type=(str, int, int), metavar="OPERATOR OLD NEW", help="What changed between opsets.")
@click.option("--list", "list_all", is_flag=True, help="All operators of the domain.")
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(),
    help="Register the operators of this TOML or JSON file first; may be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    operator: str | None,
    opset: int | None,
    domain: str,
    diff: tuple[str, int, int] | None,
    list_all: bool,
    files: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show the signature of OPERATOR: inputs, outputs, attributes and types.

    \b
    interchange schema Conv --opset 17
    interchange schema Gelu --domain com.microsoft
    interchange schema --diff Resize 13 19
    interchange schema --list --domain ai.onnx.ml
    """
    from interchange import schemas
    from interchange.cli.output import emit

    if sum((operator is not None, diff is not None, list_all)) != 1:
        raise click.UsageError("Name one OPERATOR, or give --diff OPERATOR OLD NEW, or --list.")
    for file in files:
        schemas.register_file(file)
    if diff is not None:
        changes = schemas.diff(*diff, domain=domain)
        emit(changes.to_dict(), as_json, str(changes))
    elif list_all:
        names = schemas.operators(domain, opset)
        emit(names, as_json, "\n".join(names))
    elif operator is not None:
        found, versions = schemas.schema(operator, opset, domain), schemas.versions(operator, domain)
        if as_json:
            emit({**found.to_dict(), "versions": versions, "doc": found.doc}, True, "")
        else:
            _print(found, versions)


def _print(schema: OpSchema, versions: tuple[int, ...]) -> None:
    """Tables on a terminal, the same rows as aligned lines in a pipe."""
    from interchange.cli.output import on_terminal
    from interchange.errors import printable
    from interchange.schemas import describe as texts

    if not on_terminal(sys.stdout):
        click.echo(printable(texts.describe(schema, versions)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.print(Text(schema.title, "bold"), Text(f"versions {', '.join(map(str, versions))}", "dim"))
    if schema.deprecated:
        console.print(Text("deprecated", "bold red"))
    console.print(Text(printable(texts.first_sentence(schema.doc))))
    for heading, rows in texts.sections(schema).items():
        console.print(Text(f"\n{heading}", "bold cyan"))
        table = Table(show_header=False, box=None, padding=(0, 2))
        table.add_column(no_wrap=True, style="green")
        for name, facts, doc in rows:
            facts, doc = printable(facts), printable(doc)
            table.add_row(Text(printable(name)), Text.assemble(facts, (f"\n{doc}" if doc else "", "dim")))
        console.print(table)
