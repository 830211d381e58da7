"""Where the settings of a server come from: flags before the environment, before one TOML file, before the defaults.

    host = "0.0.0.0"            # the fields of Settings
    drain_seconds = 5

    [defaults]                  # the fields of ModelSettings, for every model
    max_batch = 32

    [models.iris]               # and for one
    cache = 1000

    [[tokens]]                  # the fields of Token; its secret comes from a file or from the environment
    name = "ops"
    admin = true
    secret_file = "ops.token"

All mistakes are told at once, each with its place: ``serve.toml:3``, the variable, the flag.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from interchange.errors import InterchangeError, ProblemsError
from interchange.serving import consistency
from interchange.serving.consistency import Found, findings
from interchange.serving.plain import Reader, from_text, hints
from interchange.serving.settings import ModelSettings, Settings, Token

PREFIX = "INTERCHANGE_SERVE_"
LEAST_SECRET = 16  # characters of a token
_MOST_SECRET = 4096
_SERVICE_LINK = re.compile(r"(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)")
Keys = tuple[Any, ...]  # from the top of the settings: ("models", "iris", "max_batch")


class ConfigurationError(ProblemsError):
    """IX670 to IX679: a server cannot run with these settings."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was given. folder: what a path of a file there is relative to."""

    text: str
    folder: Path | None = None


@dataclass
class _Layer:
    """What one source gives: plain data, and the place of each of its keys."""

    data: dict[str, Any] = field(default_factory=dict)
    places: dict[Keys, Place] = field(default_factory=dict)

    def put(self, keys: Keys, value: Any, place: Place) -> None:
        data = self.data
        for key in keys[:-1]:
            inner = data.setdefault(key, {})
            data = inner if isinstance(inner, dict) else data
        data[keys[-1]] = value
        self.places[keys] = place


def configure(
    file: str | os.PathLike[str] | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
    assignments: Sequence[str] = (),
) -> Settings:
    """The settings of a server.

    file: TOML; a path in it is relative to its folder.  environment: variables INTERCHANGE_SERVE_... (the names of the
    fields in capitals; _CONFIG names the file, _TOKEN_FILE and _ADMIN_TOKEN_FILE one token each).
    flags: field (or token_file, admin_token_file) -> its text.  assignments: lines of TOML: ``models.iris.cache = 9``.

    Raises ConfigurationError with everything that is wrong.
    """
    reading = _Reading(environment or {})
    env = {k.removeprefix(PREFIX): v for k, v in (environment or {}).items() if k.startswith(PREFIX)}
    env = {k: v for k, v in env.items() if not _is_service_link(k, v)}
    place = "--config" if file is not None else f"{PREFIX}CONFIG"
    file = file if file is not None else env.pop("CONFIG", None)
    env.pop("CONFIG", None)
    if file is not None:
        reading.file(Path(file), place)
    for name, text in env.items():
        reading.text(name.lower(), text, f"{PREFIX}{name}")
    for name, text in (flags or {}).items():
        reading.text(name, text, "--" + name.replace("_", "-"))
    for line in assignments:
        reading.assignment(line)
    return reading.settings()


def _is_service_link(name: str, value: str) -> bool:
    """Whether an orchestrator set it for a service whose name begins as our variables do; nobody means us by it."""
    ours = name.lower() in hints(Settings) and not value.startswith(("tcp://", "udp://"))
    return not ours and _SERVICE_LINK.fullmatch(name) is not None


def checked(settings: Settings) -> Settings:
    """Settings that were made in Python. Raises ConfigurationError with everything that makes no sense."""
    problems = [_finding(found, ".".join(map(str, found.keys))) for found in findings(settings)]
    if problems:
        raise ConfigurationError(problems)
    return settings


def from_plain(data: Mapping[str, Any]) -> Settings:
    """The settings that `to_plain` gave, in another process: they were checked there."""
    found: Settings = Reader(lambda *_: None, lambda *_: None).record(Settings, data)
    return found


def unmatched(settings: Settings, names: Sequence[str]) -> list[InterchangeError]:
    """IX679 for each setting and each right of a token that is for none of the models `names`."""
    return [_finding(f, ".".join(map(str, f.keys))) for f in consistency.unmatched(settings, names)]


