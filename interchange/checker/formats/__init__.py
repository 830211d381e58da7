"""Reports for people and machines: `render` writes them as text, JSON, SARIF, JUnit or annotations of GitHub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from interchange.checker.report import Report, Severity

Format = Literal["text", "concise", "json", "sarif", "junit", "github"]
FORMATS: tuple[Format, ...] = get_args(Format)


def render(
    reports: Sequence[Report],
    form: Format = "text",
    *,
    level: Severity = "error",
    limit: int | None = None,
    color: bool = False,
) -> str:
    """Reports in one of the `FORMATS`.

    level: the least severity that fails a JUnit test case.  limit: how many findings of one code the forms for people
    (text, concise) show; the others always hold all.  color: for a terminal; text and concise only.
    """
    from interchange.checker.formats import github, junit, sarif, text
    from interchange.checker.formats.data import json_of

    match form:
        case "text":
            return "\n\n".join(text.report_text(r, color, limit) for r in reports)
        case "concise":
            return text.concise(reports, limit, color)
        case "json":
            return json_of(reports)
        case "sarif":
            return sarif.log(reports)
        case "junit":
            return junit.suites(reports, level)
        case "github":
            return github.commands(reports)


__all__ = ["FORMATS", "Format", "render"]
