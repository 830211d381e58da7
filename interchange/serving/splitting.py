"""Several versions of one model at once: a canary answers a part of the requests, a shadow only computes them again.

Which requests is not left to chance: the multiples of the golden ratio, without their whole part, fill the interval
from 0 to 1 more evenly than any other sequence of this kind: of 100 requests each part is right to less than two,
and no rhythm in which clients send can be in step with it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interchange.dtypes import Array
from interchange.errors import InterchangeError, one_line
from interchange.parity.compare import compare
from interchange.protocol.errors import ServingError, text_of
from interchange.serving.calls import Call, Relay
from interchange.serving.parameters import MAX_PRIORITY

if TYPE_CHECKING:
    from interchange.serving.served import Served
    from interchange.serving.settings import ModelSettings

GOLDEN = (math.sqrt(5) - 1) / 2
MAX_HELD = 1 << 26  # bytes of inputs and outputs that wait for a shadow; what is more is not compared
MAX_TOLD = 8  # differences that are kept as text

_log = logging.getLogger("interchange.serving")


class Split:
    """How the requests of one model are shared among the versions that are served.

    primary: the version that answers where none is asked for: the newest that is neither canary nor shadow.
    canaries: whether some of those requests go elsewhere.  problems: version -> why its part is not followed.
    """

    def __init__(self, name: str, settings: ModelSettings, versions: Mapping[str, Served]) -> None:
        self.name = name
        self.canary, self.shadow, self.versions = dict(settings.canary), dict(settings.shadow), dict(versions)
        self.problems: dict[str, ServingError] = {}
        newest = sorted(versions.values(), key=lambda s: -int(s.version))
        split = self.canary.keys() | self.shadow.keys()
        self.primary = next((s for s in newest if s.version not in split), newest[0])
        for version in split:
            self._look_at(version)
        self._parts: list[tuple[float, Served]] = []  # (where its part of the interval ends, version)
        end = 0.0
        for version, part in self.canary.items():
            if part > 0 and version not in self.problems:
                end += part
                self._parts.append((end, versions[version]))
        self.canaries = bool(self._parts)
        self._sequence = _Evenly()
        self.mirrors = [
            Mirror(versions[version], part)
            for version, part in self.shadow.items()
            if part > 0 and version not in self.problems
        ]
        self._attach()

    def is_for(self, settings: ModelSettings, versions: Mapping[str, Served]) -> bool:
        """Whether it is still right; then it goes on where it is in its sequence."""
        return (self.canary, self.shadow, self.versions) == (settings.canary, settings.shadow, versions)

    def choose(self) -> Served:
        """The version for the next request that names none."""
        at = self._sequence.next()
        for end, served in self._parts:
            if at < end:
                return served
        return self.primary

    def _attach(self) -> None:
        shadows = {m.shadow for m in self.mirrors}
        for served in self.versions.values():
            mirrors = self.mirrors if served is self.primary else ()
            served.stages = (*mirrors, *served.own_stages)
            # a run on the loop's thread would be in the way of those that somebody waits for
            served.batcher.inline = served.trial.inline and served not in shadows

    def _look_at(self, version: str) -> None:
        served = self.versions.get(version)
        if served is None:
            self.problems[version] = ServingError(
                "IX696",
                f"requests of {self.name} are split with a version that is not served",
                found=f"version {version} as {'canary' if version in self.canary else 'shadow'}",
                expected=f"one of the versions that are served: {', '.join(self.versions)}",
                fix="add it to the repository and to the model's `versions` setting, or leave it out of the split",
            )
        elif served is self.primary:
            self.problems[version] = ServingError(
                "IX696",
                f"no version of {self.name} is left for the requests that are not split off",
                found=f"every version that is served is a canary or a shadow: {', '.join(self.versions)}",
                expected="another version for the rest",
                fix="serve one more (the model's `versions` setting: 2, or a list), or end the split",
            )
        elif version in self.canary and (other := _disagreement(served, self.primary)):
            self.problems[version] = ServingError(
                "IX696",
                f"version {version} of {self.name} cannot be the canary of version {self.primary.version}",
                found=other[0],
                expected=other[1],
                fix="a canary answers requests that were made for the other version: its signature has to be the same",
            )


def _disagreement(found: Served, expected: Served) -> tuple[str, str] | None:
    """The first line in which two signatures differ, of both."""
    for ours, theirs in ((found.inputs, expected.inputs), (found.outputs, expected.outputs)):
        for name in (*theirs, *ours):
            a, b = ours.get(name), theirs.get(name)
            if a is None or b is None:
                return (f"no {name}" if a is None else str(a.spec)), (f"no {name}" if b is None else str(b.spec))
            if (a.datatype, a.shape, a.optional) != (b.datatype, b.shape, b.optional):
                return str(a.spec), str(b.spec)
    return None


class _Evenly:
    """Numbers from 0 to 1, evenly spread however many are taken."""

    def __init__(self) -> None:
        self._at = 0.0

    def next(self) -> float:
        """The next one."""
        self._at = (self._at + GOLDEN) % 1.0
        return self._at


# -- shadows ----------------------------------------------------------------------------------------------------------
class Mirror:
    """Runs a part of the requests on a shadow as well, when they have been answered, and compares.

    It never delays an answer and never fails one: where the shadow's queue is more than half full, or too much waits
    to be compared, the request is left out (`dropped`).
    """

    def __init__(self, shadow: Served, part: float) -> None:
        self.shadow, self.part = shadow, part
        self.held = 0  # bytes
        self._sequence = _Evenly()

    def take(self, call: Call) -> Call:
        """The call itself, or one which is mirrored when it has been answered."""
        return _Mirrored(call, self) if self._sequence.next() < self.part else call

    def compare(self, call: Call, outputs: Sequence[Array]) -> None:
        """Have the shadow compute an answered call."""
        shadow = self.shadow
        size = sum(a.nbytes for a in (*call.feeds.values(), *outputs))
        if shadow.batcher.waiting * 2 > shadow.settings.max_queue or self.held + size > MAX_HELD:
            shadow.statistics.shadow["dropped"] += 1
            return
        missing = [n for n in call.wanted if n not in shadow.outputs]
        if missing:
            self.failed(f"it has no output {missing[0]}")
            return
        wanted = shadow.output_names if tuple(call.wanted) == shadow.output_names else call.wanted
        try:
            shadow.submit(_ShadowCall(self, call.feeds, wanted, outputs, size))
        except Exception as error:  # whatever it is: the request has been answered
            self.failed(text_of(error) if isinstance(error, InterchangeError) else repr(error))

    def failed(self, text: str) -> None:
        """The shadow gave no answer."""
        self.shadow.statistics.shadow["failed"] += 1
        self._tell(f"no answer: {text}")

    def differed(self, text: str) -> None:
        """The shadow gave another answer."""
        self.shadow.statistics.shadow["differed"] += 1
        self._tell(text)

    def _tell(self, text: str) -> None:
        told, text = self.shadow.statistics.differences, one_line(text)[:500]
        if text in told or len(told) < MAX_TOLD:
            if not told:
                _log.warning("%s: shadow version %s: %s", self.shadow.name, self.shadow.version, text)
            told[text] = told.get(text, 0) + 1


class _Mirrored(Relay):
    __slots__ = ("mirror",)

    def __init__(self, origin: Call, mirror: Mirror) -> None:
        super().__init__(origin)
        self.mirror = mirror

    def finish(self, outputs: Sequence[Array]) -> None:
        super().finish(outputs)
        self.mirror.compare(self, outputs)


class _ShadowCall(Call):
    """The same request again, for the shadow. expected: what was answered."""

    __slots__ = ("expected", "mirror", "size")

    def __init__(self, mirror: Mirror, feeds: Mapping[str, Array], wanted: Sequence[str], expected: Any, size: int):
        super().__init__(feeds, wanted, priority=MAX_PRIORITY)
        self.mirror, self.expected, self.size = mirror, expected, size
        mirror.held += size

    def finish(self, outputs: Sequence[Array]) -> None:
        """Compare, on a thread: it may be as much work as the model."""
        loop = asyncio.get_running_loop()
        comparing = loop.run_in_executor(None, _first_difference, self.wanted, outputs, self.expected)
        comparing.add_done_callback(self._compared)

    def fail(self, error: InterchangeError) -> None:
        """Count it; nobody waits for it."""
        self.mirror.held -= self.size
        self.mirror.failed(text_of(error))

    def _compared(self, comparing: asyncio.Future[str | None]) -> None:
        mirror = self.mirror
        mirror.held -= self.size
        if comparing.cancelled():  # the server is going down
            return
        mirror.shadow.statistics.shadow["compared"] += 1
        different = comparing.result()
        if different is not None:
            mirror.differed(different)


def _first_difference(names: Sequence[str], found: Sequence[Array], expected: Sequence[Array]) -> str | None:
    for name, a, b in zip(names, found, expected, strict=True):
        problem = compare(name, a, b).problem
        if problem is not None:
            return f"{name}: {problem}"
    return None
