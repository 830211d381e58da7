"""`check`: reads a model as it is written, and asks every rule."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interchange.checker.context import Context, plural
from interchange.checker.report import Finding, Report, Where, ordered
from interchange.errors import UsageError
from interchange.graph import files
from interchange.graph.core import ModelIR
from interchange.graph.external import Folder

if TYPE_CHECKING:
    import onnx


def check(
    model: str | os.PathLike[str] | bytes | ModelIR | onnx.ModelProto,
    *,
    target: str | None = None,
    select: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] | None = None,
    trust_links: bool = False,
) -> Report:
    """Look for everything that is wrong with a model, and report it all at once.

    model: a path, the bytes of a file, a ModelProto, or a graph.  target: also check that this runtime loads it
    (``onnxruntime>=1.18``).  select, ignore: a code or its beginning (``IX56``), or several, to report alone, or to
    leave out.
    trust_links: see `interchange.graph.external.Folder`.

    Raises FileError IX301 or IX302 for what is no ONNX model at all, SchemaError IX420 or IX421 for a target that
    cannot be read, UsageError IX830 for a code that does not exist. Findings are never raised:
    see `Report.raise_if_errors`.
    """
    from interchange import schemas
    from interchange.checker import rules  # noqa: F401  (registers them)
    from interchange.checker.rule import RULES

    if target is not None:
        schemas.resolve(target)
    select, ignore = ([s] if isinstance(s, str) else s for s in (select, ignore))
    wanted = [c for c in RULES if _chosen(c, select, ignore, RULES)]
    proto, windows, folder, name = _read(model)
    bad = _bad_text(proto)
    if bad is not None:
        return Report(name, (_not_text(name, *bad),))
    ctx = Context(proto, windows, Folder(folder, trust_links) if folder is not None else None, name, target)
    findings: list[Finding] = []
    for rule in RULES.values():
        found = list(rule.run(ctx))  # every rule runs: later ones rely on what it marks as broken
        findings += found if rule.code in wanted else []
    return Report(name, ordered(findings), _facts(ctx))


def _read(
    model: str | os.PathLike[str] | bytes | ModelIR | onnx.ModelProto,
) -> tuple[onnx.ModelProto, Mapping[int, memoryview], str | os.PathLike[str] | None, str]:
    if isinstance(model, (str, os.PathLike)):
        return *files.read(model), os.fspath(model)
    if isinstance(model, (bytes, bytearray, memoryview)):
        return *files.read(bytes(model)), "the model"
    if isinstance(model, ModelIR):
        from interchange.graph.proto import to_proto

        return to_proto(model), {}, None, "the model"
    if not hasattr(model, "SerializeToString"):
        raise files.no_source(model)
    return model, {}, None, "the model"


def _chosen(code: str, select: Sequence[str] | None, ignore: Sequence[str] | None, known: Mapping[str, object]) -> bool:
    for prefix in (*(select or ()), *(ignore or ())):
        if not any(k.startswith(prefix) for k in known) or not prefix:
            raise UsageError(
                "IX830",
                f"no finding has a code that begins with {prefix!r}",
                found=prefix,
                expected=f"codes from {min(known)} to {max(known)}, or their beginnings",
                fix="see docs/errors/checker.md for all codes",
            )
    if select is not None and not any(code.startswith(p) for p in select):
        return False
    return not any(code.startswith(p) for p in ignore or ())


def _bad_text(model: onnx.ModelProto) -> tuple[str, bytes] | None:
    """(field, content) of a text that is not UTF-8: protobuf hands it out as bytes, which no rule expects."""
    messages: list[Any] = [model]
    while messages:
        message = messages.pop()
        if message.DESCRIPTOR.name == "TensorProto":  # its data is no text, and large
            texts = [("name", message.name), ("doc_string", message.doc_string)]
            texts += [(e.key, e.value) for e in message.external_data]
            for key, text in texts:
                for part in (key, text):
                    if isinstance(part, bytes):
                        return f"TensorProto.{key!s}", part
            continue
        for field, value in message.ListFields():
            kind = field.type
            if kind == field.TYPE_MESSAGE:
                if hasattr(value, "ListFields"):
                    messages.append(value)
                else:
                    messages.extend(value)
            elif kind == field.TYPE_STRING and type(value) is not str:
                for text in [value] if isinstance(value, bytes) else value:
                    if isinstance(text, bytes):
                        return f"{message.DESCRIPTOR.name}.{field.name}", text
    return None


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
    return f"{opsets}, {plural(sum(len(s.nodes) for s in ctx.scopes), 'node')}"
