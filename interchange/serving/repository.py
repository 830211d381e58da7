"""What a model repository holds: one .onnx file, or a folder of ``name.onnx`` and ``name/1/model.onnx``.

Only this module looks at the disk. It opens nothing that lies outside of the repository, wherever a link leads, and
never uses a name that came over the network as a path: such names are looked up among those that were found here.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from interchange.errors import FileError, InterchangeError, one_line
from interchange.graph import opening
from interchange.graph.external import check_location, open_below
from interchange.graph.files import data_files
from interchange.protocol.errors import ServingError
from interchange.serving import triton_config
from interchange.serving.settings import ModelSettings, Settings
from interchange.serving.triton_config import TritonConfig

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
VERSION = re.compile(r"[1-9][0-9]{0,17}")
RESERVED = ("stats",)  # /v2/models/stats is a path of the protocol's own
MAX_TEXT = 1 << 22  # bytes of a config.pbtxt, or of a file of labels
SUFFIX = ".onnx"
# what copying tools and editors call a file that is not complete yet
_TEMPORARY = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".swp", "~")

FileStamp = tuple[str, int, int, int]  # name, size, mtime in ns, inode; size -1: nothing there
Stamp = tuple[FileStamp, ...]


@dataclass(frozen=True)
class Found:
    """One version of a model as the disk has it. stamp: changes when one of its files does; () when it is not there.

    files: the paths of what is in the stamp.  data: the locations of its data files, as the model names them.
    quiet: no file of it has changed since the look before; what is not quiet may be half of a copy.
    error: why it cannot even be tried.
    """

    version: str
    path: Path
    stamp: Stamp
    quiet: bool = True
    error: ServingError | None = None
    files: tuple[Path, ...] = ()
    data: tuple[str, ...] = ()

    def changed(self) -> bool:
        """Whether its files are others by now, or gone."""
        return self.stamp != tuple(_stamp_of(s[0], p) for s, p in zip(self.stamp, self.files, strict=True))


@dataclass(frozen=True)
class Entry:
    """One model as the disk has it. versions: the newest first.  settings: with those of its config.pbtxt.

    error: why nothing new of it can be served.  misnamed: what lies where its versions do and is none.
    """

    name: str
    settings: ModelSettings
    versions: tuple[Found, ...] = ()
    config: TritonConfig = field(default_factory=TritonConfig)
    error: InterchangeError | None = None
    misnamed: tuple[tuple[str, ServingError], ...] = ()


class Repository:
    """The place that models are served from. Not for several threads at once.

    source: an .onnx file or a folder.  Raises ServingError IX668 when it is neither, IX660 for a file whose name no
    model can have.
    """

    def __init__(self, source: str | os.PathLike[str], settings: Settings | None = None) -> None:
        self.source = Path(source).absolute()
        self.settings = settings or Settings()
        self.single = not self.source.is_dir()
        self._last: dict[tuple[str, str], Stamp] = {}
        self._data: dict[Path, tuple[FileStamp, tuple[str, ...]]] = {}
        self._texts: dict[Path, tuple[Stamp, str]] = {}
        if self.single:
            if not (self.source.is_file() and self.source.suffix == SUFFIX):
                raise no_repository("nothing there" if not self.source.exists() else "another kind of file")
            if problem := name_problem(self.source.stem):
                raise problem

    # -- looking ------------------------------------------------------------------------------------------------------
    def scan(self, *, at_once: bool = False) -> dict[str, Entry]:
        """What there is now, by name. at_once: take everything as quiet, and forget this look.

        A version that was there at the look before and has gone is told once more, as not quiet: a file that is
        removed and written again is not gone.  Raises ServingError IX668 when the repository cannot be read.
        """
        root = self._root()
        try:
            entries = {e.name: e for e in self._entries(root, at_once)}
        except OSError as error:
            raise no_repository(error.strerror or str(error)) from None
        files = {p for e in entries.values() for f in e.versions for p in f.files}
        self._data = {p: v for p, v in self._data.items() if p in files}
        self._texts = {p: v for p, v in self._texts.items() if p in files}
        return entries if at_once else self._quietly(entries)

    def _root(self) -> Path:
        """The folder that nothing may lead out of; what a link to it points to may change at any time."""
        try:
            return self.source.parent if self.single else self.source.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise no_repository(getattr(error, "strerror", None) or str(error)) from None

    def _quietly(self, entries: dict[str, Entry]) -> dict[str, Entry]:
        last, now = self._last, {(e.name, f.version): f.stamp for e in entries.values() for f in e.versions}
        gone: dict[str, list[Found]] = {}
        for name, version in last.keys() - now.keys():
            if last[name, version]:
                gone.setdefault(name, []).append(Found(version, self.source, (), quiet=False))
        self._last = now
        found = {}
        for name in entries.keys() | gone.keys():
            entry = entries.get(name) or Entry(name, self.settings.of(name))
            versions = [replace(f, quiet=last.get((name, f.version)) == f.stamp) for f in entry.versions]
            versions = sorted(versions + gone.get(name, []), key=lambda f: -int(f.version))
            found[name] = replace(entry, versions=tuple(versions))
        return found

    def _entries(self, root: Path, at_once: bool) -> Iterator[Entry]:
        if self.single:
            name = self.source.stem
            yield Entry(name, self.settings.of(name), (self._version(name, "1", self.source, None, [], at_once),))
            return
        files: dict[str, Path] = {}
        folders: dict[str, Path] = {}
        for path in _listed(root):
            if path.is_dir():
                folders[path.name] = path
            elif path.name.endswith(SUFFIX):
                files[path.name.removesuffix(SUFFIX)] = path
        for name in sorted(files.keys() | folders.keys()):
            problem = name_problem(name)
            if problem is not None:
                yield Entry(one_line(name), self.settings.defaults, error=problem)
            elif name not in folders:
                version = self._version(name, "1", files[name], root, [], at_once)
                yield Entry(name, self.settings.of(name), (version,))
            else:
                entry = self._folder(name, folders[name], root, at_once)
                yield entry if name not in files else Entry(name, entry.settings, error=_two(name))

    # -- Triton's layout ----------------------------------------------------------------------------------------------
    def _folder(self, name: str, folder: Path, root: Path, at_once: bool) -> Entry:
        settings = self.settings.of(name)
        try:
            inside(folder, root)
            config, beside = self._config(name, folder, root) if settings.config_pbtxt else (TritonConfig(), [])
            settings = config.over(self.settings, name)
            versions, misnamed = [], []
            for path in _listed(folder):
                if not path.is_dir():
                    continue
                if VERSION.fullmatch(path.name):
                    versions.append(self._version(name, path.name, path / config.filename, root, beside, at_once))
                else:
                    misnamed.append((one_line(path.name), _no_version(path.name)))
        except InterchangeError as error:
            return Entry(name, settings, error=error)
        except OSError as error:
            return Entry(name, settings, error=_refused(name, error.strerror or str(error)))
        versions.sort(key=lambda f: -int(f.version))
        if not versions:
            nothing = misnamed[0][1] if misnamed else _empty(name, config.filename, (folder / config.filename).exists())
            return Entry(name, settings, (), config, nothing, tuple(misnamed))
        return Entry(name, settings, tuple(versions), config, None, tuple(misnamed))

    def _config(self, name: str, folder: Path, root: Path) -> tuple[TritonConfig, list[Path]]:
        """What a model's config.pbtxt says, its labels read; and the files that say it."""
        path = folder / triton_config.FILE
        if not os.path.lexists(path):
            return TritonConfig(), []
        config = _parsed(self._text(path, folder, root), name)
        files = [path]
        labels: tuple[str, ...] = ()
        notes = config.notes
        for output, label_file in config.label_files.items():
            if labels:
                notes += (f"output {output}: label_filename: the labels of the first output are used for all",)
                continue
            files.append(folder / label_file)
            if not os.path.lexists(files[-1]):
                raise triton_config.bad_config(f"label_filename is {label_file!r}, which is not in the model's folder")
            labels = tuple(self._text(files[-1], folder, root).splitlines())
        if labels:
            config = replace(config, settings={**config.settings, "labels": labels}, notes=notes)
        return config, files

    def _text(self, path: Path, folder: Path, root: Path) -> str:
        """The text of a small file of a model, which may not lead out of the model's own folder."""
        where = f"{folder.name}/{path.name}"
        try:
            real = inside(path, inside(folder, root))
            stamp = (_stamp_of(path.name, real),)
            if path not in self._texts or self._texts[path][0] != stamp:
                self._texts[path] = stamp, _read(real, root, where)
        except OSError as error:
            raise _refused(where, error.strerror or str(error)) from None
        return self._texts[path][1]

    # -- one version --------------------------------------------------------------------------------------------------
    def _version(
        self, name: str, version: str, path: Path, root: Path | None, beside: Sequence[Path], at_once: bool
    ) -> Found:
        """root: None for a file that the operator named himself.  beside: files of the model that are of no version."""
        where = path.name if root is None else path.relative_to(root if path.is_relative_to(root) else path.parent)
        try:
            if path.is_dir():  # Triton's form for a model of several files: a folder of that name
                path = path / path.name
            if not os.path.lexists(path):
                return Found(version, path, (), error=_missing(name, path.name))
            real = path if root is None else inside(path, root)
            status = os.stat(real)
            if not stat.S_ISREG(status.st_mode):
                raise _refused(str(where), "something that is no regular file")
            if not os.access(real, os.R_OK):
                raise _refused(str(where), "a file that the server may not read")
            own = _stamp_of(path.name, real)
            data = self._located(real, own, at_once or own in self._last.get((name, version), ()))
            files = (real, *beside, *(real.parent / n for n in data))
            return Found(version, real, (own, *(_stamp_of(p.name, p) for p in files[1:])), files=files, data=data)
        except OSError as error:
            return Found(version, path, _LOST, error=_refused(str(where), error.strerror or str(error)))
        except ServingError as error:
            return Found(version, path, _LOST, error=error)

    def _located(self, path: Path, stamp: FileStamp, parse: bool) -> tuple[str, ...]:
        """The data files that a model names. It is looked into when it is `parse`, or when that was done before."""
        if path not in self._data or self._data[path][0] != stamp:
            if not parse:  # it may be half of a file
                return ()
            self._data[path] = stamp, _locations(path)
        return self._data[path][1]


