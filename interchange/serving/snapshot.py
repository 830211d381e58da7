"""A model's files as they are at one moment, to be loaded from.

The runtime maps data files into memory for as long as a model is served, and a mapped file that somebody writes over
ends the whole process (SIGBUS). Nobody writes over a copy. It is removed once the model is loaded; what is mapped
stays until the model goes.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interchange.graph.external import Folder
from interchange.protocol.errors import ServingError
from interchange.serving.repository import Found

_PREFIX = "interchange-model-"
_CHUNK = 1 << 24
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
        yield copied or found.path
        if copied is None and found.changed():
            raise _changed(found)
    finally:
        if copied is not None:
            shutil.rmtree(copied.parent, ignore_errors=True)


def without_paths(text: str) -> str:
    """A text without the names of folders of copies."""
    return re.sub(re.escape(os.path.join(tempfile.gettempdir(), _PREFIX)) + "[^/]*/", "", text)


def _copied(found: Found) -> Path | None:
    """A copy in a folder of its own; None where there is no room for it."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        try:
            return _copy_all(found, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
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
