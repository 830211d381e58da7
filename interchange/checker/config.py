"""``[tool.interchange.check]`` of a pyproject.toml: what a project asks of the checks of its models.

[tool.interchange.check]
ignore = ["IX595"]
level = "warning"
target = "onnxruntime>=1.18"
rules = ["acme.rules"]                            # modules with rules of your own
limits = {nodes = 500_000}
per-file-ignores = {"legacy/*.onnx" = ["IX59"]}   # relative to the file's folder
"""

from __future__ import annotations

import importlib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from interchange.checker.report import SEVERITIES, Severity
from interchange.errors import UsageError
from interchange.graph.limits import Limits


@dataclass(frozen=True, slots=True)
class Config:
    """The settings; those that a file does not name are as here. file: where they stand."""

    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    level: Severity = "error"
    target: str | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    per_file_ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    file: Path | None = None

    def ignored(self, path: str) -> tuple[str, ...]:
        """The codes that are left out for one model file. Patterns are held against its path from the configuration's
        folder, and against its name."""
        full = Path(os.path.abspath(path))
        folder = (self.file or Path("pyproject.toml")).absolute().parent
        inside = full.relative_to(folder).as_posix() if full.is_relative_to(folder) else full.as_posix()
        matching = (codes for glob, codes in self.per_file_ignores.items() if _matches(glob, inside, full.name))
        return self.ignore + tuple(code for codes in matching for code in codes)

    def import_rules(self) -> None:
        """Import the modules with rules of the user. Raises UsageError IX832 for one that cannot be imported."""
        for name in self.rules:
            try:
                importlib.import_module(name)
            except UsageError:
                raise
            except Exception as error:  # whatever a stranger's module raises
                raise _wrong(
                    self.file,
                    f"the module of rules {name!r} cannot be imported",
                    f"{type(error).__name__}: {error}",
                    "a module that is installed, or on PYTHONPATH",
                    "install it, or correct `rules`",
                ) from error


def _matches(glob: str, inside: str, name: str) -> bool:
    return fnmatch(inside, glob) or fnmatch(name, glob)


def find_config(start: str | os.PathLike[str] = ".") -> Config:
    """The settings in the nearest pyproject.toml, from a folder upward, that has a [tool.interchange.check].

    Raises UsageError IX832 for a file that cannot be read, for unknown keys and for values of another type.
    """
    folder = Path(start).absolute()
    for place in (folder, *folder.parents):
        file = place / "pyproject.toml"
        if file.is_file():
            table = _table(file)
            if table is not None:
                return _config(table, file)
    return Config()


def _table(file: Path) -> object:
    try:
        data: Any = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _wrong(file, "the configuration cannot be read", str(error), "a TOML file", "correct it") from None
    for key in ("tool", "interchange", "check"):
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _config(table: object, file: Path) -> Config:
    if not isinstance(table, dict):
        raise _wrong(file, "the setting is no table", repr(table), "a table", "write [tool.interchange.check]")
    values: dict[str, Any] = {"file": file}
    for key, value in table.items():
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, 1)
            fix = f"did you mean {near[0]}?" if near else "leave it out"
            raise _wrong(file, f"there is no setting {key!r}", key, f"one of {', '.join(_KEYS)}", fix)
        expected, holds = _KEYS[key]
        if not holds(value):
            raise _wrong(file, f"the setting {key!r} is of another type", repr(value), expected, f"make it {expected}")
        values[key.replace("-", "_")] = _frozen(value)
    Limits.of(values.get("limits"))  # raises for what is no limit
    return Config(**values)


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _frozen(v) for k, v in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


_TEXTS = "a list of texts"
_KEYS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "select": (_TEXTS, _texts),
    "ignore": (_TEXTS, _texts),
    "level": (f"one of {', '.join(SEVERITIES)}", lambda v: v in SEVERITIES),
    "target": ('a text such as "onnxruntime>=1.18"', lambda v: isinstance(v, str)),
    "limits": ("a table of numbers", lambda v: isinstance(v, dict)),
    "per-file-ignores": (
        "a table of patterns with lists of codes",
        lambda v: isinstance(v, dict) and all(map(_texts, v.values())),
    ),
    "rules": (_TEXTS, _texts),
}


def _wrong(file: Path | None, message: str, found: str, expected: str, fix: str) -> UsageError:
    return UsageError("IX832", message, where=str(file), found=found, expected=expected, fix=fix)
