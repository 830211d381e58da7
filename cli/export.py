"""interchange export: a model from a Python file to a proven .onnx file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from interchange.cli.models import find_source, need_inputs, set_mode, source_options, users_code
from interchange.cli.tables import detour_lines
from interchange.graph.notes import read_note

if TYPE_CHECKING:
    from interchange.runtime import Model


@click.command("export")
@click.argument("model")
@click.argument("path", type=click.Path(dir_okay=False))
@source_options
@click.option("--opset", type=int, help="The opset of ai.onnx to write.")
@click.option("--target", help='The runtime it must load in, such as "onnxruntime>=1.18".')
@click.option("--allow-lossy", is_flag=True, help="Compute in float32 what the runtime cannot compute in float64.")
@click.option("--function", "functions", multiple=True, help="Keep modules of this class or path as ONNX functions.")
@click.option("--train", is_flag=True, help="Export in train mode, with state updates as outputs (default: eval mode).")
@click.option("--no-verify", is_flag=True, help="Do not check the model and compare it with its source.")
@click.option("--no-load", is_flag=True, help="Write it for a runtime other than the one here (with --no-verify).")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    model: str,
    path: str,
    inputs: tuple[str, ...],
    dynamic: tuple[str, ...],
    dims: tuple[str, ...],
    weights: str | None,
    opset: int | None,
    target: str | None,
    allow_lossy: bool,
    functions: tuple[str, ...],
    train: bool,
    no_verify: bool,
    no_load: bool,
    as_json: bool,
) -> None:
    """Export MODEL to the file PATH.

    MODEL is path/to/file.py:name or package.module:name, where the name is a model (of interchange.eager or PyTorch)
    or a function without arguments that returns a model or (model, inputs). Or it is the .pt2 file of torch.export.

    \b
    interchange export iris.py:make iris.onnx --input "x: float32[batch, 3]" --target "onnxruntime>=1.18"
    interchange export net.py:make net.onnx --dynamic "x: batch, _, time" --dim "batch=1..64" --weights net.safetensors
    """
    from interchange import export
    from interchange.cli.output import emit, progress

    source = find_source(model, inputs, dynamic, dims, weights)
    need_inputs(source, model)
    set_mode(source.model, train, model)
    with progress(f"exporting {model}"), users_code(model):
        result = export(
            source.model,
            source.inputs,
            path,
            dynamic=source.dynamic,
            opset=opset,
            target=target,
            allow_lossy=allow_lossy,
            functions=functions or False,
            verify=not no_verify,
            load=not no_load,
            options=source.options,
        )
    emit(
        {
            "path": path,
            "inputs": [str(s) for s in result.inputs.values()],
            "outputs": [str(s) for s in result.outputs.values()],
            "opset": result.opsets[""],
            "guards": [g.to_dict() for g in result.guards],
            "state": result.state,
            "detours": read_note(result.metadata, "detours", []),
            "evidence": result.evidence,
        },
        as_json,
        "\n".join([f"wrote {path}: {_signature(result)}", *_conditions(result), _proof(result.evidence, not no_load)]),
    )


def _signature(result: Model) -> str:
    state = {**result.state, **{output: name for name, output in result.state.items()}}
    parts = (", ".join(str(s) for n, s in specs.items() if n not in state) for specs in (result.inputs, result.outputs))
    return " -> ".join(parts)


_MANY = 5  # a network in train mode has two states for each of its normalisations


def _conditions(result: Model) -> Iterator[str]:
    """What a user of the file must know of it: for which sizes it is right, and what it hands on."""
    for guard in result.guards:
        yield f"valid where: {guard.condition} ({guard.where or guard.why})"
    state = [f"{name} -> {output}" for name, output in result.state.items()]
    if state:
        more = f", ... ({len(state)} in all)" if len(state) > _MANY else ""
        yield f"state: {', '.join(state[:_MANY])}{more}"
    yield from detour_lines(read_note(result.metadata, "detours", []))


def _proof(evidence: dict[str, Any] | None, loaded: bool) -> str:
    from interchange.checker.context import plural

    if evidence is None:
        return "not verified" if loaded else "not verified, not loaded"
    return f"verified in {evidence['runtime']} at {plural(len(evidence['trials']), 'size')}"
