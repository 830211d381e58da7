"""Findings as workflow commands of GitHub Actions, which shows them as annotations.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

from collections.abc import Sequence

from interchange.checker.formats.text import shown
from interchange.checker.report import Finding, Report

_LEVEL = {"error": "error", "warning": "warning", "note": "notice"}


def commands(reports: Sequence[Report]) -> str:
    """One line for each finding: ``::error file=model.onnx,title=IX506::message``."""
    return "\n".join(_annotation(r, f) for r in reports for f in r.findings)


def _annotation(report: Report, finding: Finding) -> str:
    place = ", ".join(p for p in (finding.where.graph, finding.where.line) if p)
    parts = [shown(finding.message), place and f"in {shown(place)}", finding.fix and f"fix: {shown(finding.fix)}"]
    told = _data("\n".join(p for p in parts if p))
    file, title = _property(shown(report.file)), _property(finding.code)
    return f"::{_LEVEL[finding.severity]} file={file},title={title}::{told}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
