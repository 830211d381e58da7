"""Findings as a JUnit report, which every build server reads: a suite for each file, a case for each finding.

XML 1.0 has no place for control characters, so what comes from a file is escaped as in the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from interchange.checker.formats.text import shown
from interchange.checker.report import Finding, Report, Severity


def suites(reports: Sequence[Report], level: Severity = "error") -> str:
    """The document. Findings of `level` and above are failures; the others are cases that pass and say so."""
    root = Xml.Element("testsuites", name="interchange check")
    total = failed = 0
    for report in reports:
        failing = report.at_least(level)
        cases = len(report.findings) or 1
        suite = Xml.SubElement(
            root, "testsuite", name=shown(report.file), tests=str(cases), failures=str(len(failing)), errors="0"
        )
        for finding in report.findings:
            _case(suite, report, finding, finding in failing)
        if not report.findings:
            Xml.SubElement(suite, "testcase", name="nothing found", classname=shown(report.file))
        total, failed = total + cases, failed + len(failing)
    root.attrib |= {"tests": str(total), "failures": str(failed), "errors": "0"}
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode")


def _case(suite: Xml.Element, report: Report, finding: Finding, fails: bool) -> None:
    name = f"{finding.code} {shown(finding.message)}"
    case = Xml.SubElement(suite, "testcase", name=name, classname=shown(report.file))
    if fails:
        inside = Xml.SubElement(case, "failure", type=finding.code, message=shown(finding.message))
    else:
        inside = Xml.SubElement(case, "system-out")
    inside.text = finding.text()