class _Reading:
    """The layers put together, and what is wrong with them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.data: dict[str, Any] = {}
        self.places: dict[Keys, Place] = {}
        self.problems: list[InterchangeError] = []

    # -- layers -------------------------------------------------------------------------------------------------------
    def file(self, path: Path, named_by: str) -> None:
        try:
            text = path.read_bytes().decode()
            data = tomllib.loads(text)
        except (OSError, ValueError) as error:
            what = error.strerror if isinstance(error, OSError) else str(error)
            line = re.search(r"\(at line (\d+), ", str(error))
            self.problem(
                "IX670",
                "the configuration file cannot be read",
                f"{path.name}:{line[1]}" if line else named_by,
                found=f"{path.name}: {what}",
                expected="a TOML file in UTF-8",
                fix="correct the line" if line else f"correct {named_by}, or leave it out",
            )
            return
        layer = _Layer(data)
        folder = path.parent
        layer.places = {k: Place(f"{path.name}:{n}", folder) for k, n in lines_of(text).items()}
        layer.places[()] = Place(path.name, folder)
        self.add(layer)

    def text(self, name: str, text: str, place: str) -> None:
        layer = _Layer()
        if name in ("token_file", "admin_token_file"):
            admin = name == "admin_token_file"
            token = {"name": "admin" if admin else "token", "admin": admin, "secret_file": text}
            layer.data["tokens"] = [token]
            layer.places["tokens", 0] = Place(place)
        elif name not in hints(Settings):
            self.unknown(place, name, [*hints(Settings), "token_file", "admin_token_file", "config"])
            return
        else:
            layer.put((name,), from_text(hints(Settings)[name], text), Place(place))
        self.add(layer)

    def assignment(self, line: str) -> None:
        try:
            data = tomllib.loads(line)
        except tomllib.TOMLDecodeError as error:
            self.problem(
                "IX670",
                "--set takes a line of TOML",
                "--set",
                found=f"{line.partition('=')[0].strip()!r}: {error}",
                expected="KEY = VALUE, texts in quotes",
                fix="write --set 'models.iris.cache = 100', or --set 'host = \"0.0.0.0\"'",
            )
            return
        self.add(_Layer(data, {(): Place(f"--set {line.partition('=')[0].strip()}")}))

    def add(self, layer: _Layer) -> None:
        """Put a layer over those before it: tables are joined, lists of tables go on, the rest is replaced."""
        _join(self.data, layer.data, (), layer.places, self.places)

    # -- settings -----------------------------------------------------------------------------------------------------
    def settings(self) -> Settings:
        reader = Reader(
            lambda keys, names: self.unknown(self.place(keys).text, ".".join(map(str, keys)), names),
            self.mismatch,
            self.before,
            lambda keys: self.place(keys).folder,
        )
        settings: Settings = reader.record(Settings, self.data)
        models = {name: self._over_defaults(settings, name) for name in settings.models}
        kept = [i for i, token in enumerate(settings.tokens) if token is not None]
        settings = replace(settings, models=models, tokens=tuple(settings.tokens[i] for i in kept))
        for found in findings(settings):
            keys = found.keys
            keys = ("tokens", kept[keys[1]], *keys[2:]) if keys[0] == "tokens" else keys
            self.problems.append(_finding(found, self.place(keys).text))
        if self.problems:
            raise ConfigurationError(self.problems)
        return settings

    def _over_defaults(self, settings: Settings, name: str) -> ModelSettings:
        given = self.data["models"][name].keys() & hints(ModelSettings).keys()
        return replace(settings.defaults, **{k: getattr(settings.models[name], k) for k in given})

    def before(self, cls: type, data: dict[str, Any], keys: Keys) -> dict[str, Any] | None:
        """A token with its secret in place of where that is kept."""
        if cls is not Token:
            return data
        file, variable, given = (data.pop(k, None) for k in ("secret_file", "secret_env", "secret"))
        place = self.place(keys)
        if (file is None) == (variable is None) or given is not None:
            self.problem(
                "IX675",
                "a token needs one place that its secret comes from",
                place.text,
                found="the secret itself" if given is not None else "both" if file is not None else "none",
                expected="secret_file, the path of a file, or secret_env, the name of a variable",
                fix="put the secret into a file that only the server can read, and name it: secret_file = ...",
            )
            return None
        secret = self._secret_file(file, place) if file is not None else self._secret_variable(variable, place)
        if secret is None:
            return None
        if not LEAST_SECRET <= len(secret) <= _MOST_SECRET or not re.fullmatch(r"[!-~]+", secret):
            self.problem(
                "IX675",
                "the secret of a token is none that can be used",
                place.text,
                found=f"{len(secret)} characters" if len(secret) < LEAST_SECRET else "other characters, or too many",
                expected=f"{LEAST_SECRET} to {_MOST_SECRET} visible ASCII characters without a space",
                fix="make one with: openssl rand -hex 32",
            )
            return None
        return {**data, "secret": secret}

    def _secret_file(self, name: Any, place: Place) -> str | None:
        try:
            path = Path(place.folder or "", name)
            with path.open("rb") as file:
                return file.read(_MOST_SECRET + 2).decode().strip()
        except (OSError, ValueError, TypeError) as error:
            self.problem(
                "IX675",
                "the file with the secret of a token cannot be read",
                place.text,
                found=f"{name}: {getattr(error, 'strerror', None) or 'no text'}",
                expected="a file with the secret and nothing else",
                fix="correct the path, or let the server's user read the file",
            )
            return None

    def _secret_variable(self, name: Any, place: Place) -> str | None:
        secret = self.environment.get(name) if isinstance(name, str) else None
        if secret is None:
            self.problem(
                "IX675",
                "the variable with the secret of a token is not set",
                place.text,
                found=f"secret_env = {name!r}",
                expected="the name of a variable of the server's environment",
                fix="set it where the server is started, or use secret_file",
            )
        return secret

    # -- problems -----------------------------------------------------------------------------------------------------
    def place(self, keys: Keys) -> Place:
        """Where a key was given, or the nearest that holds it."""
        for end in range(len(keys), -1, -1):
            if keys[:end] in self.places:
                return self.places[keys[:end]]
        return Place("the settings")

    def problem(self, code: str, message: str, where: str, **parts: str) -> None:
        self.problems.append(InterchangeError(code, message, where=where, **parts))

    def unknown(self, place: str, key: str, names: Sequence[str]) -> None:
        last = key.rpartition(".")[2]
        close = get_close_matches(last, names, 1)
        self.problem(
            "IX671",
            f"there is no setting {key!r}",
            place,
            found=last,
            expected=", ".join(names),
            fix=f"did you mean {close[0]}?" if close else "leave it out",
        )

    def mismatch(self, keys: Keys, value: Any, expected: str) -> None:
        self.problem(
            "IX672",
            f"{'.'.join(map(str, keys))} is of another type",
            self.place(keys).text,
            found="not shown" if keys[0] == "tokens" else repr(value)[:100],
            expected=expected,
            fix=f"make it {expected}",
        )


def _finding(found: Found, where: str) -> InterchangeError:
    parts = {"found": found.found, "expected": found.expected, "fix": found.fix}
    return InterchangeError(found.code, found.message, where=where, **parts)


def _join(
    into: dict[str, Any], data: Mapping[str, Any], keys: Keys, places: Mapping[Keys, Place], known: dict[Keys, Place]
) -> None:
    for key, value in data.items():
        here = (*keys, key)
        before = into.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            _join(before, value, here, places, known)
            continue
        shift = 0
        if isinstance(before, list) and isinstance(value, list) and all(isinstance(v, dict) for v in before + value):
            shift = len(before)
            value = before + value
        into[key] = value
        top = _nearest(places, here)
        if not shift:
            known[here] = top
        for inner, place in places.items():
            if len(inner) > len(here) and inner[: len(here)] == here:
                at = inner[len(here)]
                moved = at + shift if isinstance(at, int) else at
                known[(*here, moved, *inner[len(here) + 1 :])] = place
        for index in range(shift, len(value) if shift else 0):
            known.setdefault((*here, index), top)


def _nearest(places: Mapping[Keys, Place], keys: Keys) -> Place:
    return next((places[keys[:n]] for n in range(len(keys), -1, -1) if keys[:n] in places), Place("the settings"))


def lines_of(text: str) -> dict[Keys, int]:
    """The line of each key of a TOML text which is valid, as far as a look at the beginnings of lines can tell."""
    found: dict[Keys, int] = {}
    table: Keys = ()
    counts: dict[Keys, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        try:
            if stripped.startswith("[") and "=" not in stripped.partition("#")[0]:
                many = stripped.startswith("[[")
                head = _path(tomllib.loads(stripped))
                if head is None:
                    continue
                table = head
                if many:
                    counts[table] = counts.get(table, -1) + 1
                    table = (*table, counts[table])
                found.setdefault(table, number)
            elif "=" in stripped and not stripped.startswith("#"):
                keys = _path(tomllib.loads(f"{stripped.partition('=')[0]} = 0"))
                if keys is not None:
                    found.setdefault((*table, *keys), number)
        except tomllib.TOMLDecodeError:
            continue  # the inside of a value of several lines
    return found


def _path(data: Any) -> Keys | None:
    keys: list[str] = []
    while isinstance(data, dict) and len(data) == 1:
        ((key, data),) = data.items()
        keys.append(key)
        if isinstance(data, list) and data:
            data = data[0]
    return tuple(keys) or None
