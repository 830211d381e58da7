"""Findings as SARIF 2.1.0, the form that code scanners and editors exchange.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from interchange.checker.pages import page
from interchange.checker.report import Finding, Report, Severity
from interchange.checker.rule import title_of
from interchange.errors import one_line

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_SOURCE = re.compile(r"^(?P<file>[^:]+\.py):(?P<line>[1-9]\d{0,8})\b")


def log(reports: Sequence[Report]) -> str:
    """The document: one run over all files."""
    from interchange import __version__

    found = [(r, f) for r in reports for f in r.findings]
    codes = list(dict.fromkeys(f.code for _, f in found))
    severities = {f.code: f.severity for _, f in reversed(found)}
    driver = {"name": "interchange", "version": __version__, "rules": [_rule(c, severities[c]) for c in codes]}
    run = {
        "tool": {"driver": driver},
        "artifacts": [{"location": {"uri": _uri(r.file)}} for r in reports],
        "results": [_result(r, f, codes) for r, f in found],
        "columnKind": "unicodeCodePoints",
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _rule(code: str, severity: Severity) -> dict[str, Any]:
    told = page(code)
    rule: dict[str, Any] = {
        "id": code,
        "shortDescription": {"text": title_of(code) or (told.title if told else code)},
        "defaultConfiguration": {"level": severity},
    }
    if told:
        rule["fullDescription"] = {"text": told.summary}
        rule["help"] = {"text": told.text, "markdown": told.text}
    return rule


def _result(report: Report, finding: Finding, codes: list[str]) -> dict[str, Any]:
    parts = [_plain(finding.message)]
    parts += [f"{k}: {_plain(v)}" for k in ("found", "expected", "why", "fix") if (v := getattr(finding, k))]
    where = finding.where
    location: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": _uri(report.file)}}}
    inside = [p for p in (where.graph, f"{where.node} ({where.op})" if where.node else where.value) if p]
    if inside:
        name = where.node.strip("'") if where.node else where.value
        logical = {"fullyQualifiedName": one_line(" / ".join(inside)), "kind": "element"}
        location["logicalLocations"] = [{**({"name": one_line(name)} if name else {}), **logical}]
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": finding.severity,
        "message": {"text": "\n".join(parts)},
        "locations": [location],
        # the same finding in the next run, though nodes were added before it
        "partialFingerprints": {"place/v1": _hash(finding.code, *inside, where.value, finding.found)},
    }
    source = _SOURCE.match(where.line)
    if source:
        result["relatedLocations"] = [
            {
                "id": 1,
                "message": {"text": _plain(", ".join(p for p in (where.line, where.module) if p))},
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(source["file"])},
                    "region": {"startLine": int(source["line"])},
                },
            }
        ]
    if where.module:
        result["properties"] = {"module": one_line(where.module)}
    return result


def _plain(text: str) -> str:
    """Text on one line in which nothing is a link: SARIF's messages have ``[text](target)``, and names come from files
    (section 3.11.6: a bracket that is meant as one stands behind a backslash)."""
    return one_line(text).replace("](", "\\](")


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _uri(path: str) -> str:
    """A relative reference where the file lies below the working folder, else a file: URI."""
    place, scheme = Path(path), ""
    if place.is_absolute():
        inside = place.is_relative_to(Path.cwd())
        place, scheme = (place.relative_to(Path.cwd()), "") if inside else (place, "file://")
    return scheme + quote(_bytes(place.as_posix()))


def _bytes(path: str) -> bytes:
    try:
        return path.encode("utf-8", "surrogateescape")  # as the system gave them to Python
    except UnicodeEncodeError:
        return path.encode("utf-8", "backslashreplace")
