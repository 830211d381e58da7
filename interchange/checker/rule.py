"""How a rule is written, ours or yours::

@rule("IX510", "error", "Two nodes have one name")
def duplicate_node_name(ctx: Context) -> Problems:
    for node in ...:
        yield Problem(f"...", node.where(), found=..., fix=...)

Yours have codes that do not begin with IX. They are found by the entry points of installed packages (group
``interchange.rules``), by the `rules` of a configuration, or by being imported before the check.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from interchange.checker.context import Context, NodeRef
from interchange.checker.report import SEVERITIES, Finding, Severity, Where
from interchange.errors import UsageError

if TYPE_CHECKING:
    from interchange.schemas import OpSchema

GROUP = "interchange.rules"
"""The group of entry points whose modules (or functions, which are called) hold rules."""

_CODE = re.compile(r"(?!IX)[A-Z][A-Z0-9]*[0-9]")


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
    """One rule: its code, the severity of what it finds, a title, and the function that looks.

    lint: it looks for what is allowed and seldom meant, and only when it is asked for.
    """

    code: str
    severity: Severity
    title: str
    look: Callable[[Context], Iterable[Problem]]
    lint: bool = False

    @property
    def ours(self) -> bool:
        """Whether it is interchange's own."""
        return self.code.startswith("IX")

    def run(self, ctx: Context) -> Iterator[Finding]:
        """What it finds in a model. A user's rule that fails becomes the finding IX834: the others still run."""
        if self.ours:
            yield from self._findings(ctx)
            return
        try:
            yield from self._findings(ctx)
        except MemoryError:
            raise
        except Exception as error:  # whatever a stranger's code raises
            yield failed(f"rule {self.code}", error, ctx.file)

    def _findings(self, ctx: Context) -> Iterator[Finding]:
        for p in self.look(ctx):
            yield Finding(self.code, p.severity or self.severity, p.message, p.where, p.found, p.expected, p.why, p.fix)


RULES: dict[str, Rule] = {}
"""All rules by code, in the order in which they run: a later layer leaves alone what an earlier one found broken."""


def rule(
    code: str, severity: Severity, title: str, *, lint: bool = False
) -> Callable[[Callable[[Context], Iterable[Problem]]], Rule]:
    """Register a function that yields problems. lint: it is looked for only when it is asked for.

    Raises UsageError IX833 for a code or severity that cannot be one, and for a code that another rule has.
    """

    def add(look: Callable[[Context], Iterable[Problem]]) -> Rule:
        ours = str(look.__module__).startswith("interchange.checker.rules")
        if not ours:
            importlib.import_module("interchange.checker.rules")  # ours run first, whoever is imported first
            _check(code, severity, look)
        RULES[code] = Rule(code, severity, title, look, lint)
        return RULES[code]

    return add


def node_rule(
    code: str, severity: Severity, title: str
) -> Callable[[Callable[[NodeRef, OpSchema], Iterable[Problem]]], Rule]:
    """Register a function of a node and its schema, which looks at nothing but how the node is written.

    It is asked for one of all nodes that are written alike, and for each of them where that finds something. After an
    error later rules leave the node alone. Raises as `rule` does.
    """

    def add(look: Callable[[NodeRef, OpSchema], Iterable[Problem]]) -> Rule:
        @wraps(look)
        def over_model(ctx: Context) -> Iterator[Problem]:
            for form in ctx.forms:
                if form.schema is None or next(iter(look(form.first, form.schema)), None) is None:
                    continue
                for node in form.nodes:
                    problems = () if node in ctx.broken else tuple(look(node, form.schema))
                    if any((p.severity or severity) == "error" for p in problems):
                        ctx.broken.add(node)
                    yield from problems

        return rule(code, severity, title)(over_model)

    return add


def unregister(code: str) -> None:
    """Forget a rule of yours; without effect where there is none."""
    if not code.startswith("IX"):
        RULES.pop(code, None)


def all_rules() -> dict[str, Rule]:
    """`RULES`, when ours and those of installed packages are there."""
    importlib.import_module("interchange.checker.rules")
    if not _loaded:
        _loaded.append(True)
        for entry in entry_points(group=GROUP):
            load_rules(f"the rules of entry point {entry.name} ({entry.value})", entry.load)
    return RULES


def load_rules(what: str, load: Callable[[], object]) -> None:
    """Import a module of rules, or call the function that it gives. An installed package that is broken does not stop
    the check of a model: it is told by each check, and rules that came before the failure are forgotten."""
    before = set(RULES)
    try:
        found = load()
        if callable(found) and not isinstance(found, Rule):
            found()
    except Exception as error:  # whatever a stranger's code raises
        for code in RULES.keys() - before:
            unregister(code)
        _failures.append((what, error))


_loaded: list[bool] = []
_failures: list[tuple[str, Exception]] = []


def failures(file: str) -> Iterator[Finding]:
    """A finding for each module whose rules could not be loaded."""
    for what, error in _failures:
        yield failed(what, error, file)


def failed(what: str, error: Exception, file: str) -> Finding:
    """A user's code that failed, as a finding."""
    return Finding(
        "IX834",
        "error",
        f"{what} failed: {type(error).__name__}",
        Where(file=file, line=_line(error)),
        found=f"{type(error).__name__}: {error}",
        expected="a function that yields interchange.checker.rule.Problem",
        why="what it looks for was not looked for",
        fix="correct the rule, or leave it out: --ignore and its code",
    )


def _line(error: Exception) -> str:
    from interchange.errors import is_ours, line_text

    trace, line = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if not is_ours(code.co_filename):
            line = line_text(code.co_filename, trace.tb_lineno, code.co_name)
        trace = trace.tb_next
    return line


def _check(code: str, severity: str, look: Callable[[Context], Iterable[Problem]]) -> None:
    found, expected = repr(code), "letters and digits that do not begin with IX: ACME001"
    other = RULES.get(code) if isinstance(code, str) else None
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        message = f"a rule of yours cannot have the code {code!r}"
    elif severity not in SEVERITIES:
        message, found, expected = f"rule {code} has no severity", repr(severity), f"one of {', '.join(SEVERITIES)}"
    elif other is not None and _home(other.look) != _home(look):
        message, found, expected = f"two rules have the code {code}", f"{_home(other.look)} and {_home(look)}", "one"
    else:
        return
    raise UsageError("IX833", message, found=found, expected=expected, fix="give the rule a code of its own")


def _home(look: Callable[..., object]) -> str:
    return f"{look.__module__}.{look.__qualname__}"


def title_of(code: str) -> str:
    """The title of a rule; "" for a code without one."""
    return RULES[code].title if code in RULES else ""
