"""interchange verify: an exported model against its source."""

from __future__ import annotations

import click

from interchange.cli.models import find_model, inputs_option, read_shapes


@click.command("verify")
@click.argument("path", type=click.Path())
@click.argument("model", required=False)
@inputs_option
@click.option(
    "--sizes",
    default=3,
    type=click.IntRange(min=1),
    show_default=True,
    help="How many assignments of the dynamic dimensions to try.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(path: str, model: str | None, inputs: tuple[str, ...], sizes: int, as_json: bool) -> None:
    """Compare the file PATH with MODEL (as for export), side by side on sampled inputs.

    Without MODEL the file is compared with its own eager import: the runtime against the operators' reference kernels.

      interchange verify iris.onnx iris.py:make
    """
    from interchange import import_model, load, verify
    from interchange.cli.output import emit, progress

    if model is not None:
        source, example = find_model(model, inputs)
    else:
        source, example = import_model(path), read_shapes(inputs) if inputs else None
    with progress(f"verifying {path}"):
        loaded = load(path)
        if hasattr(source, "train"):
            source.train(bool(loaded.state))
        report = verify(loaded, source, example, sizes=sizes)
    emit(report.to_dict(), as_json, report.text())
    if not report.ok:
        click.get_current_context().exit(1)
