"""The bytes of the file: what parsers pass over without a word."""

from __future__ import annotations

from interchange.checker.context import Context
from interchange.checker.rule import Problem, Problems, rule
from interchange.graph.scan import scan

_TOLD = {
    "twice": (
        "is there twice",
        "a field once where the format has one",
        "the last one wins: an auditor may read the first",
    ),
    "unknown": (
        "is no field of ONNX",
        "fields of the format, in its encoding",
        "parsers pass it over: it may carry anything",
    ),
}


@rule("IX322", "error", "Bytes that parsers pass over")
def passed_over(ctx: Context) -> Problems:
    if ctx.written.exact:
        return
    for odd in scan(ctx.written.head, ctx.limits, ctx.file):
        what, expected, why = _TOLD[odd.kind]
        yield Problem(
            f"{odd.place} {what}",
            ctx.where,
            found=odd.place,
            expected=expected,
            why=why,
            fix="save the model again with the library that made it; if it is not yours, do not load it",
        )
