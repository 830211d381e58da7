"""`check`: reads a model as it is written, and asks every rule."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interchange.checker.context import Context, plural
from interchange.checker.excerpt import with_excerpts
from interchange.checker.report import Finding, Report, Where, ordered
from interchange.checker.texts import bad_text
from interchange.collecting import few_collections
from interchange.errors import FileError, UsageError
from interchange.graph import opening
from interchange.graph.core import ModelIR
from interchange.graph.external import Folder
from interchange.graph.limits import Limits

if TYPE_CHECKING:
    import onnx


def check(
    model: str | os.PathLike[str] | bytes | ModelIR | onnx.ModelProto | opening.Written,
    *,
    target: str | None = None,
    select: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] | None = None,
    trust_links: bool = False,
    deny: Sequence[str] = (),
    scan_weights: bool = False,
    lints: bool = False,
    limits: Limits | Mapping[str, int] | None = None,
    isolate: bool | None = None,
) -> Report:
    """Look for everything that is wrong with a model, and report it all at once.

    model: a path, the bytes of a file, a ModelProto, a graph, or what `opening.read` gave.  target: also check that
    this runtime loads it (``onnxruntime>=1.18``).  select, ignore: a code or its beginning (``IX56``), or several, to
    report alone, or to leave out.
    trust_links: see `interchange.graph.external.Folder`.  deny: what to refuse beyond that, for files of strangers:
    ``control-flow``, ``custom-domains``, ``undeclared-ranks``.  scan_weights: read all weights, and report NaN and
    infinities in them.  lints: also tell what is allowed and seldom meant; one of them is looked for when `select` has
    its whole code.  limits: changes of `interchange.graph.limits.Limits` by name.
    isolate: run in a child process with limits on memory and time, whose death is a finding and not ours. None does
    that for paths and bytes, unless a rule of your own stands in the script that is running, where a child cannot
    find it.

    Raises FileError IX301 where there is no file, SchemaError IX420 or IX421 for a target that cannot be read,
    UsageError IX830 for a code that does not exist, IX844 for a limit or denial that does not. What is wrong with the
    file is never raised: see `Report.raise_if_errors`.
    """
    from interchange import schemas
    from interchange.checker import child

    if target is not None:
        schemas.resolve(target)
    options: dict[str, Any] = {
        "target": target,
        "select": _codes(select),
        "ignore": _codes(ignore),
        "trust_links": trust_links,
        "deny": _denials(deny),
        "scan_weights": scan_weights,
        "lints": lints,
        "limits": Limits.of(limits),
    }
    _check_codes(options["select"], options["ignore"])
    name = os.fspath(model) if isinstance(model, (str, os.PathLike)) else "the model"
    source = _source(model)
    if not isinstance(source, opening.Written) and child.possible(isolate):
        return child.look(source, name, options)
    with few_collections():
        return look(source, name=name, **options)


def look(
    model: str | bytes | memoryview | opening.Written,
    *,
    name: str,
    target: str | None,
    select: Sequence[str] | None,
    ignore: Sequence[str],
    trust_links: bool,
    deny: Sequence[str],
    scan_weights: bool,
    limits: Limits,
    lints: bool = False,
    types: bool = True,
) -> Report:
    """`check` in this process. name: of the model, for a reader.  types: whether types and shapes are inferred."""
    from interchange.checker.rule import failures

    rules = _rules()
    try:
        written = model if isinstance(model, opening.Written) else opening.read(model, limits)
        folder = Folder(written.folder, trust_links) if written.folder is not None else None
        ctx = Context(written, folder, name, target, limits, deny=deny, scan_weights=scan_weights, types=types)
        bad = bad_text(ctx)
        if bad is not None:
            return Report(name, (_not_text(name, *bad),))
    except FileError as error:
        if error.code == "IX301":
            raise
        return Report(name, (_unreadable(name, error),))
    findings: list[Finding] = []
    for rule in rules.values():
        if rule.lint and not lints and rule.code not in (select or ()):
            continue
        # every rule runs: later ones rely on what it marks as broken
        found = list(itertools.islice(rule.run(ctx), limits.findings + 1))
        if is_chosen(rule.code, select, ignore):
            findings += found[: limits.findings]
            findings += [_and_more(rule.code, name, limits)] if len(found) > limits.findings else []
    findings += failures(name)
    return Report(name, with_excerpts(ctx, ordered(findings)), _facts(ctx))


def _rules() -> Mapping[str, Any]:
    from interchange.checker.rule import all_rules

    return all_rules()


def _source(model: Any) -> str | bytes | opening.Written:
    """The absolute path of a file, the bytes of one, or a model that is in memory already."""
    match model:
        case str() | os.PathLike():
            return os.path.abspath(model) if "\0" not in os.fspath(model) else os.fspath(model)
        case bytearray() | memoryview():
            return bytes(model)
        case bytes() | opening.Written():
            return model
        case ModelIR():
            from interchange.graph.proto import to_proto

            return opening.in_memory(to_proto(model))
    if not hasattr(model, "SerializeToString"):
        raise opening.no_source(model)
    return opening.in_memory(model)


def _codes(codes: str | Sequence[str] | None) -> list[str] | None:
    return None if codes is None else [codes] if isinstance(codes, str) else list(codes)


def _check_codes(*given: Sequence[str] | None) -> None:
    known = _rules()
    for prefix in (p for codes in given for p in codes or ()):
        if not any(k.startswith(prefix) for k in known) or not prefix:
            raise UsageError(
                "IX830",
                f"no finding has a code that begins with {prefix!r}",
                found=prefix,
                expected=f"codes from {min(known)} to {max(known)}, or their beginnings",
                fix="see docs/errors/checker.md for all codes",
            )


def _denials(deny: Sequence[str]) -> list[str]:
    from interchange.checker.rules.policy import DENIALS

    for name in deny:
        if name not in DENIALS:
            raise UsageError(
                "IX844",
                f"there is nothing to deny that is called {name!r}",
                found=str(name),
                expected=f"one of {', '.join(DENIALS)}",
                fix="correct the name",
            )
    return list(deny)


def is_chosen(code: str, select: Sequence[str] | None, ignore: Sequence[str] | None) -> bool:
    """Whether findings of a code are asked for."""
    if select is not None and not any(code.startswith(p) for p in select):
        return False
    return not any(code.startswith(p) for p in ignore or ())


def _and_more(code: str, name: str, limits: Limits) -> Finding:
    """That a rule found more than is reported."""
    return Finding(
        "IX321",
        "note",
        f"there are more findings of {code} than are reported",
        Where(file=name),
        found=f"more than {limits.findings}",
        expected=f"at most {limits.findings} of one code (the limit `findings`)",
        why="what follows from those that are left out may be reported instead",
        fix="repair these first, or raise the limit: check(model, limits={'findings': 100_000})",
    )


def _unreadable(name: str, error: FileError) -> Finding:
    """A file that is no model, or more than is read, as a finding."""
    return Finding(
        error.code,
        "error",
        error.message,
        Where(file=name),
        found=error.found or "",
        expected=error.expected or "",
        why="nothing else can be said of it",
        fix=error.fix or "",
    )


def _not_text(name: str, field: str, text: bytes) -> Finding:
    return Finding(
        "IX500",
        "error",
        "a name or text in the model is not UTF-8",
        Where(file=name),
        found=f"{field} = {text[:60]!r}",
        expected="text in UTF-8",
        why="readers refuse the file, or see different names",
        fix="the file is damaged or hostile: get it again from its source",
    )


def _facts(ctx: Context) -> str:
    opsets = ", ".join(f"{d or 'opset'} {v}" for d, v in ctx.opsets.items())
    return f"{opsets}, {plural(sum(len(s.proto.node) for s in ctx.scopes), 'node')}"
