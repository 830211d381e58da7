"""interchange import: an ONNX file as an eager model, its parameters in a file of their own."""

from __future__ import annotations

import click


@click.command("import")
@click.argument("path", type=click.Path())
@click.option("--weights", type=click.Path(dir_okay=False), help="Save the parameters to this .safetensors file.")
@click.option("--output", type=click.Path(dir_okay=False), help="Export the imported model again, to this .onnx file.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(path: str, weights: str | None, output: str | None, as_json: bool) -> None:
    """Read the ONNX file PATH as an eager, trainable model, and tell what it is.

    In Python: model = interchange.import_model(PATH).
    """
    from interchange import export, import_model
    from interchange.cli.output import emit, progress

    with progress(f"importing {path}"):
        model = import_model(path)
        if weights is not None:
            from interchange.eager.state_files import save

            save(model, weights)
        if output is not None:
            export(model, path=output)
    parameters = {n: [list(p.shape), str(p.dtype)] for n, p in model.named_parameters()}
    lines = [f"{path}: {', '.join(map(str, model.specs.values()))} -> {', '.join(model.output_names)}"]
    lines += [f"  {n}: {dtype}{shape}" for n, (shape, dtype) in parameters.items()]
    lines += [f"wrote {p}" for p in (weights, output) if p]
    inputs = [str(s) for s in model.specs.values()]
    emit({"inputs": inputs, "outputs": model.output_names, "parameters": parameters}, as_json, "\n".join(lines))
