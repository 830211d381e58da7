"""Findings as text for people: what is wrong, where, the graph around it, and what to do. Every part from a file is
escaped to one line, so nothing in a model can forge a line or a colour of a report."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from interchange.checker.report import SEVERITIES, Finding, Report, Where
from interchange.errors import one_line

_COLOR = {"error": "31", "warning": "33", "note": "36"}
_LONGEST = 2000  # characters of one part that are shown


def paint(text: str, style: str, color: bool) -> str:
    """`text` in a style of the terminal (``1;31``: bold red), if colours are wanted."""
    return f"\033[{style}m{text}\033[0m" if color and text else text


def shown(text: str) -> str:
    """A part of a finding on one line; a very long one is cut."""
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}… ({len(text):,} characters)"
    return one_line(text)


def finding_text(finding: Finding, color: bool = False) -> str:
    """The whole finding, without a line end at its end."""
    head = paint(f"{finding.severity} {finding.code}", f"1;{_COLOR[finding.severity]}", color)
    lines = [f"{head}: {paint(shown(finding.message), '1', color)}"]
    arrow = paint("  -->", "1;34", color)
    lines += [f"{arrow} {shown(place)}" for place in _places(finding.where)]
    lines += _excerpt(finding, color)
    for key in ("found", "expected", "why", "fix"):
        value = getattr(finding, key)
        if value:
            lines.append(f"  {paint(f'{key}:', '36', color)}{' ' * (9 - len(key))}{shown(value)}")
    return "\n".join(lines)


def _places(where: Where) -> list[str]:
    """The place in the model, and the line of the user's source that it comes from."""
    node = f"node {where.node} ({where.op})" if where.node else ""
    inside = ", ".join(p for p in (where.graph, node, f"value {where.value!r}" if where.value else "") if p)
    source = ", ".join(p for p in (where.line, f"module {where.module}" if where.module else "") if p)
    return [p for p in (": ".join(p for p in (where.file, inside) if p), source) if p]


def _excerpt(finding: Finding, color: bool) -> list[str]:
    if not finding.excerpt:
        return []
    width = max(len(str(number)) for number, _ in finding.excerpt if number >= 0 or len(finding.excerpt)) + 2
    lines = [_gutter("", width, color)]
    before = None
    for number, text in finding.excerpt:
        if before is not None and number > before + 1 and before >= 0:
            lines.append(_gutter("...", width, color))
        before = number
        meant = number >= 0 and number == finding.where.index
        lines.append(f"{_gutter(str(number) if number >= 0 else '', width, color)} {text}")
        if meant:
            start, length = _span(text, finding.where)
            mark = paint("^" * length, f"1;{_COLOR[finding.severity]}", color)
            lines.append(f"{_gutter('', width, color)} {' ' * start}{mark}")
    return [*lines, _gutter("", width, color)]


def _gutter(number: str, width: int, color: bool) -> str:
    return paint(f"{number:>{max(width, 4)}} |", "1;34", color)


def _span(text: str, where: Where) -> tuple[int, int]:
    """Where the marks go: the value in question if the line shows it, else the operator, else the line."""
    for name in (where.value, where.op):
        name = one_line(name)
        found = re.search(rf"(?<![\w./:]){re.escape(name)}(?![\w./])", text) if name else None
        if found:
            return found.start(), found.end() - found.start()
    return 0, len(text)


def limited(findings: Sequence[Finding], limit: int | None) -> tuple[list[Finding], dict[str, int]]:
    """(the findings to show: `limit` of each code, code -> how many of it are left out)."""
    if limit is None:
        return list(findings), {}
    counts: Counter[str] = Counter()
    kept = []
    for finding in findings:
        counts[finding.code] += 1
        if counts[finding.code] <= limit:
            kept.append(finding)
    return kept, {code: n - limit for code, n in counts.items() if n > limit}


def report_text(report: Report, color: bool = False, limit: int | None = None) -> str:
    """All findings, and a line that sums up."""
    kept, left = limited(report.findings, limit)
    blocks = [finding_text(f, color) for f in kept]
    blocks += left_text(left, color)
    done = [f"{paint(f'repaired {r.code}', '1;32', color)}: {shown(r.what)}" for r in report.repaired]
    return "\n".join([*done, *([""] if done else []), *(f"{b}\n" for b in blocks), summary(report, color)])


def left_text(left: dict[str, int], color: bool) -> list[str]:
    """A line for the codes of which not all findings are shown."""
    if not left:
        return []
    told = ", ".join(f"{n:,} more of {code}" for code, n in left.items())
    return [paint(f"... and {told} (--max 0 shows all)", "1", color)]


def summary(report: Report, color: bool = False) -> str:
    """``model.onnx: 2 errors, 1 note (opset 21, 12 nodes)``."""
    counts = Counter(f.severity for f in report.findings)
    told = ", ".join(
        paint(f"{counts[s]:,} {s}{'' if counts[s] == 1 else 's'}", f"1;{_COLOR[s]}", color)
        for s in SEVERITIES
        if counts[s]
    )
    facts = f" ({shown(report.facts)})" if report.facts else ""
    done = f"{len(report.repaired):,} repaired, " if report.repaired else ""
    none = paint("nothing left" if done else "nothing found", "1;32", color)
    return f"{shown(report.file)}: {done}{told or none}{facts}"


def footer(reports: Sequence[Report], fixable: int, color: bool = False) -> list[str]:
    """What to do next: the codes to read about, what can be repaired, and the sum over several files."""
    codes = list(dict.fromkeys(f.code for r in reports for f in r.findings))
    lines = []
    if len(reports) > 1:
        bad = sum(not r.ok for r in reports)
        lines.append(f"{len(reports)} files, {bad} with errors")
    if fixable:
        lines.append(f"{fixable:,} of the findings may be repaired: add --fix -o FILE")
    if codes:
        more = f" (also {', '.join(codes[1:6])}{', ...' if len(codes) > 6 else ''})" if len(codes) > 1 else ""
        lines.append(f"more about it: interchange explain {codes[0]}{more}")
    return [paint(line, "2", color) for line in lines]


def concise(reports: Sequence[Report], limit: int | None = None, color: bool = False) -> str:
    """One line for each finding: ``model.onnx: error IX506: message [node 'a' (Add)]``."""
    lines = []
    for report in reports:
        kept, left = limited(report.findings, limit)
        for f in kept:
            head = paint(f"{f.severity} {f.code}", f"1;{_COLOR[f.severity]}", color)
            inside = ", ".join(p for p in (f.where.graph, f.where.line) if p)
            place = f" [{shown(inside)}]" if inside else ""
            lines.append(f"{shown(report.file)}: {head}: {shown(f.message)}{place}")
        lines += left_text(left, color)
        lines.append(summary(report, color))
    return "\n".join(lines)
