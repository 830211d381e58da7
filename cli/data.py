"""The data files of ``interchange run``: inputs from .npy, .npz, .json and .csv, outputs to .npz, .npy and .json."""

from __future__ import annotations

import csv
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interchange.errors import FileError, UsageError

if TYPE_CHECKING:
    from interchange.runtime import ValueSpec

Specs = Mapping[str, "ValueSpec | None"]  # the inputs of a model; None where they are not known
_ENDINGS = (".npy", ".npz", ".json", ".csv")
_NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}  # as `json_text` writes them


# -- inputs -----------------------------------------------------------------------------------------------------------
def read_data(path: str, specs: Specs) -> dict[str, Any]:
    """The inputs in a file, by name; specs: the model's, None where it is not known.

    Raises FileError IX840 (it cannot be read), UsageError IX841 (it does not fit the model).
    """
    kind = Path(path).suffix.lower()
    if kind not in _ENDINGS:
        raise UsageError(
            "IX841",
            f"{path!r} is not a data file",
            found=kind or "no ending",
            expected=".npy, .npz, .json or .csv",
            fix="save the inputs in one of these: np.savez('data.npz', x=array)",
        )
    try:
        if kind == ".npz":
            return _from_npz(path)
        if kind == ".npy":
            return {_only(specs, path): _from_npy(path)}
        if kind == ".json":
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            named = content if isinstance(content, dict) else {_only(specs, path): content}
            return {n: _from_json(v, specs.get(n)) for n, v in named.items()}
        with open(path, newline="", encoding="utf-8-sig") as lines:
            return _from_csv([row for row in csv.reader(lines) if row], specs, path)
    except UsageError:
        raise
    except (OSError, ValueError, EOFError, csv.Error, RecursionError, zipfile.BadZipFile, zlib.error) as error:
        raise FileError(
            "IX840",
            f"the data file {path!r} cannot be read",
            where=path,
            found=str(getattr(error, "strerror", None) or error),
            expected="a .npy, .npz, .json or .csv file without Python objects",
            fix="correct the path or the file",
        ) from None


def one_input(text: str, specs: Specs) -> dict[str, Any]:
    """The input that ``--input NAME=FILE`` or ``NAME=JSON`` says. Raises as `read_data`."""
    name, equals, content = text.partition("=")
    if not equals or not name:
        raise UsageError(
            "IX841",
            f"{text!r} is not an input",
            found=text,
            expected="NAME=FILE or NAME=JSON, e.g. x=data.npy or x='[[1, 2]]'",
            fix="write the name of the input, =, and a file or numbers",
        )
    if content.lower().endswith(_ENDINGS):
        found = read_data(content, {name: specs.get(name)})
        return {name: found[name] if name in found or len(found) != 1 else next(iter(found.values()))}
    try:
        return {name: _from_json(json.loads(content), specs.get(name))}
    except (ValueError, RecursionError):
        raise UsageError(
            "IX841",
            f"the value of input {name} is neither a file nor JSON",
            found=content[:60],
            expected="a .npy, .npz, .json or .csv file, or numbers such as 0.5 or [[1, 2]]",
            fix="quote it for the shell: --input 'x=[[1, 2]]'",
        ) from None


def _only(specs: Specs, path: str) -> str:
    needed = [n for n, s in specs.items() if s is None or not s.optional]
    if len(needed) == 1:
        return needed[0]
    raise UsageError(
        "IX841",
        f"{path} is one array, and the model takes {len(needed)} inputs",
        where=path,
        found="one array without a name",
        expected=", ".join(needed) or "no inputs",
        fix=f"name it: --input NAME={path}",
    )


def _from_npz(path: str) -> dict[str, Any]:
    import numpy as np

    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):  # np.load would take it for a pickle, and say how to load that
            raise ValueError("not an .npz archive, or one that was cut short")
    with np.load(path, allow_pickle=False) as archive:
        return {n: archive[n] for n in archive.files}


def _from_npy(path: str) -> Any:
    import numpy as np

    with open(path, "rb") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _from_json(value: Any, spec: ValueSpec | None) -> Any:
    """Texts for NaN and infinities are numbers where the input takes any."""
    if spec is None or spec.dtype == object:
        return value
    if isinstance(value, list):
        return [_from_json(v, spec) for v in value]
    return _NOT_FINITE.get(value, value) if isinstance(value, str) else value


