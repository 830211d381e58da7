"""Types and shapes: what `interchange.checker.infer` found, one rule for each kind; and the arity of bodies."""

from __future__ import annotations

from interchange.checker.context import Context, plural
from interchange.checker.rule import Problem, Problems, rule


@rule("IX570", "error", "A body with other inputs or outputs than its node")
def body_arity(ctx: Context) -> Problems:
    for node in ctx.nodes():
        bodies = node.scope.inner.get(node.index, ())
        if node in ctx.broken or not bodies or node.proto.domain not in ("", "ai.onnx"):
            continue
        inputs, outputs = len(node.proto.input), len(node.proto.output)
        carried = max(inputs - 2, 0)
        for body in bodies:
            if node.proto.op_type == "Loop":
                expected = (2 + carried, 1 + outputs)
                reads = f"iteration number, condition and {plural(carried, 'carried value')}"
                told = f"{reads} in; condition and {plural(outputs, 'value')} out"
            elif node.proto.op_type == "If":
                expected, told = (0, outputs), f"nothing in; {plural(outputs, 'value')} out"
            elif node.proto.op_type == "Scan" and node.scope.opsets.get("", 9) >= 9:
                expected, told = (inputs, outputs), f"{plural(inputs, 'value')} in; {plural(outputs, 'value')} out"
            else:
                continue
            found = (len(body.inputs), len(body.outputs))
            if found != expected:
                ctx.broken.add(node)
                yield Problem(
                    f"node {node.label}: its body takes {plural(found[0], 'input')} and gives "
                    f"{plural(found[1], 'output')}, instead of {expected[0]} and {expected[1]}",
                    node.where(),
                    found=f"{body.path}: ({', '.join(body.inputs)}) -> ({', '.join(body.outputs)})",
                    expected=told,
                    why="runtimes refuse the model",
                    fix="make the body's inputs and outputs those of the node",
                )


def _of(ctx: Context, kind: str) -> Problems:
    yield from ctx.inferred.problems.get(kind, ())


@rule("IX560", "error", "A dtype the operator does not take")
def dtype(ctx: Context) -> Problems:
    yield from _of(ctx, "dtype")


@rule("IX562", "error", "Shapes that do not fit together")
def shape(ctx: Context) -> Problems:
    yield from _of(ctx, "shape")


@rule("IX563", "error", "Convolution channels that do not fit")
def conv(ctx: Context) -> Problems:
    yield from _of(ctx, "conv")


@rule("IX564", "error", "A reshape to another number of elements")
def reshape(ctx: Context) -> Problems:
    yield from _of(ctx, "reshape")


@rule("IX565", "error", "A constant index out of range")
def gather(ctx: Context) -> Problems:
    yield from _of(ctx, "gather")


@rule("IX566", "error", "A declared dtype that is not the computed one")
def declared_dtype(ctx: Context) -> Problems:
    yield from _of(ctx, "declared dtype")


@rule("IX567", "error", "A declared shape that is not the computed one")
def declared_shape(ctx: Context) -> Problems:
    yield from _of(ctx, "declared shape")


@rule("IX568", "warning", "A declared size that is not always so")
def symbols(ctx: Context) -> Problems:
    yield from _of(ctx, "symbols")


@rule("IX569", "error", "Branches that disagree")
def branches(ctx: Context) -> Problems:
    yield from _of(ctx, "branch")


@rule("IX571", "note", "Two names for one size")
def names(ctx: Context) -> Problems:
    outputs = set(ctx.main.outputs)
    yield from (p for p in _of(ctx, "names") if p.where.value in outputs and not p.where.graph)
