"""The checker: everything that is wrong with a model, at once. `check` is the entrance, a rule is a short function."""

from interchange.checker.engine import check
from interchange.checker.report import Finding, Report, Severity, Where

__all__ = ["Finding", "Report", "Severity", "Where", "check"]
