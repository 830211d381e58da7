"""``interchange run``: a model on data from files or the command line."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interchange.errors import FileError, UsageError

if TYPE_CHECKING:
    from interchange.runtime import ValueSpec

Specs = Mapping[str, "ValueSpec | None"]  # the inputs of a model
_ENDINGS = (".npy", ".npz", ".json", ".csv")


@click.command("run")
@click.argument("path", type=click.Path())
@click.argument("data", required=False, type=click.Path())
@click.option(
    "--input", "inputs", multiple=True, metavar="NAME=FILE|JSON", help="One input: x=data.npy, x='[[1, 2, 3]]'."
)
@click.option("--output", type=click.Path(dir_okay=False), help="Save the outputs to this .npz, .npy or .json file.")
@click.option("--only", multiple=True, metavar="NAME", help="Compute only this output; several times for more.")
@click.option("--threads", type=int, help="How many threads to use.")
@click.option("--json", "as_json", is_flag=True, help="Print the outputs as JSON.")
def command(
    path: str,
    data: str | None,
    inputs: tuple[str, ...],
    output: str | None,
    only: tuple[str, ...],
    threads: int | None,
    as_json: bool,
) -> None:
    """Run the model PATH on DATA, a .npz, .npy, .json or .csv file, or on each --input.

    Numbers in .json and .csv files take the dtypes of the inputs. A .csv's columns are matched with the inputs by the
    names in its first line, or are the columns of the only input. A .npy file is the only input.

    \b
    interchange run iris.onnx flowers.csv
    interchange run model.onnx --input x=images.npy --input 'scale=[0.5]' --output answer.npz
    """
    from interchange.cli.output import emit, progress
    from interchange.runtime import InputsError, load

    with progress(f"loading {path}"):
        model = load(path, threads=threads)
    feeds = read_data(data, model.inputs) if data else {}
    for text in inputs:
        feeds |= _one_input(text, model.inputs)
    try:
        found = model.run(feeds, outputs=list(only) or None)
    except InputsError as error:
        error.where = path  # there is no line of the user's to point at
        raise
    if output:
        _save(found, output)
    plain = {n: _plain(v) for n, v in found.items()}
    text = "\n".join(_table(n, v) for n, v in found.items())
    emit(plain, as_json, f"wrote {output}: {', '.join(found)}" if output else text)


def read_data(path: str, specs: Specs) -> dict[str, Any]:
    """The inputs in a file, by name; specs: the model's, None where it is not known.

    Raises FileError IX840 (it cannot be read), UsageError IX841 (it does not fit the model).
    """
    import numpy as np

    kind = Path(path).suffix.lower()
    try:
        if kind == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return {n: archive[n] for n in archive.files}
        if kind == ".npy":
            return {_only(specs, path): np.load(path, allow_pickle=False)}
        if kind == ".json":
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            return content if isinstance(content, dict) else {_only(specs, path): content}
        if kind == ".csv":
            with open(path, newline="", encoding="utf-8-sig") as lines:
                return _from_csv([row for row in csv.reader(lines) if row], specs, path)
    except (OSError, ValueError, EOFError, csv.Error) as error:
        if isinstance(error, UsageError):
            raise
        raise FileError(
            "IX840",
            f"the data file {path!r} cannot be read",
            where=path,
            found=str(getattr(error, "strerror", None) or error),
            expected="a .npy, .npz, .json or .csv file without Python objects",
            fix="correct the path or the file",
        ) from None
    raise UsageError(
        "IX841",
        f"{path!r} is not a data file",
        found=kind or "no ending",
        expected=".npy, .npz, .json or .csv",
        fix="save the inputs in one of these: np.savez('data.npz', x=array)",
    )


def _one_input(text: str, specs: Specs) -> dict[str, Any]:
    name, equals, content = text.partition("=")
    if not equals:
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
        return {name: json.loads(content)}
    except ValueError:
        raise UsageError(
            "IX841",
            f"the value of input {name} is neither a file nor JSON",
            found=content[:60],
            expected="data.npy, or numbers such as 0.5 or [[1, 2]]",
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


def _from_csv(rows: list[list[str]], specs: Specs, path: str) -> dict[str, Any]:
    """Columns by the names in the first line; or all columns as the rows of the only input."""
    if not rows:
        raise ValueError("no lines")
    widths = {len(r) for r in rows}
    if len(widths) > 1:
        raise ValueError(f"lines of {min(widths)} and of {max(widths)} columns")
    head = [c.strip() for c in rows[0]]
    if set(head) & specs.keys():
        columns = {n: [_number(r[i]) for r in rows[1:]] for i, n in enumerate(head)}
        return {n: _shaped(v, specs.get(n)) for n, v in columns.items()}
    body = rows if all(isinstance(_number(c), (int, float)) for c in head) else rows[1:]
    return {_only(specs, path): [[_number(c) for c in row] for row in body]}


def _shaped(column: list[Any], spec: ValueSpec | None) -> Any:
    """A column as an input of one axis, or of two with one column."""
    return [[v] for v in column] if spec is not None and len(spec.shape) == 2 else column


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _save(found: dict[str, Any], path: str) -> None:
    import numpy as np

    kind = Path(path).suffix.lower()
    try:
        if kind == ".npz":
            np.savez(path, **found)
        elif kind == ".npy" and len(found) == 1:
            np.save(path, next(iter(found.values())))
        elif kind == ".json":
            Path(path).write_text(json.dumps({n: _plain(v) for n, v in found.items()}), encoding="utf-8")
        else:
            raise UsageError(
                "IX842",
                f"the outputs cannot be saved to {path!r}",
                found=f"{len(found)} outputs, {kind or 'no ending'}",
                expected=".npz, .json, or .npy for one output",
                fix="use another ending, or choose one output with --only",
            )
    except OSError as error:
        raise FileError(
            "IX840",
            f"{path!r} cannot be written",
            where=path,
            found=error.strerror or str(error),
            expected="a folder that exists and may be written to",
            fix="choose another path",
        ) from None


def _plain(value: Any) -> Any:
    """Plain data of an output: lists for arrays; NaN and infinities as JSON's common extensions."""
    if hasattr(value, "dtype"):
        return value.astype("float64").tolist() if value.dtype.kind == "V" else value.tolist()
    return value


def _table(name: str, value: Any) -> str:
    import numpy as np

    from interchange.dtypes import name_of

    if not isinstance(value, np.ndarray):
        return f"{name}:\n{value}"
    shape = ", ".join(map(str, value.shape))
    numbers = np.array2string(value, threshold=200, precision=6, suppress_small=True)
    return f"{name}: {name_of(value.dtype)}[{shape}]\n{numbers}"
