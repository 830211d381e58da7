"""Deployment: whether the releases of a target load the model's opsets and IR version."""

from __future__ import annotations

from interchange.checker.context import Context
from interchange.checker.rule import Problem, Problems, rule


@rule("IX580", "error", "Opset beyond the target")
def target_opset(ctx: Context) -> Problems:
    from interchange.schemas.targets import RELEASES

    for name in _releases(ctx)[:1]:
        release = next(r for r in RELEASES["onnxruntime"] if r.name == name)
        for domain, highest in (("", release.opset), ("ai.onnx.ml", release.ml_opset)):
            version = ctx.opsets.get(domain, 0)
            if version > highest:
                yield Problem(
                    f"onnxruntime {name} does not load opset {version} of {domain or 'ai.onnx'}",
                    ctx.where,
                    found=f"opset {version}",
                    expected=f"opset {highest} or lower for {ctx.target}",
                    why="the runtime refuses the model",
                    fix=f'export it with target="{ctx.target}"',
                )


@rule("IX581", "error", "IR version beyond the target")
def target_ir(ctx: Context) -> Problems:
    from interchange.schemas.targets import RELEASES

    for name in _releases(ctx)[:1]:
        highest = next(r.ir_version for r in RELEASES["onnxruntime"] if r.name == name)
        if ctx.model.ir_version > highest:
            yield Problem(
                f"onnxruntime {name} does not load IR version {ctx.model.ir_version}",
                ctx.where,
                found=f"IR version {ctx.model.ir_version}",
                expected=f"IR version {highest} or lower for {ctx.target}",
                why="the runtime refuses the model",
                fix=f'export it with target="{ctx.target}", or lower ir_version if nothing in the model needs it',
            )


def _releases(ctx: Context) -> tuple[str, ...]:
    """The releases of the target, oldest first; they only ever learn."""
    from interchange.schemas import resolve

    return resolve(ctx.target).releases if ctx.target else ()
