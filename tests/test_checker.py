"""The checker: every kind of broken model is found and named, valid models pass, all findings come at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from broken_models import CASES, Case

from interchange.checker import check


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.title)
def test_broken_model_is_found(case: Case, tmp_path: Path) -> None:
    report = check(case.build(tmp_path))
    found = [f for f in report.findings if f.code == case.code]
    assert found, f"{case.code} expected: {report.text()}"
    assert any(case.mentions in f.text() for f in found), report.text()
    for finding in report.findings:
        assert finding.found
        assert finding.expected
        assert finding.fix
        assert finding.severity in ("error", "warning", "note")
