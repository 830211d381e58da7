"""The engine: the models that are served, under every door. It lives on one event loop; only loading leaves it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from time import perf_counter_ns
from typing import Any

from interchange.dtypes import Array
from interchange.errors import InterchangeError
from interchange.protocol.errors import ServingError, reason_of, text_of
from interchange.serving.calls import FutureCall
from interchange.serving.served import Served
from interchange.serving.settings import Settings
from interchange.serving.splitting import Split

_log = logging.getLogger("interchange.serving")


class Engine:
    """Models by name and version.

    models: name -> version -> what is ready.  on_wedged: told of a model whose run does not stop when it is told to.
    listeners: told the name of a model whose versions have changed.
    unavailable: (name, version) -> why what is known does not answer; None for what is not known either.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.models: dict[str, dict[str, Served]] = {}
        self.on_wedged: Callable[[Served], None] | None = None
        self.unavailable: Callable[[str, str], ServingError | None] | None = None
        self.listeners: list[Callable[[str], None]] = []
        self._default: dict[str, Served] = {}
        self._splits: dict[str, Split] = {}
        self._canaries: dict[str, Split] = {}  # of the models that have any

    # -- what is served -----------------------------------------------------------------------------------------------
    def find(self, name: str, version: str = "") -> Served:
        """A version of a model; without a version the newest that is neither canary nor shadow.

        Raises ServingError IX640 to IX642.
        """
        served = self._default.get(name) if not version else self.models.get(name, {}).get(version)
        if served is None:
            raise self._unknown(name, version)
        return served

    def choose(self, name: str, version: str = "") -> Served:
        """The version that answers the next request: as `find`, but for the part of the canaries."""
        if self._canaries and not version and name in self._canaries:
            return self._canaries[name].choose()
        return self.find(name, version)

    def replace(self, name: str, versions: Iterable[Served]) -> list[Served]:
        """Serve exactly these versions of a model from now on; returns those that were served before and are not now.

        The caller closes them: they finish what they have.
        """
        before = self.models.pop(name, {})
        now = {s.version: s for s in versions}
        for served in now.values():
            if before.get(served.version) is not served:
                served.open(asyncio.get_running_loop(), self.on_wedged)
        if now:
            self.models[name] = now
        self.split(name)
        for listener in self.listeners:
            listener(name)
        return [s for s in before.values() if now.get(s.version) is not s]

    def split(self, name: str) -> None:
        """Follow the settings about canaries and shadows of a model, as they are now."""
        versions, settings = self.models.get(name), self.settings.of(name)
        split = self._splits.get(name)
        if versions is None:
            for known in (self._splits, self._canaries, self._default):
                known.pop(name, None)
        elif split is None or not split.is_for(settings, versions):
            split = self._splits[name] = Split(name, settings, versions)
            self._default[name] = split.primary
            self._canaries.pop(name, None)
            if split.canaries:
                self._canaries[name] = split
            for problem in split.problems.values():
                _log.warning("%s", text_of(problem))

    def split_problems(self, name: str) -> Mapping[str, ServingError]:
        """Version -> why its part of the requests is not followed: IX696."""
        return self._splits[name].problems if name in self._splits else {}

    def _unknown(self, name: str, version: str) -> ServingError:
        known = None if self.unavailable is None else self.unavailable(name, version)
        if known is not None:
            return known
        if name not in self.models:
            names = [] if self.settings.tokens else sorted(self.models)  # not every token may know what there is
            close = get_close_matches(name, names, 1)
            return ServingError(
                "IX640",
                f"there is no model {name!r}",
                found=name,
                expected=", ".join(names) or "the name of a model that is served",
                fix=f"did you mean {close[0]}?" if close else "POST /v2/repository/index lists what there is",
            )
        return ServingError(
            "IX641",
            f"model {name!r} has no version {version!r}",
            found=version,
            expected=", ".join(self.models[name]),
            fix="leave the version out for the newest, or change the model's `versions` setting",
        )

    # -- the door for Python ------------------------------------------------------------------------------------------
    async def infer(
        self,
        name: str,
        feeds: Mapping[str, Any],
        *,
        version: str = "",
        outputs: Sequence[str] | None = None,
        priority: int = 0,
        timeout: float | None = None,
    ) -> dict[str, Array]:
        """The outputs of a model by name. timeout: seconds.

        Raises ServingError IX640 to IX647, InputsError, and RunError as `interchange.runtime.Model.run` does.
        """
        loop = asyncio.get_running_loop()
        served = self.choose(name, version)
        deadline = None if timeout is None else loop.time() + timeout
        wanted = served.wanted(outputs)
        call = FutureCall(loop, served.model.prepare(feeds), wanted, priority=priority, deadline=deadline)
        try:
            served.submit(call)
        except InterchangeError as error:
            served.statistics.failed(reason_of(error), perf_counter_ns() - call.received)
            raise
        try:
            return await call.future
        except asyncio.CancelledError:
            served.cancel(call)
            raise

    async def close(self, error: InterchangeError | None = None) -> None:
        """Finish what runs, and serve nothing any more."""
        served = [s for versions in self.models.values() for s in versions.values()]
        await asyncio.gather(*(s.close(error) for s in served if s.composed))  # while there are the models they need
        self.models.clear()
        for known in (self._default, self._canaries, self._splits):
            known.clear()
        await asyncio.gather(*(s.close(error) for s in served if not s.composed))
