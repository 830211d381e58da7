"""``interchange diff``: in what two model files differ."""

from __future__ import annotations

import click


@click.command("diff")
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@click.option("--run", is_flag=True, help="Also run both on the same inputs, sampled if none are given.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=FILE|JSON",
    help="An input to run both on: x=data.npy, x='[[1, 2]]'.",
)
@click.option(
    "--ignore", multiple=True, metavar="PART", help="Leave out a part: metadata, names, ...; several times for more."
)
@click.option("--trust-links", is_flag=True, help="Follow links to data files that lead out of the model's folder.")
@click.option("--all", "whole", is_flag=True, help="Print every difference, not only the first of each part.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, with every difference.")
@click.pass_context
def command(
    ctx: click.Context,
    a: str,
    b: str,
    run: bool,
    inputs: tuple[str, ...],
    ignore: tuple[str, ...],
    trust_links: bool,
    whole: bool,
    as_json: bool,
) -> None:
    """Tell in what the model files A and B differ. Status 0: they are the same up to inner names and order; 1: not.

    \b
    interchange diff exported.onnx received.onnx
    interchange diff old.onnx new.onnx --run --ignore metadata
    """
    from interchange import diff
    from interchange.cli.data import one_input
    from interchange.cli.output import emit, progress

    feeds = None
    if inputs:
        from interchange.runtime import load

        specs = load(a, trust_links=trust_links).inputs
        feeds = {name: value for text in inputs for name, value in one_input(text, specs).items()}
    with progress(f"comparing {a} with {b}"):
        found = diff(a, b, run=run, inputs=feeds, ignore=ignore, trust_links=trust_links)
    emit(found.to_dict(), as_json, found.text(0 if whole else 20))
    if not found.same:
        ctx.exit(1)
