"""The dimension texts of a file as sizes: names and expressions of the shape language."""

from __future__ import annotations

import re
from collections.abc import Mapping

from interchange.dims import Dim, DimLike, parse_dim, symbols
from interchange.errors import InterchangeError
from interchange.graph.naming import Names

Bounds = Mapping[str, tuple[int, int | None]]


class SizeNames:
    """Reads the texts of one model. What is no name or expression ("batch size", "") becomes a name of its own.

    bounds: the admissible (min, max) of the names that have any; others are `least` or more.
    used: the names that were read, in order.
    """

    def __init__(self, bounds: Bounds, least: int = 0) -> None:
        self.used: dict[str, None] = dict.fromkeys(bounds)
        self._known = {n: Dim(n, min=low, max=high) for n, (low, high) in bounds.items()}
        self._least = least
        self._words: dict[str, str] = {}  # a text that cannot be read -> the name it got
        self._names = Names()

    def dim(self, text: int | str | None, fallback: str) -> DimLike:
        """A size as the file has it; one without a text is called `fallback`."""
        if isinstance(text, int):
            return text
        if not text:
            return self._symbol(self._word(fallback))
        if text.isidentifier():
            return self._symbol(text)
        try:
            for name in symbols(parse_dim(text, self._known)):
                self._symbol(name)
            return parse_dim(text, self._known)
        except InterchangeError:
            return self._symbol(self._word(text))

    def _symbol(self, name: str) -> Dim:
        self.used[name] = None
        return self._known.setdefault(name, Dim(name, min=self._least))

    def _word(self, text: str) -> str:
        """A name for a text that is none: the same for the same text, another for another."""
        if text not in self._words:
            word = re.sub(r"\W+", "_", text).strip("_") or "size"
            word = f"_{word}" if word[0].isdigit() else word
            name = self._names.free(word)
            while name in self.used:
                name = self._names.free(word)
            self._words[text] = name
        return self._words[text]
