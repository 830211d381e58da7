"""The pages about error codes: each code's section of docs/errors, which are part of the installed package."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from interchange.errors import InterchangeError

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
            text = re.sub(r"\n# .*", "", document[head.end() : end])
            found[head[1]] = Page(head[1], head[2].strip(), text.strip(), name)
    return dict(sorted(found.items()))


def page(code: str) -> Page | None:
    """The page about a code; None if there is none."""
    return pages().get(code)


def _documents() -> list[tuple[str, str]]:
    """(name, text) of each. Installed they lie in the package; in a checkout they are docs/errors."""
    folder = files("interchange") / "error_pages"
    if not folder.is_dir():
        folder = Path(__file__).parents[2] / "docs" / "errors"
    if not folder.is_dir():
        raise InterchangeError(
            "IX835",
            "the pages about error codes are not installed",
            found="no folder interchange/error_pages",
            expected="the pages, which are part of the package",
            fix="install interchange again",
        )
    return sorted((f.name, f.read_text(encoding="utf-8")) for f in folder.iterdir() if f.name.endswith(".md"))
