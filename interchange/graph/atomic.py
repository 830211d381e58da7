"""Writing files so that a full disk, an error or a kill at any moment leaves the old file or the new one.

A new file is written beside the old one under a name of its own, flushed to the disk, read back and compared, and only
then renamed over the old one: the rename is the one moment at which readers change from old to new.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

_CHUNK = 1 << 24  # bytes written or read at a time
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class NewFile:
    """A file that has been written and proven, and is not at its place yet. sha256: hex digest of its content."""

    def __init__(self, folder: Path, chunks: Iterable[bytes | memoryview], mode: int | None) -> None:
        """Write `chunks` to a temporary file in `folder`; mode: permission bits, None for what the umask gives.

        Raises OSError; then the temporary file is gone.
        """
        self.path = folder / f".interchange-{secrets.token_hex(8)}.tmp"
        fd = os.open(self.path, _NEW, 0o666)
        try:
            try:
                if mode is not None:
                    os.fchmod(fd, mode)
                digest, size = hashlib.sha256(), 0
                for chunk in chunks:
                    digest.update(chunk)
                    size += _write(fd, chunk)
                os.fsync(fd)
                self.sha256 = digest.hexdigest()
                if _read_back(fd) != (self.sha256, size):
                    raise OSError(f"what was read back from {self.path.name} is not what was written")
            finally:
                os.close(fd)
        except BaseException:
            self.discard()
            raise

    def move_to(self, target: Path) -> None:
        """Put it at its place, over what is there. Raises OSError. `sync_folder` makes it last."""
        os.replace(self.path, target)

    def discard(self) -> None:
        """Remove the temporary file, if it is still there."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)


def _write(fd: int, chunk: bytes | memoryview) -> int:
    view = memoryview(chunk).cast("B")
    done = 0
    while done < len(view):
        done += os.write(fd, view[done : done + _CHUNK])
    return done


def _read_back(fd: int) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    os.lseek(fd, 0, os.SEEK_SET)
    while chunk := os.read(fd, _CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last through a power cut (on systems that can open a folder). Raises OSError."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def mode_of(path: Path) -> int | None:
    """The permission bits of the regular file that is there, None if there is nothing.

    Raises OSError for anything else: a device or a folder must not be renamed over.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path.name} is there and is not a regular file")
    return stat.S_IMODE(status.st_mode)
