"""ONNX's texts for types, ``tensor(float)``, and ours for a reader, ``float32``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from interchange.dtypes import DType, from_onnx_text, name_of

_C_NAMES = {"float32": "float", "float64": "double"}
_READER_NAMES = {onnx: ours for ours, onnx in _C_NAMES.items()}
# a reader looks for floats first; names of one family stand together, families are parted by a semicolon
_FAMILIES = (r"float(16|32|64)|bfloat16", r"int(8|16|32|64)", r"uint(8|16|32|64)", r"bool|string|complex.*")


def to_text(dtype: DType) -> str:
    """ONNX's text for tensors of a dtype: ``tensor(float)`` for float32. Raises UsageError IX801 if it has none."""
    name = name_of(dtype)
    return f"tensor({_C_NAMES.get(name, name)})"


def to_dtype(text: str | None) -> DType | None:
    """The dtype of a tensor's type text; None for everything else."""
    return None if text is None else from_onnx_text(text)


def reader_name(text: str) -> str:
    """A type text as we write it: ``float32`` for tensor(float), ``seq(float32)`` for seq(tensor(float))."""
    inner = re.sub(r"tensor\((\w+)\)", r"\1", text) if not text.startswith("sparse") else text
    return re.sub(r"\w+", lambda word: _READER_NAMES.get(word[0], word[0]), inner)


def plain(texts: Iterable[str]) -> str:
    """Type texts as one readable list, families together: ``float16, float32; int32, int64; bool``."""
    groups: dict[str, list[str]] = {family: [] for family in _FAMILIES}
    for name in sorted({reader_name(t) for t in texts}, key=_width):
        outer, bracket, _ = name.rpartition("(")
        family = outer if bracket else next((f for f in _FAMILIES if re.fullmatch(f, name)), "")
        groups.setdefault(family, []).append(name)
    return "; ".join(_group(family, names) for family, names in groups.items() if names)


def _group(family: str, names: list[str]) -> str:
    if family in _FAMILIES or len(names) <= 4:
        return ", ".join(names)
    # the sequences and optionals of Loop and its like: 60 names that nobody reads
    brackets = ")" * (family.count("(") + 1)
    return f"{family}({len(names)} types{brackets}" if family else ", ".join(names)


def _width(name: str) -> tuple[bool, str, int]:
    """float8 before float16, bfloat16 after float64: narrow before wide within one kind of number."""
    kind, digits = re.fullmatch(r"(.*?)(\d*)", name.rstrip(")"), re.DOTALL).groups()  # type: ignore[union-attr]
    return name.startswith("b"), kind, int(digits or 0)