def _from_csv(rows: list[list[str]], specs: Specs, path: str) -> dict[str, Any]:
    """Columns by the names in the first line; or all columns as the rows of the only input.

    The first line is a heading when no cell of it is a number.
    """
    if not rows:
        raise ValueError("no lines")
    widths = {len(r) for r in rows}
    if len(widths) > 1:
        raise ValueError(f"lines of {min(widths)} and of {max(widths)} columns")
    head = [c.strip() for c in rows[0]]
    headed = not any(isinstance(number(c), (int, float)) for c in head)
    if headed and len(rows) == 1:
        raise ValueError(f"one line, and it has no numbers: {', '.join(head)[:60]}")
    if set(head) & specs.keys():
        twice = next((n for n in head if head.count(n) > 1), None)
        if twice is not None:
            raise ValueError(f"two columns {twice!r}")
        return {n: _column(rows, i, specs.get(n)) for i, n in enumerate(head)}
    name = _only(specs, path)
    texts = _takes_texts(specs[name])
    first = 2 if headed else 1
    return {name: [[_cell(c, texts, line) for c in row] for line, row in enumerate(rows[first - 1 :], first)]}


def _column(rows: list[list[str]], index: int, spec: ValueSpec | None) -> list[Any]:
    """A column as an input of one axis, or of two with one column."""
    column = [_cell(row[index], _takes_texts(spec), line) for line, row in enumerate(rows[1:], 2)]
    return [[v] for v in column] if spec is not None and len(spec.shape) == 2 else column


def _takes_texts(spec: ValueSpec | None) -> bool:
    return spec is not None and spec.dtype == object


def _cell(text: str, as_text: bool, line: int) -> int | float | str:
    value = text if as_text else number(text)
    if isinstance(value, str) and not as_text:
        raise ValueError(f"line {line}: {text!r} is not a number" if text.strip() else f"line {line}: an empty cell")
    return value


def number(text: str) -> int | float | str:
    """The number that a text is, or the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


# -- outputs ----------------------------------------------------------------------------------------------------------
def save(found: Mapping[str, Any], path: str) -> None:
    """Write outputs to a file, wholly or not at all. Raises FileError IX840, UsageError IX842."""
    from interchange.graph.atomic import NewFile, mode_of

    content = _content(found, path)
    new: NewFile | None = None
    try:
        place = Path(os.path.realpath(path))
        new = NewFile(place.parent, [content], mode_of(place))
        new.move_to(place)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise FileError(
            "IX840",
            f"{path!r} cannot be written",
            where=path,
            found=getattr(error, "strerror", None) or str(error),
            expected="a folder that exists, may be written to, and has room",
            fix="choose another path; what was there before is unchanged",
        ) from None
    finally:
        if new is not None:
            new.discard()


def _content(found: Mapping[str, Any], path: str) -> bytes:
    import io

    import numpy as np

    from interchange.checker.context import plural
    from interchange.cli.output import json_text

    kind = Path(path).suffix.lower()
    odd = [n for n, v in found.items() if not isinstance(v, np.ndarray)]
    buffer = io.BytesIO()
    if kind == ".json":
        return json_text({n: plain(v) for n, v in found.items()}, indent=None).encode()
    if kind == ".npz" and not odd:
        with zipfile.ZipFile(buffer, "w") as archive:  # np.savez cannot have an output called "file"
            for name, value in found.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, _storable(value), allow_pickle=False)
        return buffer.getvalue()
    if kind == ".npy" and len(found) == 1 and not odd:
        np.save(buffer, _storable(next(iter(found.values()))), allow_pickle=False)
        return buffer.getvalue()
    raise UsageError(
        "IX842",
        f"the outputs cannot be saved to {path!r}",
        found=f"{plural(len(found), 'output')}, {kind or 'no ending'}"
        + (f"; {', '.join(odd)}: no array" if odd else ""),
        expected=".json, .npz for arrays, or .npy for one array",
        fix="use another ending, or choose one output with --only",
    )


def _storable(value: Any) -> Any:
    """The array in a dtype that .npy files have: numpy's texts, and float32 or int8 for what only ml_dtypes has."""
    from interchange.dtypes import is_integer

    if value.dtype == object:
        return value.astype(str)
    return value if value.dtype.isbuiltin == 1 else value.astype("int8" if is_integer(value.dtype) else "float32")


def plain(value: Any) -> Any:
    """Plain data of an output: lists for arrays and sequences, dicts for maps."""
    if hasattr(value, "dtype"):
        return value.astype("float64").tolist() if value.dtype.kind == "V" else value.tolist()
    if isinstance(value, list):
        return [plain(v) for v in value]
    return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def table(name: str, value: Any) -> str:
    """An output for a reader."""
    import numpy as np

    from interchange.dtypes import name_of

    if not isinstance(value, np.ndarray):
        return f"{name}:\n{value}"
    shape = ", ".join(map(str, value.shape))
    numbers = np.array2string(value, threshold=200, precision=6, suppress_small=True)
    return f"{name}: {name_of(value.dtype)}[{shape}]\n{numbers}"
