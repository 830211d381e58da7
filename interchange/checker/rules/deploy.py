"""Deployment: whether every release of a target loads the model, as its own tables say; nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from interchange.checker.context import Context, plural
from interchange.checker.deploy import Prediction, Refusal, predicted
from interchange.checker.rule import Problem, Problems, rule
from interchange.schemas.calls import Reason, Verdict
from interchange.schemas.runtimes import runtime
from interchange.schemas.support import grouped, sentence, span, ways

_REFUSED = "the runtime refuses the model"


@rule("IX580", "error", "Opset beyond the target")
def target_opset(ctx: Context) -> Problems:
    return _limits(ctx, "opset")


@rule("IX581", "error", "IR version beyond the target")
def target_ir(ctx: Context) -> Problems:
    return _limits(ctx, "IR version")


@rule("IX582", "error", "An operator the target does not have")
def target_operator(ctx: Context) -> Problems:
    return _refusals(ctx, "operator")


@rule("IX583", "error", "An operator's version without a kernel in the target")
def target_version(ctx: Context) -> Problems:
    return _refusals(ctx, "version", "body")


@rule("IX584", "error", "Dtypes without a kernel in the target")
def target_dtype(ctx: Context) -> Problems:
    return _refusals(ctx, "dtype")


@rule("IX585", "error", "Attributes that the target's kernel refuses")
def target_quirk(ctx: Context) -> Problems:
    yield from _refusals(ctx, "quirk")
    yield from _locales(ctx)


@rule("IX586", "error", "A form of an operator the target does not know")
def target_form(ctx: Context) -> Problems:
    return _refusals(ctx, "form")


def _locales(ctx: Context) -> Problems:
    """Whether the kernel is made depends on the host where the model runs: a warning."""
    for node in ctx.nodes() if ctx.target else ():
        if node.key[:2] == ("", "StringNormalizer"):
            found = next((a.s.decode(errors="replace") for a in node.proto.attribute if a.name == "locale"), "en_US")
            if found not in ("C", "POSIX"):
                yield Problem(
                    f"StringNormalizer of node {node.label} needs the locale {found} of the host it runs on",
                    node.where(),
                    found=f"locale {found}",
                    expected="C, which every host has",
                    why="on a host without it, as containers usually are, the runtime refuses the model",
                    fix='set its attribute locale to "C", or install the locale wherever the model runs',
                    severity="warning",
                )


def _limits(ctx: Context, kind: str) -> Problems:
    """One problem for each opset or IR version that some releases do not load."""
    prediction = predicted(ctx)
    beyond: dict[tuple[str, int], dict[str, int]] = {}  # (what, the model's) -> release -> highest
    for release, limits in prediction.limits.items():
        for limit in limits:
            if limit.what.startswith(kind):
                beyond.setdefault((limit.what, limit.found), {})[release] = limit.highest
    for (what, found), releases in beyond.items():
        lowest = min(releases.values())
        fix = f'export it with target="{ctx.target}"'
        if kind != "opset":
            fix += ", or lower ir_version if nothing in the model needs it"
        yield Problem(
            f"onnxruntime {span(list(releases))} does not load {_version(what, found)}",
            ctx.where,
            found=_version(what, found),
            expected=f"{_version(what, lowest)} or lower for {ctx.target}",
            why=_REFUSED,
            fix=fix,
        )


def _version(what: str, number: int) -> str:
    kind, _, domain = what.partition(" of ")
    return f"{kind} {number}{f' of {domain}' if domain else ''}"


def _refusals(ctx: Context, *reasons: Reason) -> Problems:
    prediction = predicted(ctx)
    for refusal in prediction.refusals:
        concerned = {name: v for name, v in refusal.verdicts.items() if v.reason in reasons}
        if concerned and refusal.node not in ctx.broken:
            yield _problem(ctx, prediction, refusal, concerned)


def _problem(ctx: Context, prediction: Prediction, refusal: Refusal, concerned: Mapping[str, Verdict]) -> Problem:
    node, call = refusal.node, refusal.call
    groups = grouped(concerned)
    first, where = groups[0][0], span(list(concerned))
    more = f", and {plural(refusal.more, 'more node')} like it" if refusal.more else ""
    return Problem(
        f"{call.title} of node {node.label}{more} does not run in onnxruntime {where}: {sentence(first)}",
        node.where(),
        found=first.found,
        expected="; ".join(_expected(groups)) or "nothing of the kind",
        why=_REFUSED,
        fix=ways(call, [runtime(name) for name in prediction.releases if name not in prediction.limits]).text(call),
    )


def _expected(groups: list[tuple[Verdict, list[str]]]) -> Iterator[str]:
    """What there is instead; with the releases, if they differ."""
    if len({verdict.expected for verdict, _ in groups}) == 1:
        yield groups[0][0].expected
        return
    for verdict, releases in groups:
        yield f"{verdict.expected} (in {span(releases)})"
