"""Names that nothing else has."""

from __future__ import annotations

from collections.abc import Iterable


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
