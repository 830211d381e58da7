"""What a check says: findings, all of them, each with its place and what to do; as text, as data, as an error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from interchange.errors import CheckError, InterchangeError

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
_ORDER: dict[str, int] = {severity: i for i, severity in enumerate(SEVERITIES)}

Excerpt = tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Repaired:
    """One thing that was repaired. code: of the findings it answers.  what: what was done."""

    code: str
    what: str


@dataclass(frozen=True, slots=True)
class Where:
    """The place of a finding. What does not apply is empty.

    graph: the path of the graph, ``main / 'loop'.body``.  node, op: the node's name (or its number) and operator.
    value: the value concerned.  line, module: the user's line and module, as the exporter noted them at the node.
    index: the number of the node in its graph, from 0; -1 for no node.
    """

    file: str = ""
    graph: str = ""
    node: str = ""
    op: str = ""
    value: str = ""
    line: str = ""
    module: str = ""
    index: int = -1

    def __str__(self) -> str:
        node = f"node {self.node} ({self.op})" if self.node else ""
        parts = [node, f"value {self.value!r}" if self.value else "", f"module {self.module}" if self.module else ""]
        parts += [self.line, self.graph and f"in {self.graph}", self.file]
        return ", ".join(p for p in parts if p)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong (error), doubtful (warning), or worth knowing (note).

    code: stable, ``IX506``.  message: one sentence.  found, expected: both sides.  why: what comes of it.  fix: what to
    do.  excerpt: the lines of the graph around it, each with the number of its node (-1 for an input, initializer or
    output); the one numbered `where.index` is meant.
    """

    code: str
    severity: Severity
    message: str
    where: Where = field(default_factory=Where)
    found: str = ""
    expected: str = ""
    why: str = ""
    fix: str = ""
    excerpt: Excerpt = ()

    def text(self, color: bool = False) -> str:
        """The finding for a reader."""
        from interchange.checker.formats.text import finding_text

        return finding_text(self, color)


@dataclass(frozen=True, slots=True)
class Report:
    """All findings of one model, errors first.

    file: what was checked.  facts: what the check knows about the model (opsets, nodes), for a reader.
    repaired: what was repaired in it, before these findings were left.
    """

    file: str
    findings: tuple[Finding, ...] = ()
    facts: str = ""
    repaired: tuple[Repaired, ...] = ()

    @classmethod
    def of_error(cls, file: str, error: InterchangeError) -> Report:
        """The report on what could not be checked at all: the error is its one finding."""
        found, expected, fix = (str(part or "") for part in (error.found, error.expected, error.fix))
        where = Where(file=file)
        return cls(file, (Finding(error.code, "error", error.message, where, found, expected, fix=fix),))

    def named(self, file: str) -> Report:
        """The report as one on another file of the same content."""
        found = (replace(f, where=replace(f.where, file=file)) for f in self.findings)
        return replace(self, file=file, findings=tuple(found))

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings which make the model wrong."""
        return tuple(f for f in self.findings if f.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings which make it doubtful."""
        return tuple(f for f in self.findings if f.severity == "warning")

    def text(self, color: bool = False, limit: int | None = None) -> str:
        """The findings for a reader, with a line that sums up. limit: how many of one code are shown; None for all."""
        from interchange.checker.formats.text import report_text

        return report_text(self, color, limit)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data, for ``--json``."""
        data = {"file": self.file, "ok": self.ok, "facts": self.facts, "findings": [asdict(f) for f in self.findings]}
        return {**data, "repaired": [asdict(r) for r in self.repaired]} if self.repaired else data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Report:
        """What `to_dict` gave."""
        findings = []
        for entry in data["findings"]:
            excerpt = tuple((number, text) for number, text in entry["excerpt"])
            findings.append(Finding(**{**entry, "where": Where(**entry["where"]), "excerpt": excerpt}))
        repaired = tuple(Repaired(**entry) for entry in data.get("repaired", ()))
        return cls(data["file"], tuple(findings), data["facts"], repaired)

    def at_least(self, level: Severity) -> tuple[Finding, ...]:
        """The findings of a severity, and those of a higher one."""
        return tuple(f for f in self.findings if _ORDER[f.severity] <= _ORDER[level])

    def raise_if_errors(self, level: Severity = "error") -> None:
        """Raise CheckError with the first error's code, place and fix; it names the others too.

        level: ``warning`` or ``note`` to raise for those as well.
        """
        found = self.at_least(level)
        if not found:
            return
        first, *others = found
        message = first.message
        if others:
            codes = ", ".join(dict.fromkeys(f.code for f in others))
            message += f" (and {len(others)} more: {codes})"
        error = CheckError(
            first.code,
            message,
            where=str(first.where) or None,
            found=first.found or None,
            expected=first.expected or None,
            fix=first.fix or None,
        )
        for other in others[:20]:
            error.add_note(other.text())
        raise error


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first, otherwise as found; the same finding once."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda f: _ORDER[f.severity]))
