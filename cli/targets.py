"""``interchange targets``: which runtime releases load a model, or run an operator."""

from __future__ import annotations

from typing import Any

import click


@click.command("targets")
@click.argument("path", type=click.Path(), required=False)
@click.option("--target", help='The releases to ask, all of which have to load it: "onnxruntime>=1.18".')
@click.option("--op", metavar="OPERATOR", help="Ask about this operator instead of a model.")
@click.option("--domain", default="", help="Its domain: ai.onnx (the default), ai.onnx.ml, com.microsoft.")
@click.option(
    "--dtype",
    "dtypes",
    multiple=True,
    help="The dtypes of its inputs in their order, - for one that is left out; one stands for all.",
)
@click.option("--opset", type=int, help="The opset it is asked at (default: what would be written for the releases).")
@click.option("--attribute", "attributes", multiple=True, metavar="NAME=VALUE", help="An attribute it has: to=float16.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    path: str | None,
    target: str | None,
    op: str | None,
    domain: str,
    dtypes: tuple[str, ...],
    opset: int | None,
    attributes: tuple[str, ...],
    as_json: bool,
) -> None:
    """Tell which releases of ONNX Runtime load the model file PATH, and for the others why not and what to do.

    Nothing is loaded: it follows from each release's own tables. The exit status is 1 if a release of
    --target does not load it, without --target if none does.

    \b
    interchange targets model.onnx
    interchange targets model.onnx --target "onnxruntime>=1.20"
    interchange targets --op Conv --dtype float64 --opset 21
    """
    from interchange.cli.output import emit, progress

    if (path is None) == (op is None):
        raise click.UsageError("Name one model file PATH, or ask about one operator with --op.")
    if op is None and (domain or dtypes or attributes or opset is not None):
        raise click.UsageError("--domain, --dtype, --opset and --attribute go with --op.")
    if path is not None:
        from interchange.checker.targets import targets

        with progress(f"checking {path}"):
            found = targets(path, target or "onnxruntime")
        emit(found.to_dict(), as_json, found.text())
        ok = found.ok if target else bool(found.loading)
    else:
        from interchange import schemas

        given = [None if d == "-" else d for d in dtypes]
        runtime = target or "onnxruntime"
        answer = schemas.supports(
            op or "", given, runtime=runtime, opset=opset, domain=domain, attributes=_attributes(attributes)
        )
        emit(answer.to_dict(), as_json, str(answer))
        ok = answer.ok if target else bool(answer.releases)
    if not ok:
        ctx.exit(1)


def _attributes(texts: tuple[str, ...]) -> dict[str, Any]:
    """``axis=1`` and ``to=float16``: numbers are numbers, the rest are texts."""
    from interchange.cli.data import number

    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--attribute {text!r} has no value: write NAME=VALUE.")
        found[name] = number(value)
    return found
