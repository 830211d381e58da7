"""interchange verify: an exported model against its source."""

from __future__ import annotations

import click

from interchange.cli.models import find_source, set_mode, source_options, users_code


@click.command("verify")
@click.argument("path", type=click.Path())
@click.argument("model", required=False)
@source_options
@click.option(
    "--sizes",
    default=3,
    type=click.IntRange(min=1),
    show_default=True,
    help="How many assignments of the dynamic dimensions to try.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    path: str,
    model: str | None,
    inputs: tuple[str, ...],
    dynamic: tuple[str, ...],
    dims: tuple[str, ...],
    weights: str | None,
    sizes: int,
    as_json: bool,
) -> None:
    """Compare the file PATH with MODEL (as for export), side by side on sampled inputs.

    Without MODEL the file is compared with its own eager import: the runtime against the operators' reference kernels.

      interchange verify iris.onnx iris.py:make
    """
    from interchange import import_model, load, verify
    from interchange.cli.output import emit, progress
    from interchange.graph.notes import read_note

    source = find_source(model, inputs, dynamic, dims, weights)
    with progress(f"verifying {path}"), users_code(model or path):
        loaded = load(path)
        original = import_model(path) if model is None else source.model
        mode = read_note(loaded.metadata, "source", {}).get("mode", "eval")
        set_mode(original, mode == "train" and hasattr(original, "train"), path)
        report = verify(loaded, original, source.inputs, dynamic=source.dynamic, sizes=sizes, options=source.options)
    emit(report.to_dict(), as_json, report.text())
    if not report.ok:
        click.get_current_context().exit(1)
