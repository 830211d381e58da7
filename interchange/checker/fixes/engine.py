"""`fix`: repairs, one after the other, until nothing is left that can be repaired; and the result as a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interchange.checker.context import Context
from interchange.checker.engine import check, is_chosen, look
from interchange.checker.fixes import nodes, structure  # noqa: F401  (registers the repairs)
from interchange.checker.fixes.target import around_kernels
from interchange.checker.fixes.work import FIXES, Fix, Work
from interchange.checker.report import Finding, Repaired, Report
from interchange.checker.rule import all_rules
from interchange.errors import FileError, UsageError
from interchange.graph import files, opening
from interchange.graph.atomic import NewFile, mode_of, sync_folder
from interchange.graph.core import ModelIR
from interchange.graph.limits import Limits
from interchange.graph.opening import Written
from interchange.graph.proto import from_proto, to_proto

if TYPE_CHECKING:
    import onnx

_PASSES = 8  # a repair can bring another problem to light; in practice two are enough


@dataclass(frozen=True)
class Fixed:
    """A repaired model.

    done: what was repaired, in order.  before, report: the findings before and after.  written: the model as a message,
    with the data that is not in it.  source: the path it came from.  data: the data files that it had there.
    """

    written: Written
    done: tuple[Repaired, ...]
    before: Report
    report: Report
    source: str | None
    data: frozenset[str]
    trust_links: bool = False

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The whole message. External data stays where it is: `save` brings it along."""
        import onnx

        whole = onnx.ModelProto()
        whole.CopyFrom(self.written.proto)
        for i, window in self.written.windows.items():
            whole.graph.initializer[i].raw_data = bytes(window)
        return whole

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the repaired model to a new file, with a data file beside it if the model had one; returns both.

        Raises UsageError IX835 if that is the file it came from (or its data), FileError IX307 and IX308 as
        `interchange.graph.files.save` does, and FileError IX345 for a model with external data that is still too
        broken to bring the data along.
        """
        target = Path(os.path.realpath(path))
        if self.source is not None:
            folder = Path(self.source).parent
            for taken in (Path(self.source), *(folder / name for name in self.data)):
                if _same(taken, target):
                    raise UsageError(
                        "IX835",
                        "the repaired model would replace the one it is made of",
                        where=os.fspath(path),
                        found=f"{str(path)!r}, which is the model or its data",
                        expected="another file",
                        fix="give a new name: interchange check model.onnx --fix -o fixed.onnx",
                    )
        if not self.data:
            return [_write(target, self.model)]
        try:
            ir = from_proto(
                self.written.proto, self.written.folder, windows=self.written.windows, trust_links=self.trust_links
            )
        except FileError as error:
            raise FileError(
                "IX345",
                "the repaired model cannot be written with its data",
                where=error.where,
                found=f"{error.code}: {error.message}",
                expected="a model whose graph and data can be read",
                fix=error.fix or "correct what is left of the findings first",
            ) from error
        return files.save(ir, path, external=True)


def fix(
    model: str | os.PathLike[str] | bytes | ModelIR | onnx.ModelProto,
    *,
    target: str | None = None,
    allow_lossy: bool = False,
    select: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] | None = None,
    trust_links: bool = False,
    deny: Sequence[str] = (),
    scan_weights: bool = False,
    lints: bool = False,
    limits: Limits | Mapping[str, int] | None = None,
    isolate: bool | None = None,
) -> Fixed:
    """Repair what can be repaired without a change of what the model computes. The model that is given stays as it is.

    Parameters as of `interchange.check`; select and ignore also choose what is repaired. With a target, nodes for whose
    dtypes it has no kernel compute in a wider dtype, between casts; allow_lossy: also float64 in float32, which rounds.
    Raises CheckError for what is no model, or cannot be looked at, with the code of that finding; and what `check`
    raises.
    """
    known = Limits.of(limits)
    options: dict[str, Any] = {"target": target, "select": select, "ignore": ignore, "trust_links": trust_links}
    options |= {"deny": deny, "scan_weights": scan_weights, "lints": lints}
    before = check(model, **options, limits=known, isolate=isolate)
    options |= {k: [v] if isinstance(v, str) else v for k, v in (("select", select), ("ignore", ignore))}
    rules = all_rules()
    stop = tuple(f for f in before.errors if f.code not in rules and f.code != "IX834")
    Report(before.file, stop, before.facts).raise_if_errors()
    path = os.fspath(model) if isinstance(model, (str, os.PathLike)) else None
    written = _copy(model, known)
    data = frozenset(_locations(written.proto))
    done: list[Repaired] = []
    report, ignored = before, options["ignore"]
    for _ in range(_PASSES):
        codes = {f.code for f in report.findings}
        codes |= {code for code, rule in rules.items() if rule.lint and is_chosen(code, options["select"], ignored)}
        told = [r for f in FIXES if f.code in codes for r in _apply(f, written, before.file, target, known)]
        if not told:
            break
        done += told
        report = look(written, **options, limits=known, name=before.file)
    if target is not None and any(f.code == "IX584" for f in report.findings):
        written, told = around_kernels(written, target, allow_lossy=allow_lossy, trust_links=trust_links)
        done += told
        report = look(written, **options, limits=known, name=before.file) if told else report
    return Fixed(written, tuple(done), before, report, path, data, trust_links)


def fixable(findings: Iterable[Finding]) -> int:
    """How many of the findings are of a kind that `fix` may repair."""
    codes = {"IX584", *(f.code for f in FIXES)}
    return sum(f.code in codes for f in findings)


def _copy(model: Any, limits: Limits) -> Written:
    """The model as it is written, in a message that may be changed."""
    import onnx

    if isinstance(model, ModelIR):
        return opening.in_memory(to_proto(model))
    if isinstance(model, (str, os.PathLike, bytes)):
        return opening.read(model, limits)
    proto = onnx.ModelProto()
    proto.CopyFrom(model)
    return opening.in_memory(proto)


def _apply(fix: Fix, written: Written, name: str, target: str | None, limits: Limits) -> list[Repaired]:
    """One repair, of the model as it is now: an earlier one may have changed it since the check."""
    ctx = Context(written, None, name, target, limits)
    rules = all_rules()
    before = list(rules.values())[: list(rules).index(fix.code)] if fix.needs_types else []
    for rule in before:
        for _ in rule.run(ctx):  # marks what is broken, so that no types are inferred from it
            pass
    findings = list(rules[fix.code].run(ctx))
    if not findings:
        return []
    return [Repaired(fix.code, what) for what in fix.repair(Work(ctx, written.windows), findings)]


def _locations(proto: Any) -> set[str]:
    """The data files that a model names, anywhere in it."""
    found: set[str] = set()
    messages: list[Any] = [proto]
    while messages:
        message = messages.pop()
        if message.DESCRIPTOR.name == "TensorProto":
            if message.data_location == 1:
                found |= {e.value for e in message.external_data if e.key == "location"}
            continue
        for field, value in message.ListFields():
            if field.type == field.TYPE_MESSAGE:
                messages += [value] if hasattr(value, "ListFields") else value
    return found


def _same(a: Path, b: Path) -> bool:
    try:
        return os.path.samefile(a, b)
    except (OSError, ValueError):  # one of them is not there, or has no possible name
        return False


def _write(target: Path, model: Any) -> Path:
    from google.protobuf.message import EncodeError  # type: ignore[import-untyped]

    try:
        data = model.SerializeToString()
        new = NewFile(target.parent, [data], mode_of(target))
        try:
            new.move_to(target)
            sync_folder(target.parent)
        finally:
            new.discard()
    except (EncodeError, ValueError) as error:
        raise FileError(
            "IX308",
            "the model does not fit into one .onnx file",
            where=str(target),
            found=str(error),
            expected=f"at most {files.MAX_PROTO:,} bytes: the limit of protobuf",
            fix="load it and save it with external data: interchange.graph.files",
        ) from None
    except OSError as error:
        raise FileError(
            "IX307",
            f"the model could not be written to {str(target)!r}",
            where=str(target),
            found=error.strerror or str(error),
            expected="a folder that exists, may be written to, and has room for the model",
            fix="free some space or choose another folder; what was there before is unchanged",
        ) from None
    return target
