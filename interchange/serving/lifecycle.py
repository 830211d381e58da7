"""The models of a repository, loaded, replaced and unloaded while requests are answered.

A new version is loaded and tried beside the old one, takes its place in one step, and the old one finishes what it
has. What cannot be loaded never takes the place of what can: its finding is told beside it.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakSet

from interchange.errors import InterchangeError
from interchange.protocol.errors import ServingError, text_of
from interchange.serving.engine import Engine
from interchange.serving.pipelines import Pipelines
from interchange.serving.repository import Entry, Found, Repository, Stamp
from interchange.serving.settings import ModelSettings, Settings
from interchange.serving.snapshot import snapshot, without_paths
from interchange.serving.triton_config import FILE as CONFIG

if TYPE_CHECKING:
    from interchange.serving.served import Served

READY, LOADING, UNLOADING, UNAVAILABLE = "READY", "LOADING", "UNLOADING", "UNAVAILABLE"
MAX_LOADS = 4  # of different models at once
EXIT_SECONDS = 30.0  # how long the interpreter waits at its end for a load that is under way
T = TypeVar("T")
Opener = Callable[..., "Served"]  # (name, version, path, settings, workers=...), see `interchange.serving.trial`

_log = logging.getLogger("interchange.serving")
_threads: WeakSet[threading.Thread] = WeakSet()


class Version:
    """What is known of one version of a model.

    tried: the files and settings of the last attempt to load it.  error: what came of that, if it failed.
    """

    def __init__(self) -> None:
        self.tried: tuple[Stamp, ModelSettings] | None = None
        self.error: InterchangeError | None = None
        self.notes: tuple[str, ...] = ()
        self.loading = False


class Tracked:
    """One model of the repository: its versions, what is served of it, and what keeps it from being served.

    gone: its files are.  unloaded: somebody asked for it; only `Lifecycle.load` brings the model back.
    draining: what was replaced and still answers.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = asyncio.Lock()
        self.versions: dict[str, Version] = {}
        self.served: dict[str, Served] = {}
        self.misnamed: tuple[tuple[str, ServingError], ...] = ()
        self.error: InterchangeError | None = None
        self.notes: tuple[str, ...] = ()
        self.gone = True
        self.unloaded = False
        self.draining: dict[Served, asyncio.Task[None]] = {}


