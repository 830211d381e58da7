"""Settings as plain data and back: what a TOML file, an environment variable, a flag or another process can carry.

Everything here follows the fields and annotations of the dataclasses in `interchange.serving.settings`; there is no
second list of options.
"""

from __future__ import annotations

import re
import tomllib
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

NONE = "none"  # TOML, environment and command line have no None of their own
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@cache
def hints(cls: type) -> dict[str, Any]:
    """The annotation of each field of a dataclass."""
    found = get_type_hints(cls)
    return {f.name: found[f.name] for f in fields(cls)}


@cache
def meanings(cls: type) -> dict[str, str]:
    """What its docstring says of each field: entries ``name: ...`` or ``name, other: ...``, at the beginning of a line
    or after two spaces."""
    text = re.sub(r"\n *", "\n", cls.__doc__ or "")
    heads = [
        m for m in re.finditer(r"(?:\n|  )((?:\w+, )*\w+): ", text) if all(n in hints(cls) for n in m[1].split(", "))
    ]
    found: dict[str, str] = {}
    for head, end in zip(heads, [*(h.start() for h in heads[1:]), len(text)], strict=False):
        meaning = " ".join(text[head.end() : end].split())
        found |= dict.fromkeys(head[1].split(", "), meaning[:1].upper() + meaning[1:])
    return found


def expected(hint: Any) -> str:
    """What a value of an annotation looks like, for an error."""
    match _kind(hint):
        case "union":
            return " or ".join(expected(h) for h in get_args(hint))
        case "literal":
            return " or ".join(f'"{v}"' for v in get_args(hint))
        case "tuple":
            return f"a list of {_plural(get_args(hint)[0])}"
        case "mapping":
            return f"a table from names to {_plural(get_args(hint)[1])}"
        case "record":
            return f"a table with {', '.join(hints(hint))}"
    return _NAMES[hint]


_NAMES = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "the path of a file",
    types.NoneType: f'"{NONE}"',
}


def _plural(hint: Any) -> str:
    text = expected(hint).removeprefix("a ").removeprefix("the ")
    return text.replace("path", "paths") if hint is Path else f"{text}s" if hint in _NAMES else f"{text} each"


def _kind(hint: Any) -> str:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return "union"
    if origin is Literal:
        return "literal"
    if origin is tuple:
        return "tuple"
    if origin is not None and issubclass(origin, Mapping):
        return "mapping"
    return "record" if is_dataclass(hint) else "scalar"


def is_simple(hint: Any) -> bool:
    """Whether a value fits on the command line: a number, a text, a path, true or false, or none."""
    return all(_kind(h) in ("scalar", "literal") for h in (get_args(hint) if _kind(hint) == "union" else (hint,)))


def from_text(hint: Any, text: str) -> Any:
    """The plain value that a text (of the environment or the command line) stands for; the text where it is none.

    What is neither text nor number is written as in TOML: ``{max_batch = 8}``.
    """
    options = get_args(hint) if _kind(hint) == "union" else (hint,)
    word = text.strip().lower()
    if types.NoneType in options and word == NONE:
        return NONE
    if bool in options and word in _TRUE + _FALSE:
        return word in _TRUE
    for kind in (int, float):
        if kind in options:
            try:
                return int(text, 0) if kind is int else float(text)
            except ValueError:
                pass  # it may be of another of the options
    if all(_kind(h) in ("scalar", "literal") for h in options):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


class Reader:
    """Makes the dataclasses of plain data, and collects all that is wrong with it.

    unknown(path, names), mismatch(path, value, hint): told of each mistake; a path is the keys from the top.
    before(cls, data, path): may replace the data of a record, or return None when that is of no use.
    folder(path): what the paths of files given there are relative to.
    """

    def __init__(
        self,
        unknown: Callable[[tuple[Any, ...], list[str]], None],
        mismatch: Callable[[tuple[Any, ...], Any, str], None],
        before: Callable[[type, dict[str, Any], tuple[Any, ...]], dict[str, Any] | None] | None = None,
        folder: Callable[[tuple[Any, ...]], Path | None] | None = None,
    ) -> None:
        self.unknown, self.mismatch, self.before, self.folder = unknown, mismatch, before, folder

    def record(self, cls: type, data: Mapping[str, Any], path: tuple[Any, ...] = (), base: Any = None) -> Any:
        """An instance of a dataclass. base: one whose values stand where the data has none. None: nothing useful."""
        known = hints(cls)
        values = {} if base is None else {n: getattr(base, n) for n in known}
        given = dict(data) if self.before is None else self.before(cls, dict(data), path)
        if given is None:
            return None
        for key, value in given.items():
            if key not in known:
                self.unknown((*path, key), list(known))
                continue
            ok, made = self.value(known[key], value, (*path, key))
            if ok:
                values[key] = made
        missing = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
        return None if any(n not in values for n in missing) else cls(**values)

    def value(self, hint: Any, value: Any, path: tuple[Any, ...]) -> tuple[bool, Any]:
        """(whether it is of use, the value that an annotation asks for)."""
        match _kind(hint), value:
            case "union", _:
                return self._union(hint, value, path)
            case "literal", _ if value in get_args(hint):
                return True, value
            case "tuple", list() | tuple():
                made = [self.value(get_args(hint)[0], v, (*path, i)) for i, v in enumerate(value)]
                return True, tuple(v for ok, v in made if ok)
            case "mapping", dict():
                each = {k: self.value(get_args(hint)[1], v, (*path, k)) for k, v in value.items()}
                return True, {k: v for k, (ok, v) in each.items() if ok}
            case "record", dict():
                return True, self.record(hint, value, path)
            case "scalar", _:
                ok, made = self._scalar(hint, value, path)
                if ok:
                    return True, made
        self.mismatch(path, value, expected(hint))
        return False, None

    def _union(self, hint: Any, value: Any, path: tuple[Any, ...]) -> tuple[bool, Any]:
        quiet = Reader(lambda *_: None, _raise_mismatch, self.before, self.folder)
        for option in get_args(hint):
            try:
                return quiet.value(option, value, path)
            except _MismatchError:
                continue
        self.mismatch(path, value, expected(hint))
        return False, None

    def _scalar(self, hint: Any, value: Any, path: tuple[Any, ...]) -> tuple[bool, Any]:
        if hint is types.NoneType:
            return value == NONE, None
        if hint is Path:
            folder = None if self.folder is None else self.folder(path)
            return type(value) is str and value != "", Path(folder or "", value) if isinstance(value, str) else None
        if hint is float:
            return (True, float(value)) if type(value) in (int, float) else (False, None)
        return type(value) is hint, value


class _MismatchError(Exception):
    pass


def _raise_mismatch(path: tuple[Any, ...], value: Any, text: str) -> None:
    raise _MismatchError


def to_plain(value: Any) -> Any:
    """Settings as plain data, which `Reader` reads back: only what differs from the defaults, secrets included."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: to_plain(getattr(value, f.name))
            for f in fields(value)
            if f.default is MISSING or getattr(value, f.name) != f.default
        }
    if isinstance(value, Mapping):
        return {k: to_plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(v) for v in value]
    return NONE if value is None else str(value) if isinstance(value, Path) else value
