"""Types and shapes: what `interchange.checker.infer` found, one rule for each kind; and the arity of bodies."""

from __future__ import annotations

import math

from interchange.checker.context import Context, plural
from interchange.checker.rule import Problem, Problems, rule
from interchange.checker.typetext import reader_text


@rule("IX570", "error", "A body with other inputs or outputs than its node")
def body_arity(ctx: Context) -> Problems:
    for node, bodies in ctx.holders():
        if node in ctx.broken or node.proto.domain not in ("", "ai.onnx"):
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


@rule("IX576", "error", "Sizes the operator cannot use")
def sizes(ctx: Context) -> Problems:
    yield from _of(ctx, "sizes")


@rule("IX578", "error", "A constant that leaves nothing")
def constants(ctx: Context) -> Problems:
    yield from _of(ctx, "constant")


@rule("IX557", "note", "A branch that never runs")
def dead_branch(ctx: Context) -> Problems:
    yield from _of(ctx, "dead branch")


@rule("IX555", "warning", "A number that makes results no numbers")
def numbers(ctx: Context) -> Problems:
    yield from _of(ctx, "nan")
    for form in ctx.forms:
        schema, plain = form.schema, not form.first.proto.attribute
        if plain or schema is None or schema.domain or schema.name in ("Constant", "ConstantOfShape"):
            continue
        for attribute in form.first.proto.attribute:
            nan = any(math.isnan(v) for v in (attribute.f, *attribute.floats))
            if nan or (attribute.name == "epsilon" and attribute.f < 0):
                for node in form.nodes:
                    yield Problem(
                        f"node {node.label}: the attribute {attribute.name} is {'NaN' if nan else attribute.f}",
                        node.where(),
                        found=f"{attribute.name}={'NaN' if nan else attribute.f}",
                        expected="a number" if nan else "a number of 0 or more, under the root with a variance",
                        why="results become NaN as well",
                        fix="correct the value, or how it was computed",
                    )


@rule("IX577", "error", "A Loop that asks for no bool")
def loop_condition(ctx: Context) -> Problems:
    for node, bodies in ctx.holders():
        if node in ctx.broken or node.key[:2] != ("", "Loop"):
            continue
        for body in bodies:
            name = next(iter(body.outputs), "")
            kind = ctx.inferred.types.get(body, {}).get(name)
            if kind is not None and kind.tensor_type.elem_type not in (0, 9):  # TensorProto.BOOL
                yield Problem(
                    f"node {node.label}: its body says whether to go on by {name!r}, which is no bool",
                    node.where(),
                    found=f"{name}: {reader_text(kind)}",
                    expected="bool[] as the body's first output",
                    why="runtimes refuse the model, or take any bits for a bool",
                    fix="compare the value, so that the result is bool",
                )


_KILLED = {"ReverseSequence": (0, 1), "STFT": (0, 2), "Attention": (0, 1, 2)}


@rule("IX579", "warning", "A form that ends the process of the runtime")
def ends_process(ctx: Context) -> Problems:
    given = {v.name for v in ctx.model.graph.input if v.type.HasField("tensor_type")}
    given -= {v.name for v in ctx.model.graph.input if v.type.tensor_type.HasField("shape")}
    for node in ctx.main.nodes if given else ():
        positions = _KILLED.get(node.key[1], ()) if not node.key[0] else ()
        for name in dict.fromkeys(n for i, n in enumerate(node.proto.input) if i in positions and n in given):
            yield Problem(
                f"input {name!r} has no declared rank, and {node.key[1]} reads it",
                node.where(name),
                found=f"{name} of any rank",
                expected="a declared shape, if only with open sizes",
                why="a caller who gives a scalar ends the process of ONNX Runtime: there is no exception to catch",
                fix="declare the shape of the input",
            )
    for node in ctx.nodes_of("LayerNormalization"):
        if len(node.proto.input) == 3 and not node.proto.input[2]:
            yield Problem(
                f"node {node.label} leaves out its bias by an empty name",
                node.where(),
                found=f"inputs {', '.join(map(repr, node.proto.input))}",
                expected="two inputs",
                why="the format allows it, and ONNX Runtime (1.32) ends the process when it loads the model",
                fix="remove the empty name at the end of the inputs",
            )


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
