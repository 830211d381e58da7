"""Weights that stand in files beside the model: mapped into memory, and never outside the model's folder.

A location in a model file is untrusted text. It is resolved to a real path which must lie below the folder, opened
component by component without following links (so that nothing can be swapped in between), and must be a regular
file with one name. Offsets and lengths are checked as Python ints before they are used.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from interchange.errors import FileError

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


def map_file(fd: int) -> memoryview:
    """The whole file as read-only memory; its pages are read when they are touched."""
    size = os.fstat(fd).st_size
    return memoryview(mmap.mmap(fd, size, access=mmap.ACCESS_READ)) if size else memoryview(b"")


class Folder:
    """The folder of a model's data files; each file is mapped once.

    trust_links: accept symbolic links that lead out of the folder, and hard links (package managers and model caches
    make both); for files from a source you trust.
    """

    def __init__(self, path: str | os.PathLike[str] | None, trust_links: bool = False) -> None:
        self.path = None if path is None else Path(path)
        self.trust_links = trust_links
        self._files: dict[str, memoryview] = {}
        self._mapped: dict[tuple[int, int], memoryview] = {}  # by identity: one file can have any number of names

    def window(self, entries: Mapping[str, str], need: int, where: str) -> memoryview:
        """The `need` bytes that external_data `entries` point to, not yet read.

        where: the place for messages. Raises FileError IX304 (a location that is not allowed), IX305 (no such file),
        IX306 (a range that does not fit).
        """
        data = self.file(entries.get("location", ""), where)
        offset = _number(entries, "offset", 0, where)
        length = _number(entries, "length", need, where)
        if length != need or offset + length > len(data):
            _bad_range(where, f"offset {offset}, length {length} in a file of {len(data)} bytes", f"{need} bytes in it")
        return data[offset : offset + length]

    def file(self, location: str, where: str) -> memoryview:
        """The whole data file of that name, not yet read. Raises FileError IX304 or IX305."""
        if location not in self._files:
            self._files[location] = self._open(location, where)
        return self._files[location]

    def _open(self, location: str, where: str) -> memoryview:
        fd = self.descriptor(location, where)
        try:
            status = os.fstat(fd)
            identity = status.st_dev, status.st_ino
            if identity not in self._mapped:
                self._mapped[identity] = map_file(fd)
            return self._mapped[identity]
        except (OSError, OverflowError, ValueError) as error:  # larger than what a process can address
            raise _refused(location, where, f"{status.st_size} bytes: {error}", _FIX) from None
        finally:
            os.close(fd)

    def descriptor(self, location: str, where: str) -> int:
        """The data file of that name, opened for reading; the caller closes it. Raises FileError IX304 or IX305."""
        if self.path is None:
            raise _refused(location, where, "a model without a folder", "load it from its path, or give base_dir")
        check_location(location, where)
        try:
            root = self.path.resolve(strict=True)
            real = (root / location).resolve(strict=True)
            if self.trust_links:
                fd = os.open(real, _FLAGS)
            elif root in real.parents:
                fd = open_below(root, real.relative_to(root).parts)
            else:
                raise _refused(location, where, "the folder itself, or a link that leads out of it", _FIX_LINK)
        except FileNotFoundError:
            raise FileError(
                "IX305",
                "a data file of the model is missing",
                where=where,
                found=f"no file {location!r} beside the model",
                expected="the model and its data files in one folder",
                fix="copy the data file there too; the model names it, so keep its name",
            ) from None
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name too long, no permission
            raise _refused(location, where, getattr(error, "strerror", None) or str(error), _FIX) from None
        status = os.fstat(fd)
        regular, one = stat.S_ISREG(status.st_mode), status.st_nlink == 1 or self.trust_links
        if regular and one:
            return fd
        os.close(fd)
        if regular:
            raise _refused(location, where, "a hard link: the data may belong to another folder", _FIX_LINK)
        raise _refused(location, where, "something that is not a regular file", _FIX)


def check_location(location: str, where: str) -> None:
    """Raise FileError IX304 for a name that no file in a model's folder can have."""
    parts = location.split("/")
    if not location or "\0" in location or "\\" in location or ".." in parts or Path(location).is_absolute():
        raise _refused(location, where, "a path that is empty, absolute, or has .. or \\ in it", _FIX)


def open_below(root: Path, parts: tuple[str, ...]) -> int:
    """A descriptor of root/parts, opened for reading without following a link on the way. Raises OSError."""
    folder = os.open(root, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(parts[-1], _FLAGS | _NOFOLLOW, dir_fd=folder)
    finally:
        os.close(folder)


_FIX = "get the model from a source you trust; its data files belong into its own folder, under relative names"
_FIX_LINK = "copy the file itself into the folder, or load with trust_links=True if you trust the source"


def _refused(location: str, where: str, found: str, fix: str) -> FileError:
    return FileError(
        "IX304",
        f"the data file {location!r} is not opened",
        where=where,
        found=found,
        expected="a regular file inside the model's folder",
        fix=fix,
    )


def _number(entries: Mapping[str, str], key: str, default: int, where: str) -> int:
    text = entries.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        _bad_range(where, f"{key} {text[:40]!r}", "a decimal number of bytes")
    return int(text)


def _bad_range(where: str, found: str, expected: str) -> None:
    raise FileError(
        "IX306",
        "the external data of a tensor does not fit",
        where=where,
        found=found,
        expected=expected,
        fix="the data file is cut short or belongs to another model: copy both files again from one source",
    )