_LOST: Stamp = (("", -2, 0, 0),)  # there, and not to be had


# -- names and files ---------------------------------------------------------------------------------------------------
def name_problem(name: str) -> ServingError | None:
    """Why a model cannot have this name: IX660; None when it can."""
    if NAME.fullmatch(name) and name not in RESERVED:
        return None
    return ServingError(
        "IX660",
        "a model cannot have this name",
        found=one_line(name)[:200],
        expected="letters, digits, '_', '-' and '.', 128 at most, a letter or digit first; stats is the protocol's own",
        fix="rename the file or the folder",
    )


def inside(path: Path, root: Path) -> Path:
    """The real path of what lies below `root` (a real path). Raises ServingError IX667, OSError."""
    try:
        real = path.resolve(strict=True)
    except RuntimeError:  # a loop of links
        raise _refused(path.name, "a loop of links") from None
    if root not in real.parents:
        raise _refused(path.name, "a link that leads out of the repository, or out of the model's folder")
    return real


def _listed(folder: Path) -> list[Path]:
    """What is in a folder, without hidden files and what is still being written."""
    names = sorted(os.listdir(folder))
    return [folder / n for n in names if not n.startswith(".") and not n.endswith(_TEMPORARY) and n != "lost+found"]


def _stamp_of(name: str, path: Path) -> FileStamp:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return name, -1, 0, 0
    return name, status.st_size, status.st_mtime_ns, status.st_ino


