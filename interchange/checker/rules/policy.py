"""Policy: what honest models may have, and a reader of strangers' files may refuse with ``deny``."""

from __future__ import annotations

from collections.abc import Callable

from interchange.checker.context import Context, domain_of, listed
from interchange.checker.rule import Problem, Problems, rule


@rule("IX596", "error", "Something that is denied")
def denied(ctx: Context) -> Problems:
    for name, look in DENIALS.items():
        if name in ctx.deny:
            yield from look(ctx)


def _control_flow(ctx: Context) -> Problems:
    for node in ctx.nodes():
        if node.scope.inner.get(node.index) or (node.proto.op_type in ("If", "Loop", "Scan") and not node.key[0]):
            yield Problem(
                f"node {node.label} decides at run time what runs, or how often",
                node.where(),
                found=node.op,
                expected="a graph without control flow (deny=control-flow)",
                why="what runs depends on the data: it cannot be foreseen, and may not end",
                fix="allow it if you trust the source",
            )


def _custom_domain(ctx: Context) -> Problems:
    local = {domain for domain, _, _ in ctx.functions}
    used = {domain_of(n.proto) for n in ctx.nodes()} - local
    custom = sorted(d for d in used if d and not d.startswith("ai.onnx"))
    if custom:
        yield Problem(
            "the model uses operators that ONNX does not define",
            ctx.where,
            found=listed(custom),
            expected="operators of ONNX alone (deny=custom-domains)",
            why="what they do is up to whoever made the runtime",
            fix="allow it if you know them",
        )


def _undeclared_rank(ctx: Context) -> Problems:
    given = set(ctx.main.initializers)
    for value in ctx.model.graph.input:
        tensor = value.type.tensor_type
        if value.name not in given and value.type.WhichOneof("value") == "tensor_type" and not tensor.HasField("shape"):
            yield Problem(
                f"input {value.name!r} does not say how many axes it has",
                ctx.main.place(value.name),
                found="no shape",
                expected="a shape, its sizes may be open (deny=undeclared-ranks)",
                why="ONNX Runtime ends the whole process when some operators are fed a rank they do not expect",
                fix="declare the shape: one request could end a server",
            )


DENIALS: dict[str, Callable[[Context], Problems]] = {
    "control-flow": _control_flow,
    "custom-domains": _custom_domain,
    "undeclared-ranks": _undeclared_rank,
}
"""What `deny` can name, and who looks for it."""
