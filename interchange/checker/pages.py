"""The pages about error codes: each code's section of docs/errors, which are part of the installed package."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from interchange.errors import UsageError

_HEAD = re.compile(r"^## (IX\d{3}): (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Page:
    """What the documentation says of one code. text: Markdown, with a broken example and its repair.
    document: the file it stands in."""

    code: str
    title: str
    text: str
    document: str

    @property
    def summary(self) -> str:
        """What stands before the examples, on one line."""
        return " ".join(self.text.partition("```")[0].split())


@lru_cache(maxsize=1)
def pages() -> dict[str, Page]:
    """All pages by code, in the order of the codes."""
    found = {}
    for name, document in _documents():
        heads = list(_HEAD.finditer(document))
        ends = [*(h.start() for h in heads[1:]), len(document)][: len(heads)]
        for head, end in zip(heads, ends, strict=True):
            found[head[1]] = Page(head[1], head[2].strip(), document[head.end() : end].strip(), name)
    return dict(sorted(found.items()))


def page(code: str) -> Page | None:
    """The page about a code; None if there is none."""
    return pages().get(code)


def explain(code: str) -> Page:
    """The page about a code of ours or of a user's rule; ``ix506`` and ``506`` are found too.

    Raises UsageError IX831 for a code that does not exist.
    """
    from interchange.checker.rule import all_rules

    wanted = code.strip().upper()
    wanted = f"IX{wanted}" if wanted.isdigit() else wanted
    found = page(wanted)
    if found is not None:
        return found
    rules = all_rules()
    if wanted in rules:
        rule = rules[wanted]
        told = inspect.getdoc(rule.look) or "Its author says nothing more."
        return Page(wanted, rule.title, f"{told}\n\nSeverity: {rule.severity}. A rule of {rule.look.__module__}.", "")
    known = [*pages(), *(c for c in rules if c not in pages())]
    near = get_close_matches(wanted, known, 3, 0.7)
    raise UsageError(
        "IX831",
        f"there is no code {code!r}",
        found=code,
        expected=f"one of {len(known)} codes from {min(pages())} to {max(pages())}",
        fix=f"did you mean {' or '.join(near)}?" if near else "list them: interchange explain",
    )


def _documents() -> list[tuple[str, str]]:
    """(name, text) of each. Installed they lie in the package; in a checkout they are docs/errors."""
    folder = files("interchange") / "error_pages"
    if not folder.is_dir():
        folder = Path(__file__).parents[2] / "docs" / "errors"
    return sorted((f.name, f.read_text(encoding="utf-8")) for f in folder.iterdir() if f.name.endswith(".md"))
