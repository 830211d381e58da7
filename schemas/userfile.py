"""Operators a user describes, in a TOML or JSON file or as Python data: parsed with all problems named at once.

The format is in docs/schemas.md. One operator is a mapping; `parse` turns it into a schema, and `load_file` reads
a file of them. Problems carry their place: ``operators[1].inputs[0].type``.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from interchange.dtypes import BY_NAME, INTEGERS, Array, DType, dtype_of, name_of
from interchange.errors import InterchangeError, SchemaError, user_line
from interchange.schemas.attributes import TYPES, fits, normalise
from interchange.schemas.opschema import UNBOUNDED, Attribute, Formal, OpSchema
from interchange.schemas.typetext import to_text

OPTIONS = ("single", "optional", "variadic")
_OPERATOR_KEYS = ("domain", "name", "since", "doc", "deprecated", "inputs", "outputs", "attributes", "types")
_FORMAL_KEYS = ("name", "type", "option", "homogeneous", "min_arity", "doc")
_ATTRIBUTE_KEYS = ("type", "required", "default", "allowed", "doc")
_DOMAIN = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*")
_NAME = re.compile(r"[A-Za-z_]\w*")

Problem = tuple[str, str]  # where, what


def load_file(path: Path) -> list[OpSchema]:
    """The operators of a file. Raises SchemaError: IX411 it cannot be read, IX410 with all problems of its content."""
    content = _read(path)
    reader = _Reader()
    reader.keys(content, "", ("operators",))
    entries = reader.take(content, "operators", "", list, "a list of operators", required=True) or []
    schemas = [reader.operator(entry, f"operators[{i}]") for i, entry in enumerate(entries)]
    if not entries and not reader.problems:
        reader.add("operators", "is empty: describe at least one operator")
    seen: dict[tuple[str, str, int], int] = {}
    for i, schema in enumerate(schemas):
        key = (schema.domain, schema.name, schema.since)
        if key in seen and all(key[:2]):
            reader.add(f"operators[{i}]", f"describes the same operator and version as operators[{seen[key]}]")
        seen.setdefault(key, i)
    reader.finish(path.name)
    return schemas


def parse(operator: Mapping[str, Any]) -> OpSchema:
    """One operator, as a mapping of the same form as in a file. Raises SchemaError IX410 with all its problems."""
    reader = _Reader()
    schema = reader.operator(operator, "")
    reader.finish(None)
    return schema


def _read(path: Path) -> Any:
    loaders: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": json.loads}
    load = loaders.get(path.suffix.lower())
    if load is None:
        raise SchemaError(
            "IX411",
            f"{path.name} is not an operator file",
            where=str(path),
            found=path.suffix or "no ending",
            expected="a .toml or .json file",
            fix="name it with the ending of its format",
        )
    try:
        return load(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: TOML, JSON and UTF-8 errors alike
        missing = isinstance(error, FileNotFoundError)
        raise SchemaError(
            "IX411",
            f"the operator file {path.name} " + ("does not exist" if missing else "cannot be read"),
            where=str(path),
            found=error.strerror if isinstance(error, OSError) else str(error),
            expected=f"a {path.suffix[1:].upper()} file",
            fix="check the path" if isinstance(error, OSError) else "repair the line it names",
        ) from None


class _Reader:
    """Walks through a description and collects what is wrong with it; goes on as well as it can."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(self, where: str, what: str) -> None:
        self.problems.append((where, what))

    def finish(self, file: str | None) -> None:
        """Raises if a problem was found."""
        if not self.problems:
            return
        count = len(self.problems)
        first = f"{count} problem{'s' if count > 1 else ''}"
        indent = "\n" + 12 * " "  # under the first, in the error's layout
        lines = indent.join(f"{where or ('file' if file else 'operator')}: {what}" for where, what in self.problems)
        raise SchemaError(
            "IX410",
            f"{first} in {file}" if file else f"{first} in the description of an operator",
            where=file or user_line(),
            found=lines,
            expected="the form in docs/schemas.md",
            fix="repair the places named; nothing was registered",
        )

    def operator(self, entry: Any, at: str) -> OpSchema:
        if not self.keys(entry, at, _OPERATOR_KEYS):
            return OpSchema("", "", 0, (), (), {}, {})
        domain = self.word(entry, "domain", at, _DOMAIN, "a dotted name such as my.company")
        name = self.word(entry, "name", at, _NAME, "a name such as FusedThing")
        since = self.take(entry, "since", at, int, "an int", default=1)
        if since < 1:
            self.add(_join(at, "since"), f"must be 1 or more, found {since}")
        types = self.types(entry, at)
        before = len(self.problems)
        inputs = self.formals(entry, "inputs", at, types)
        outputs = self.formals(entry, "outputs", at, types)
        if not outputs and "outputs" in entry:
            self.add(_join(at, "outputs"), "is empty: an operator has at least one output")
        used = {formal.type for formal in (*inputs, *outputs)}
        for variable in types:
            if variable not in used and len(self.problems) == before:  # else a broken input may have meant it
                self.add(_join(at, f"types.{variable}"), "is used by no input and no output")
        return OpSchema(
            domain,
            name,
            since,
            inputs,
            outputs,
            MappingProxyType(self.attributes(entry, at)),
            MappingProxyType(types),
            self.take(entry, "deprecated", at, bool, "true or false", default=False),
            False,
            _fewest(inputs),
            _most(inputs),
            _fewest(outputs),
            _most(outputs),
            self.take(entry, "doc", at, str, "a text", default=""),
        )

    def types(self, entry: Mapping[str, Any], at: str) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for variable, names in self.take(entry, "types", at, Mapping, "a table", default={}).items():
            where = _join(at, f"types.{variable}")
            if not _NAME.fullmatch(str(variable)) or variable in BY_NAME:
                self.add(where, "is not a name for a type variable, such as T")
            if isinstance(names, str) or not isinstance(names, Sequence) or not names:
                self.add(where, f"must be a list of types, such as ['float32'], found {names!r}")
                found[variable] = ()
                continue
            texts = [self.type_text(name, f"{where}[{i}]") for i, name in enumerate(names)]
            found[variable] = tuple(t for t in texts if t)
        return found

    def type_text(self, name: Any, where: str, variables: Sequence[str] = ()) -> str | None:
        """ONNX's text of a type given by our name or by ONNX's."""
        if isinstance(name, np.dtype | type):
            try:
                return to_text(dtype_of(name))
            except InterchangeError:
                name = str(name)
        if isinstance(name, str):
            if name in variables:
                return name
            if name in BY_NAME:
                return to_text(BY_NAME[name])
            if _known_text(name):
                return name
        near = difflib.get_close_matches(str(name), [*variables, *BY_NAME], 1)
        hint = f": did you mean {near[0]}?" if near else ""
        kinds = f"a type variable ({', '.join(variables)}) or a type" if variables else "a type"
        self.add(where, f"{name!r} is not {kinds} such as float32{hint}")
        return None

    def formals(
        self, entry: Mapping[str, Any], key: str, at: str, types: Mapping[str, tuple[str, ...]]
    ) -> tuple[Formal, ...]:
        entries = self.take(entry, key, at, list, "a list", required=key == "outputs") or []
        found: list[Formal] = []
        for i, item in enumerate(entries):
            where = _join(at, f"{key}[{i}]")
            if isinstance(item, Formal):
                item = {**item.to_dict(), "doc": item.doc}
            if not self.keys(item, where, _FORMAL_KEYS):
                continue
            name = self.word(item, "name", where, _NAME, "a name such as X")
            if name and name in [f.name for f in found]:
                self.add(
                    _join(where, "name"), f"{name} is already the name of {key}[{[f.name for f in found].index(name)}]"
                )
            if "type" not in item:
                self.add(_join(where, "type"), "is missing")
            text = self.type_text(item["type"], _join(where, "type"), tuple(types)) if "type" in item else None
            option = self.take(item, "option", where, str, "a text", default="single")
            if option not in OPTIONS:
                self.add(_join(where, "option"), f"must be one of {', '.join(OPTIONS)}, found {option!r}")
            if option == "variadic" and i != len(entries) - 1:
                self.add(_join(where, "option"), f"only the last of the {key} can be variadic")
            if option == "single" and found and found[-1].option == "optional":
                self.add(_join(where, "option"), f"must be optional too: {found[-1].name} before it is")
            homogeneous = self.take(item, "homogeneous", where, bool, "true or false", default=True)
            arity = self.take(item, "min_arity", where, int, "an int", default=1)
            if arity < 0:
                self.add(_join(where, "min_arity"), f"must be 0 or more, found {arity}")
            doc = self.take(item, "doc", where, str, "a text", default="")
            found.append(Formal(name, text or "", option, homogeneous, arity, doc))
        return tuple(found)

    def attributes(self, entry: Mapping[str, Any], at: str) -> dict[str, Attribute]:
        found: dict[str, Attribute] = {}
        for name, item in sorted(self.take(entry, "attributes", at, Mapping, "a table", default={}).items()):
            where = _join(at, f"attributes.{name}")
            if not _NAME.fullmatch(str(name)):
                self.add(where, "is not a name such as alpha")
            if isinstance(item, Attribute):
                item = {key: getattr(item, key) for key in _ATTRIBUTE_KEYS}
            if isinstance(item, str):
                item = {"type": item}  # alpha = "float" is enough for an attribute without more to say
            if self.keys(item, where, _ATTRIBUTE_KEYS):
                found[name] = self.attribute(name, item, where)
        return found

    def attribute(self, name: str, item: Mapping[str, Any], where: str) -> Attribute:
        type_ = self.take(item, "type", where, str, "a text", required=True) or ""
        if type_ and type_ not in TYPES:
            near = difflib.get_close_matches(type_, TYPES, 1)
            hint = f": did you mean {near[0]}?" if near else ""
            self.add(_join(where, "type"), f"{type_!r} is not one of {', '.join(TYPES)}{hint}")
            type_ = ""
        required = self.take(item, "required", where, bool, "true or false", default=False)
        default = self.value(item.get("default"), type_, _join(where, "default"), name)
        if required and default is not None:
            self.add(_join(where, "default"), "has no meaning: the attribute is required")
        allowed = self.take(item, "allowed", where, list, "a list", default=None)
        element = type_.removesuffix("s")
        values = None
        if allowed is not None:
            if element not in ("int", "float", "string"):
                self.add(_join(where, "allowed"), f"cannot list values of type {type_}")
            else:
                listed = [self.value(v, element, _join(where, f"allowed[{i}]"), name) for i, v in enumerate(allowed)]
                values = tuple(v for v in listed if v is not None)
                given = default if isinstance(default, tuple) else () if default is None else (default,)
                for value in given:
                    if value not in values:
                        self.add(_join(where, "default"), f"{value!r} is not one of the allowed values")
        doc = self.take(item, "doc", where, str, "a text", default="")
        return Attribute(name, type_, required, default, values, doc)

    def value(self, value: Any, type_: str, where: str, name: str) -> Any:
        """`value` as an attribute of that type has it; a tensor in a file is {dtype = "float32", value = [...]}."""
        if value is None or not type_:
            return None
        if type_ == "tensor" and isinstance(value, Mapping):
            try:
                return _array(value["value"], dtype_of(value["dtype"]))
            except (InterchangeError, KeyError, TypeError, ValueError, OverflowError) as error:
                self.add(where, f"is not a tensor such as {{dtype = 'float32', value = [1.0]}}: {error}")
                return None
        if not fits(type_, value, name):
            self.add(where, f"{value!r} is not of type {type_}")
            return None
        return normalise(type_, value, name)

    def keys(self, entry: Any, at: str, known: Sequence[str]) -> bool:
        """Whether `entry` is a table; unknown keys in it are problems."""
        if not isinstance(entry, Mapping):
            self.add(at, f"must be a table, found {type(entry).__name__}")
            return False
        for key in entry:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, 1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                self.add(_join(at, str(key)), f"is not known: {hint}")
        return True

    def take(
        self, entry: Any, key: str, at: str, kind: Any, wanted: str, *, required: bool = False, default: Any = None
    ) -> Any:
        """entry[key] if it is of that kind; else the default, and a problem if it is there or required."""
        value = entry.get(key) if isinstance(entry, Mapping) else None
        if value is None:
            if required and isinstance(entry, Mapping):
                self.add(_join(at, key), "is missing")
            return default
        if kind is list and isinstance(value, tuple):
            value = list(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.add(_join(at, key), f"must be {wanted}, found {value!r}")
            return default
        return value

    def word(self, entry: Any, key: str, at: str, form: re.Pattern[str], wanted: str) -> str:
        text = self.take(entry, key, at, str, wanted, required=True)
        if text is not None and not form.fullmatch(text):
            self.add(_join(at, key), f"must be {wanted}, found {text!r}")
        return text or ""


def _array(value: Any, dtype: DType) -> Array:
    array = np.asarray(value, dtype)
    if dtype in INTEGERS and (array.astype(object) != np.asarray(value, object)).any():
        raise ValueError(f"not all of its values are {name_of(dtype)}")
    return array


def _join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _known_text(text: str) -> bool:
    """Whether it is a type text of ONNX: tensor(float), seq(tensor(float)), map(string, tensor(float)) ..."""
    inner = re.fullmatch(r"(seq|optional)\((.*)\)", text)
    if inner:
        return _known_text(inner[2])
    pair = re.fullmatch(r"map\((string|u?int(8|16|32|64)), (.*)\)", text)
    if pair:
        return _known_text(pair[3]) or pair[3] in BY_NAME
    tensor = re.fullmatch(r"(sparse_)?tensor\((\w+)\)", text)
    return tensor is not None and tensor[2] in {"float", "double", *BY_NAME} - {"float32", "float64"}


def _fewest(formals: Sequence[Formal]) -> int:
    """The fewest values a call has: up to the last that must be there."""
    count = 0
    for i, formal in enumerate(formals):
        if formal.option == "single":
            count = i + 1
        elif formal.option == "variadic":
            count = i + formal.min_arity if formal.min_arity else count
    return count


def _most(formals: Sequence[Formal]) -> int:
    return UNBOUNDED if formals and formals[-1].option == "variadic" else len(formals)
