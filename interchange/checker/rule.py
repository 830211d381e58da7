"""How a rule is written::

@rule("IX510", "error", "Two nodes have one name")
def duplicate_node_name(ctx: Context) -> Problems:
    for node in ...:
        yield Problem(f"...", node.where(), found=..., fix=...)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from interchange.checker.context import Context
from interchange.checker.report import Finding, Severity, Where


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding before its rule gives it code and severity (unless it says another severity itself)."""

    message: str
    where: Where
    found: str = ""
    expected: str = ""
    why: str = ""
    fix: str = ""
    severity: Severity | None = None


Problems = Iterator[Problem]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its code, the severity of what it finds, a title, and the function that looks."""

    code: str
    severity: Severity
    title: str
    look: Callable[[Context], Problems]

    def run(self, ctx: Context) -> Iterator[Finding]:
        """What it finds in a model."""
        for p in self.look(ctx):
            yield Finding(self.code, p.severity or self.severity, p.message, p.where, p.found, p.expected, p.why, p.fix)


RULES: dict[str, Rule] = {}
"""All rules by code, in the order in which they run: a later layer leaves alone what an earlier one found broken."""


def rule(code: str, severity: Severity, title: str) -> Callable[[Callable[[Context], Problems]], Rule]:
    """Register a function that yields problems."""

    def add(look: Callable[[Context], Problems]) -> Rule:
        RULES[code] = Rule(code, severity, title, look)
        return RULES[code]

    return add
