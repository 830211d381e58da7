"""How much of a model file is looked at before it is refused: what an honest model never needs, and an attack does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from interchange.errors import UsageError


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a model that is read or checked. Each is the greatest amount that is still accepted.

    file: bytes of the model file (protobuf ends there).  parts: protobuf messages in it, the large weights left out.
    nodes: nodes as they are written, of all graphs and functions.  expanded: nodes after all functions are written out
    (a function of a hundred lines can stand for more nodes than there are atoms).  growth: how many times more nodes
    that may be than are written, from 10,000 on.  graphs: subgraphs and functions.  attributes: of all nodes.  tensors:
    constants.  values: declarations of values.  depth: of functions that call functions.  functions: definitions.
    findings: of one code that are reported.  name: bytes of one name.  metadata: entries of metadata in one place.
    rank: axes of a tensor.  elements: of a value that constants alone make so large.  iterations: of a Loop that
    constants fix.  memory: bytes, and seconds: what a check in a child process may take.
    """

    file: int = 2**31 - 1
    parts: int = 4_000_000
    nodes: int = 100_000
    expanded: int = 1_000_000
    growth: int = 500
    graphs: int = 20_000
    attributes: int = 500_000
    tensors: int = 200_000
    values: int = 400_000
    depth: int = 100
    functions: int = 10_000
    name: int = 65_536
    metadata: int = 100_000
    rank: int = 64
    elements: int = 2**31
    iterations: int = 10_000_000
    findings: int = 1_000
    memory: int = 4 << 30
    seconds: int = 60

    @classmethod
    def of(cls, changes: Limits | Mapping[str, int] | None) -> Limits:
        """The limits with changes by name. Raises UsageError IX844 for a name or value that is none."""
        if isinstance(changes, Limits):
            return changes
        names = [f.name for f in dataclasses.fields(cls)]
        for name, value in (changes or {}).items():
            if name not in names:
                near = get_close_matches(name, names, 1)
                raise UsageError(
                    "IX844",
                    f"there is no limit {name!r}",
                    found=name,
                    expected=f"one of {', '.join(names)}",
                    fix=f"did you mean {near[0]}?" if near else "leave it out",
                )
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(
                    "IX844",
                    f"the limit {name} is not a number of 1 or more",
                    found=repr(value),
                    expected="an int of 1 or more",
                    fix=f"the default is {getattr(cls(), name)}",
                )
        return cls(**(changes or {}))


DEFAULT = Limits()
