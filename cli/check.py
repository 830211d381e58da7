"""``interchange check``: everything that is wrong with model files."""

from __future__ import annotations

import sys

import click


@click.command("check")
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@click.option("--target", help='Also check that this runtime loads it: "onnxruntime>=1.18".')
@click.option(
    "--select", multiple=True, metavar="CODE", help="Report only codes that begin so; several times for more."
)
@click.option("--ignore", multiple=True, metavar="CODE", help="Leave out codes that begin so.")
@click.option(
    "--level",
    type=click.Choice(["error", "warning", "note"]),
    default="error",
    show_default=True,
    help="The least severity that makes the exit status 1.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the reports as JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[str, ...],
    target: str | None,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    level: str,
    as_json: bool,
) -> None:
    """Check the model files PATHS: structure, data, operators, types, shapes, metadata. All findings at once.

    \b
    interchange check model.onnx
    interchange check *.onnx --target "onnxruntime>=1.18" --ignore IX595
    """
    from interchange.checker import check
    from interchange.cli.output import emit, on_terminal, progress

    reports = []
    for path in paths:
        with progress(f"checking {path}"):
            reports.append(check(path, target=target, select=select or None, ignore=ignore or None))
    color = on_terminal(sys.stdout) and not as_json
    if color:
        for report in reports:
            click.echo(report.text(color=True))
    else:
        data = [r.to_dict() for r in reports]
        emit(data[0] if len(data) == 1 else data, as_json, "\n".join(r.text() for r in reports))
    if any(r.at_least(level) for r in reports):  # type: ignore[arg-type]  # click gives the choice as str
        ctx.exit(1)
