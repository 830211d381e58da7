"""The checker: everything that is wrong with a model, at once. `check` is the entrance, a rule is a short function;
`fix` repairs what can be repaired."""

from interchange.checker.engine import check
from interchange.checker.fixes import Fixed, fix
from interchange.checker.report import Finding, Report, Severity, Where

__all__ = ["Finding", "Fixed", "Report", "Severity", "Where", "check", "fix"]
