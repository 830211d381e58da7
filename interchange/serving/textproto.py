"""Protobuf's text format, read without a schema: what config.pbtxt files are written in.

Source: protobuf.dev/reference/protobuf/textformat-spec. Extensions and Any expansions (``[name]``) are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

MAX_DEPTH = 32
MAX_DIGITS = 20

_TOKEN = re.compile(
    r"""(?P<skip> \s+ | \#[^\n]* )
      | (?P<word> [A-Za-z_][A-Za-z0-9_]* )
      | (?P<float> [-+]?(?: \d+\.\d* | \.\d+ | \d+(?=[eEfF]) )(?: [eE][-+]?\d+ )?[fF]? )
      | (?P<int> [-+]?(?: 0[xX][0-9a-fA-F]+ | \d+ ) )
      | (?P<text> "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' )
      | (?P<mark> [{}<>\[\]:,;] )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|(.))", re.DOTALL)
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}


class Word(str):
    """A bare word: the name of an enum's value, true or false."""

    __slots__ = ()


Value: TypeAlias = "int | float | str | Word | Message"
Message: TypeAlias = dict[str, list[Value]]  # every field is a list: whether it may repeat, only a schema knows
_Token = tuple[str, str, int]  # kind, text, line


def parse(text: str) -> Message:
    """The fields of a message in text format, each with its values in order.

    Raises ValueError that names the line.
    """
    return _message(_Tokens(text), "", 0)


class _Tokens:
    def __init__(self, text: str) -> None:
        self._rest = self._split(text)
        self.next: _Token = next(self._rest)

    def _split(self, text: str) -> Iterator[_Token]:
        at, line = 0, 1
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise ValueError(f"line {line}: {text[at : at + 20].splitlines()[0]!r} is not text format")
            assert match.lastgroup is not None
            if match.lastgroup != "skip":
                yield match.lastgroup, match[0], line
            line += match[0].count("\n")
            at = match.end()
        yield "end", "the end of the file", line

    def take(self) -> _Token:
        token = self.next
        if token[0] != "end":
            self.next = next(self._rest)
        return token

    def accept(self, marks: str) -> str:
        """The next token, taken, where it is one of these marks; otherwise an empty text."""
        kind, text, _ = self.next
        if kind == "mark" and text in marks:
            self.take()
            return text
        return ""


def _message(tokens: _Tokens, end: str, depth: int) -> Message:
    if depth > MAX_DEPTH:
        raise ValueError(f"line {tokens.next[2]}: more than {MAX_DEPTH} messages inside of each other")
    fields: Message = {}
    while not (end and tokens.accept(end)):
        kind, name, line = tokens.take()
        if kind == "end" and not end:
            break
        if kind != "word":
            raise ValueError(f"line {line}: {name} where the name of a field{f' or {end}' if end else ''} is expected")
        colon = tokens.accept(":")
        if not colon and not (tokens.next[0] == "mark" and tokens.next[1] in "{<["):
            raise ValueError(f"line {tokens.next[2]}: a colon is missing after {name}")
        values = fields.setdefault(name, [])
        if tokens.accept("["):
            while not tokens.accept("]"):
                values.append(_value(tokens, name, depth))
                if not tokens.accept(",") and tokens.next[1] != "]":
                    raise ValueError(f"line {tokens.next[2]}: {tokens.next[1]} where , or ] is expected")
        else:
            values.append(_value(tokens, name, depth))
        tokens.accept(",;")
    return fields


def _value(tokens: _Tokens, name: str, depth: int) -> Value:
    if mark := tokens.accept("{<"):
        return _message(tokens, "}" if mark == "{" else ">", depth + 1)
    kind, text, line = tokens.take()
    match kind:
        case "word":
            return Word(text)
        case "float":
            return float(text.rstrip("fF"))
        case "int" if len(text) <= MAX_DIGITS:
            digits = text.lstrip("+-")
            base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" and len(digits) > 1 else 10
            try:
                return int(text, base)
            except ValueError:
                raise ValueError(f"line {line}: {text} is no number") from None
        case "text":
            parts = [text]
            while tokens.next[0] == "text":  # texts beside each other are one
                parts.append(tokens.take()[1])
            try:
                return b"".join(_ESCAPE.sub(_unescaped, p[1:-1].encode()) for p in parts).decode()
            except UnicodeDecodeError:
                raise ValueError(f"line {line}: the text of {name} is no UTF-8") from None
    raise ValueError(f"line {line}: {text} where a value of {name} is expected")


def _unescaped(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, letter = match.groups()
    if letter is not None:
        return _LETTERS.get(letter, letter)
    return bytes([int(octal or hexadecimal, 8 if octal else 16) & 255])
