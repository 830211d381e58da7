"""interchange export: a model from a Python file to a proven .onnx file."""

from __future__ import annotations

from typing import Any

import click

from interchange.cli.models import find_model, inputs_option, need_inputs


@click.command("export")
@click.argument("model")
@click.argument("path", type=click.Path(dir_okay=False))
@inputs_option
@click.option("--dynamic", type=click.Choice(["auto"]), help="Let every dimension of the example vary that can.")
@click.option("--opset", type=int, help="The opset of ai.onnx to write.")
@click.option("--target", help='The runtime it must load in, such as "onnxruntime>=1.18".')
@click.option("--function", "functions", multiple=True, help="Keep modules of this class or path as ONNX functions.")
@click.option("--train", is_flag=True, help="Export in train mode, with state updates as outputs (default: eval mode).")
@click.option("--no-verify", is_flag=True, help="Do not check the model and compare it with its source.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    model: str,
    path: str,
    inputs: tuple[str, ...],
    dynamic: str | None,
    opset: int | None,
    target: str | None,
    functions: tuple[str, ...],
    train: bool,
    no_verify: bool,
    as_json: bool,
) -> None:
    """Export MODEL to the file PATH.

    MODEL is path/to/file.py:name or package.module:name, where the name is a model, or a function without arguments
    that returns a model or (model, inputs).

      interchange export iris.py:make iris.onnx --input "x: float32[batch, 3]" --target "onnxruntime>=1.18"
    """
    from interchange import export
    from interchange.checker.context import plural
    from interchange.cli.output import emit, progress

    source, example = find_model(model, inputs)
    need_inputs(source, example, model)
    if hasattr(source, "train"):
        source.train(train)
    with progress(f"exporting {model}"):
        result = export(
            source,
            example,
            path,
            dynamic=dynamic,
            opset=opset,
            target=target,
            functions=functions or False,
            verify=not no_verify,
        )
    report: Any = result.evidence
    inputs_text, outputs_text = (", ".join(map(str, specs.values())) for specs in (result.inputs, result.outputs))
    emit(
        {
            "path": path,
            "inputs": [str(s) for s in result.inputs.values()],
            "outputs": [str(s) for s in result.outputs.values()],
            "opset": result.opsets[""],
            "evidence": report,
        },
        as_json,
        f"wrote {path}: {inputs_text} -> {outputs_text}\n"
        + (
            "not verified"
            if report is None
            else f"verified in {report['runtime']} at {plural(len(report['trials']), 'size')}"
        ),
    )