class Lifecycle:
    """Brings what a repository holds into an engine. Lives on the engine's loop; files are looked at beside it.

    models: name -> what is known of it.  pipelines: those of the settings.
    started: whether everything that was there has been tried.  problem: why the repository could not be read, the last
    time.
    opener: checks, loads and tries one version; `trial.open_served`.
    """

    def __init__(self, engine: Engine, root: str | os.PathLike[str], *, opener: Opener | None = None) -> None:
        """Raises ServingError IX668 when nothing can be served from `root`, IX660 for a file with a bad name."""
        if opener is None:
            from interchange.serving.trial import open_served

            opener = open_served
        self.engine, self.repository = engine, Repository(root, engine.settings)
        engine.unavailable = self.unavailable
        self.models: dict[str, Tracked] = {}
        self.pipelines = Pipelines(engine)
        self.started = False
        self.problem: InterchangeError | None = None
        self._open = opener
        self._looking = asyncio.Lock()
        self._slots = asyncio.Semaphore(min(MAX_LOADS, os.cpu_count() or 1))
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- what happens by itself ---------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Load what there is. Nothing that is wrong with a model, or with the folder, is raised: `index` tells it."""
        await self.refresh()
        self.started = True

    async def refresh(self, settings: Settings | None = None) -> None:
        """Follow the repository as it is now: load what is new, load again what has changed, unload what has gone.

        settings: others from now on; models whose settings they change are loaded again.
        """
        if settings is not None:
            self.engine.settings = self.repository.settings = settings
        await asyncio.gather(*await self._look(at_once=True), return_exceptions=True)  # `_done` tells them
        await self.pipelines.follow(self.engine.settings.pipelines)

    async def look(self) -> None:
        """Follow what has changed and been quiet since the look before."""
        await asyncio.gather(*await self._look(at_once=False), return_exceptions=True)
        await self.pipelines.follow()

    async def watch(self) -> None:
        """Look again and again, until cancelled. Nothing waits for a model that takes long to load."""
        while self.engine.settings.watch_seconds is not None:
            await asyncio.sleep(self.engine.settings.watch_seconds)
            try:
                await self._look(at_once=False)
                await self.pipelines.follow()
            except Exception:  # whatever it was, the next look may go well
                _log.exception("looking at the repository")

    async def close(self) -> None:
        """Load nothing any more; what was replaced finishes what it has. A load under way is left to itself."""
        drains = {t for m in self.models.values() for t in m.draining.values()}
        for task in self._tasks - drains:
            task.cancel()
        await asyncio.gather(*drains, *self.pipelines.closing)

    # -- what is asked for --------------------------------------------------------------------------------------------
    async def load(self, name: str) -> None:
        """Load a model, or load again what of it has changed or failed; one that was unloaded is back.

        Raises ServingError IX640 for no such model, and what is wrong with it; what was served before is served still.
        """
        pipeline = name in self.pipelines and name not in self.models
        await asyncio.shield(self._task(self.pipelines.load(name) if pipeline else self._load(name)))

    async def _load(self, name: str) -> None:
        entries = await self._scan(at_once=True)
        if name not in entries:
            raise _unknown(name, entries)
        problem = await self._follow(self._tracked(name), entries[name], asked=True)
        if problem is not None:
            raise problem.with_traceback(None)

    async def unload(self, name: str) -> None:
        """Serve a model no longer, whatever its files do, until `load`. Returns when its last request is answered.

        Raises ServingError IX640 for no such model.
        """
        model = self.models.get(name)
        if name in self.pipelines and model is None:
            await asyncio.shield(self._task(self.pipelines.unload(name)))
            return
        if model is None or model.gone:
            raise _unknown(name, [m.name for m in self.models.values() if not m.gone])
        await asyncio.shield(self._task(self._unload(model)))

    async def _unload(self, model: Tracked) -> None:
        async with model.lock:
            if not model.unloaded:
                model.versions = {v: Version() for v in model.served}
            model.unloaded, model.error = True, None
            self._serve(model, ())
        await asyncio.gather(*model.draining.values())

    # -- what there is ------------------------------------------------------------------------------------------------
    @property
    def ready(self) -> bool:
        """Whether requests should come: every model has been tried, and one answers if there is one that should."""
        wanted = any(not m.unloaded and not m.gone for m in self.models.values())
        return self.started and (bool(self.engine.models) or not wanted)

    def index(self, ready_only: bool = False) -> list[dict[str, str]]:
        """Name, version, state and reason of every version that is served, was tried, or is none.

        reason: the finding in one line, its code first; of a version that is ready, what of its files is not followed.
        """
        names = self.models.keys() | self.engine.models.keys() - set(self.pipelines)
        rows = [r for name in names for r in self._rows(name)] + self.pipelines.index()
        rows.sort(key=lambda r: r["name"])
        return [r for r in rows if r["state"] == READY] if ready_only else rows

    def _rows(self, name: str) -> list[dict[str, str]]:
        model = self.models.get(name)
        if model is None:  # what the engine serves beside the repository
            return [_row(name, v, READY) for v in sorted(self.engine.models[name], key=int)]
        versions = model.versions.keys() | model.served.keys() | {s.version for s in model.draining}
        versions |= self.engine.split_problems(name).keys()
        rows = [_row(name, v, *self._state(model, v)) for v in sorted(versions, key=int)]
        rows += [_row(name, version, UNAVAILABLE, self._told(error)) for version, error in model.misnamed]
        if not versions and not model.gone:
            rows.insert(0, _row(name, "", *self._state(model, "")))
        return rows

    def _state(self, model: Tracked, version: str) -> tuple[str, str]:
        """The state of a version, and its reason; version "": of a model of which none is known."""
        known = model.versions.get(version) or Version()
        unfollowed = self.engine.split_problems(model.name).get(version)
        error = known.error or model.error
        told = "" if error is None else self._told(error)
        if version in model.served:
            notes = [f"{CONFIG}: {note}" for note in (*model.notes, *known.notes)]
            notes += [] if unfollowed is None else [text_of(unfollowed)]
            return READY, f"{told}; what was served before it still answers" if told else "; ".join(notes)
        if any(s.version == version for s in model.draining):
            return UNLOADING, "its last requests are being answered"
        if known.loading or (not version and model.lock.locked()):
            return LOADING, ""
        told = told or ("" if unfollowed is None else text_of(unfollowed))
        return UNAVAILABLE, "unloaded" if model.unloaded else told or "its files have changed a moment ago"

    def unavailable(self, name: str, version: str = "") -> ServingError | None:
        """Why a model, or a version of it, that is in the repository does not answer: IX642; None for an unknown one.

        version "": the newest.
        """
        model = self.models.get(name)
        if model is None or model.gone:
            return self.pipelines.unavailable(name, version) if name in self.pipelines else None
        version = version or max(model.versions, key=int, default="")
        if version and version not in model.versions:
            return None
        state, reason = self._state(model, version)
        soon = state in (LOADING, UNLOADING)
        return ServingError(
            "IX642",
            f"model {name!r} is not ready",
            found=f"{state}: {reason}" if reason else state,
            expected=READY,
            fix="send the request again a little later" if soon else "tell the operator of the server",
            retry_after=1 if soon else None,
        )

    def _told(self, error: InterchangeError) -> str:
        """An error in one line, without a path of the machine."""
        folder = self.repository.source.parent if self.repository.single else self.repository.source
        text = without_paths(text_of(error))
        for path in {str(folder.resolve()), str(folder)}:
            text = text.replace(f"{path}{os.sep}", "")
        return text

    # -- looking at the disk ------------------------------------------------------------------------------------------
    async def _scan(self, at_once: bool) -> dict[str, Entry]:
        async with self._looking:
            return await asyncio.to_thread(self.repository.scan, at_once=at_once)

    async def _look(self, at_once: bool) -> list[asyncio.Task[Any]]:
        try:
            entries = await self._scan(at_once)
        except InterchangeError as error:  # what is served stays: a folder that is away for a moment unloads nothing
            if self.problem is None:
                _log.error("the repository cannot be read, what is served stays: %s", self._told(error))
            self.problem = error
            return []
        self.problem = None
        models = [self._tracked(name) for name in sorted(entries.keys() | self.models.keys())]
        # who looks in passing does not queue up behind a model that is being loaded: it comes by again
        models = [m for m in models if at_once or not m.lock.locked()]
        return [self._task(self._follow(m, entries.get(m.name))) for m in models]

    def _tracked(self, name: str) -> Tracked:
        if name not in self.models:
            self.models[name] = Tracked(name)
        return self.models[name]

    # -- one model ----------------------------------------------------------------------------------------------------
    async def _follow(self, model: Tracked, entry: Entry | None, asked: bool = False) -> InterchangeError | None:
        """Serve what the disk has of a model. Returns the first thing that is wrong with it.

        asked: somebody wants it now: what was unloaded comes back, what failed is tried again.
        """
        async with model.lock:
            if entry is not None and model.unloaded and not asked:
                model.gone = False
                return None
            if entry is None:
                model.gone = True
                model.versions, model.misnamed, model.error, model.notes = {}, (), None, ()
                self._serve(model, ())
                return None
            model.gone = model.unloaded = False
            before, model.error = model.error, entry.error
            model.notes, model.misnamed = entry.config.notes, entry.misnamed
            if entry.error is None:
                return await self._choose(model, entry, asked)
            if before is None or text_of(before) != text_of(entry.error):
                _log.warning("%s: %s", model.name, self._told(entry.error))
            return entry.error

    async def _choose(self, model: Tracked, entry: Entry, asked: bool) -> InterchangeError | None:
        """Load the versions that the policy asks for; a newer one that fails leaves its place to an older one."""
        policy = entry.settings.versions
        served: list[Served] = []
        seen: set[str] = set()
        problem: InterchangeError | None = None
        for found in entry.versions:
            if isinstance(policy, tuple) and int(found.version) not in policy:
                continue
            if isinstance(policy, int) and len(served) >= policy:
                break
            seen.add(found.version)
            version = model.versions.setdefault(found.version, Version())
            before = model.served.get(found.version)
            now = await self._bring(model.name, version, found, entry, before, asked)
            problem = problem or version.error
            if now is not None:
                served.append(now)
            elif version.tried is None and version.error is None:
                seen.discard(found.version)  # its files are still being written: nothing is known of it
        for missing in sorted(set(map(str, policy)) - seen if isinstance(policy, tuple) else ()):
            version = model.versions.setdefault(missing, Version())
            version.error = _no_version(missing)
            problem = problem or version.error
            seen.add(missing)
        model.versions = {v: known for v, known in model.versions.items() if v in seen}
        self._serve(model, served)
        return problem

    async def _bring(
        self, name: str, version: Version, found: Found, entry: Entry, before: Served | None, asked: bool
    ) -> Served | None:
        """What is to be served of a version: a new one, what there was before, or nothing."""
        if not found.quiet:
            return before
        # which versions are served, and what part of the requests they get, changes nothing about how one is loaded
        key = found.stamp, replace(entry.settings, versions=1, canary={}, shadow={})
        if version.tried == key and not (asked and version.error is not None):
            if before is not None and version.error is None:
                before.settings = entry.settings
            return before
        try:
            if found.error is not None:
                raise found.error
            version.loading = True
            now, version.notes = await self._opened(name, found, entry)
        except InterchangeError as error:
            version.tried, version.error = key, error.with_traceback(None)  # whose frames hold the model
            error.__cause__ = error.__context__ = None
            _log.warning("%s version %s: %s", name, found.version, self._told(error))
            return before if found.stamp else None
        finally:
            version.loading = False
        version.tried, version.error = key, None
        _log.info("%s version %s is ready", name, found.version)
        for note in (*entry.config.notes, *version.notes):
            _log.warning("%s: %s: %s", name, CONFIG, note)
        return now

    async def _opened(self, name: str, found: Found, entry: Entry) -> tuple[Served, tuple[str, ...]]:
        workers = self.engine.settings.workers

        def opened() -> Served:
            with snapshot(found, in_place=entry.settings.weights == "shared") as path:
                return self._open(name, found.version, path, entry.settings, workers=workers)

        try:
            async with self._slots:
                served = await _beside(opened, f"load-{name}")
            return served, entry.config.check(served)
        except InterchangeError:
            raise
        except Exception as error:  # one model never takes the others with it
            _log.exception("loading %s version %s", name, found.version)
            raise ServingError(
                "IX647" if isinstance(error, MemoryError) else "IX648",
                "the model could not be loaded",
                found=f"{type(error).__name__}: {error}",
                expected="a model that loads, and memory for it",
                fix="give the server more memory, or report it with the model",
            ) from error

    def _serve(self, model: Tracked, served: Iterable[Served]) -> None:
        """Serve exactly these versions, in one step; those before them finish what they have."""
        before, model.served = model.served, {s.version: s for s in served}
        if model.served == before:
            self.engine.split(model.name)
            return
        for old in self.engine.replace(model.name, model.served.values()):
            model.draining[old] = self._task(self._drain(model, old))

    async def _drain(self, model: Tracked, served: Served) -> None:
        try:
            await served.close()
        finally:
            del model.draining[served]
        if served.version not in model.served:
            _log.info("%s version %s is unloaded", model.name, served.version)

    def _task(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that goes on when nobody waits for it, and whose failure is not lost."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, InterchangeError):
            _log.error("a task of the repository failed", exc_info=error)


def _beside(function: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Run a function on a thread of its own, which does not keep the process alive when it hangs."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def end(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast(T, result))

    def run() -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as problem:
            error = problem
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(end, result, error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    _threads.add(thread)
    thread.start()
    return future


@atexit.register
def _wait() -> None:
    """The runtime aborts the process when the interpreter ends in the middle of a load: give it a while."""
    end = time.monotonic() + EXIT_SECONDS
    for thread in list(_threads):
        thread.join(max(0.0, end - time.monotonic()))


def _row(name: str, version: str, state: str, reason: str = "") -> dict[str, str]:
    return {"name": name, "version": version, "state": state, "reason": reason}


# -- what is wrong ----------------------------------------------------------------------------------------------------
def _unknown(name: str, names: Iterable[str]) -> ServingError:
    close = get_close_matches(name, list(names), 1)
    return ServingError(
        "IX640",
        f"there is no model {name!r} in the repository",
        found=name,
        expected="a model that POST /v2/repository/index lists",
        fix=f"did you mean {close[0]}?" if close else "copy it into the repository first",
    )


def _no_version(missing: str) -> ServingError:
    return ServingError(
        "IX662",
        f"there is no version {missing}, which the settings ask for",
        found=f"no folder {missing}",
        expected="a folder with the model for each version that `versions` or version_policy lists",
        fix="copy the version there, or take it off the list",
    )
