"""Names: one that nothing else has, and one that looks like another."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

_AROUND = 10  # names on each side that are compared
_LONG = 200  # characters of a name that is compared: the time grows with their square


class Names:
    """A set of names that are taken. `free` takes another one, in constant time on average."""

    __slots__ = ("_next", "taken")

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = set(taken)
        self._next: dict[str, int] = {}

    def free(self, wanted: str) -> str:
        """`wanted` if it is free and not empty, else the first free one of ``wanted_1``, ``wanted_2``...; now taken."""
        name, number = wanted, self._next.get(wanted, 0)
        while not name or name in self.taken:
            number += 1
            name = f"{wanted}_{number}"
        self._next[wanted] = number
        self.taken.add(name)
        return name


class Alike:
    """Finds, among very many names, the one that another was probably meant to be.

    A misspelt name keeps its beginning or its end: it is compared with its neighbours in the order of the alphabet,
    read forwards and backwards, and with no others. names: all of them in order.
    """

    __slots__ = ("_backwards", "names")

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(set(names))
        self._backwards = sorted(n[::-1] for n in self.names)

    def closest(self, name: str) -> str | None:
        """The name that is most alike, None if none is."""
        if len(name) > _LONG:
            return None
        near = _around(self.names, name)
        near += [n[::-1] for n in _around(self._backwards, name[::-1])]
        found = get_close_matches(name, [n for n in near if len(n) <= _LONG], 1)
        return found[0] if found else None


def _around(names: list[str], name: str) -> list[str]:
    at = bisect_left(names, name)
    return names[max(at - _AROUND, 0) : at + _AROUND]


def closest(name: str, among: Iterable[Alike]) -> str | None:
    """The name that is most alike, of several sets of names; an earlier set wins."""
    found = [n for alike in among if (n := alike.closest(name)) is not None]
    return max(found, key=lambda n: SequenceMatcher(None, n, name).ratio(), default=None)