def _read(real: Path, root: Path, where: str) -> str:
    fd = open_below(root, real.relative_to(root).parts)
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise _refused(where, "something that is no regular file with one name")
        data = file.read(MAX_TEXT + 1)
    if len(data) > MAX_TEXT:
        raise _refused(where, f"more than {MAX_TEXT} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _refused(where, f"bytes that are no UTF-8, from {error.start} on") from None


def _locations(path: Path) -> tuple[str, ...]:
    """The data files that a model names, of those that a model may name at all; none of one that cannot be read."""
    try:
        named = data_files(opening.read(path).proto)
    except FileError:
        return ()  # whoever loads it will tell
    found = []
    for location in sorted(named):
        try:
            check_location(location, "")
        except FileError:
            continue
        found.append(location)
    return tuple(found)


@lru_cache(1024)
def _parsed(text: str, name: str) -> TritonConfig:
    return triton_config.read(text, name)


# -- what is wrong -----------------------------------------------------------------------------------------------------
def no_repository(found: str) -> ServingError:
    """The error for a place that no models can be served from."""
    return ServingError(
        "IX668",
        "the models to serve cannot be read",
        found=found,
        expected="an .onnx file, or a folder with name.onnx or name/1/model.onnx that the server may read",
        fix="correct the path, or the permissions of the folder",
    )


def _refused(where: str, found: str) -> ServingError:
    return ServingError(
        "IX667",
        f"{one_line(where)} is not opened",
        found=found,
        expected="a regular file that the server may read, inside of the repository",
        fix="put the file itself there; a link may lead to another place in the same repository only",
    )


def _no_version(name: str) -> ServingError:
    return ServingError(
        "IX661",
        "a version cannot have this name",
        found=one_line(name)[:200],
        expected="a positive whole number without zeros in front of it: 1, 2, 10",
        fix="rename the folder; whatever is no version belongs elsewhere, or under a name that begins with a dot",
    )


def _missing(name: str, filename: str) -> ServingError:
    return ServingError(
        "IX662",
        "there is nothing to serve in this folder",
        found=f"no {one_line(filename)} in the folder of the version",
        expected=f"{name}/VERSION/{one_line(filename)}",
        fix="copy the model there, or remove the folder",
    )


def _empty(name: str, filename: str, loose: bool) -> ServingError:
    return ServingError(
        "IX662",
        "there is nothing to serve in this folder",
        found=f"{filename} beside the versions, and none in one" if loose else "no folder of a version",
        expected=f"{name}/1/{filename}",
        fix=f"move it to 1/{filename}; to serve one model, name the folder above it, or its file"
        if loose
        else "make the folder 1 in it and copy the model there, or remove the folder",
    )


def _two(name: str) -> ServingError:
    return ServingError(
        "IX662",
        f"two models have the name {name}",
        found=f"{name}.onnx beside the folder {name}",
        expected="one of them",
        fix="rename one; or make the file another version: move it into the folder",
    )
