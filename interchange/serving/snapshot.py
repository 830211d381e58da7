"""A model's files as they are at one moment, to be loaded from.

The runtime maps data files into memory for as long as a model is served, and a mapped file that somebody writes over
ends the whole process (SIGBUS). Nobody writes over a copy. It is removed once the model is loaded; what is mapped
stays until the model goes.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from interchange.graph.external import Folder
from interchange.protocol.errors import ServingError
from interchange.serving.repository import Found

_PREFIX = "interchange-model-"
_CHUNK = 1 << 24
_YOUNG = 60.0  # seconds within which a folder may have been made and not locked yet
_log = logging.getLogger("interchange.serving")


@contextmanager
def snapshot(found: Found, *, in_place: bool = False) -> Iterator[Path]:
    """The path to load a version from, while the block runs; all its files are of one moment.

    in_place: copy nothing (the weights are shared with other processes).
    Raises ServingError IX669 when the files change meanwhile; FileError IX301, IX304, IX305 for files that cannot be
    had.
    """
    copied = None if in_place else _copied(found)
    try:
        if copied is not None and found.changed():
            raise _changed(found)
        yield found.path if copied is None else copied.path
        if copied is None and found.changed():
            raise _changed(found)
    finally:
        if copied is not None:
            copied.remove()


def without_paths(text: str) -> str:
    """A text without the names of folders of copies."""
    return re.sub(re.escape(os.path.join(tempfile.gettempdir(), _PREFIX)) + "[^/]*/", "", text)


class _Copy:
    """A copy of a version's files in a folder of its own, until `remove`. path: of the model in it.

    The folder is locked, so that another process can tell it from one whose process was killed.
    """

    def __init__(self, found: Found) -> None:
        """Raises OSError where there is no room; FileError."""
        _sweep()
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            self.path = _copy_all(found, self._folder)
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)


@cache
def _sweep() -> None:
    """Remove, once in a process, what processes that were killed have left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime < _YOUNG or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while somebody loads from it
                shutil.rmtree(folder)
            finally:
                os.close(lock)


def _copied(found: Found) -> _Copy | None:
    """A copy; None where there is no room for it."""
    try:
        return _Copy(found)
    except OSError as error:
        # it can be served all the same; only writing over its files, instead of renaming others to them, would hurt
        _log.warning("%s is loaded from where it lies: no copy could be made: %s", found.path.name, error.strerror)
        return None


def _copy_all(found: Found, folder: Path) -> Path:
    target = folder / found.path.name
    _copy(_model(found.path), target)
    beside = Folder(found.path.parent)
    for location in found.data:
        inner = folder / location
        inner.parent.mkdir(parents=True, exist_ok=True)
        _copy(beside.descriptor(location, found.path.name), inner)
    return target


def _model(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(0, "not a regular file")


def _copy(fd: int, target: Path) -> None:
    with os.fdopen(fd, "rb") as source, target.open("xb") as file:
        shutil.copyfileobj(source, file, _CHUNK)


def _changed(found: Found) -> ServingError:
    return ServingError(
        "IX669",
        "the files of the model changed while it was loaded",
        found=", ".join(p.name for p in found.files),
        expected="files that are complete",
        fix="wait until they are copied; or write them under a name that ends in .tmp, and rename them",
    )
