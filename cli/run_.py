"""``interchange run``: a model on data from files or the command line."""

from __future__ import annotations

import click


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
    from interchange.cli import data as files
    from interchange.cli.output import emit, progress
    from interchange.runtime import InputsError, load

    with progress(f"loading {path}"):
        model = load(path, threads=threads)
    feeds = {} if data is None else files.read_data(data, model.inputs)
    for text in inputs:
        feeds |= files.one_input(text, model.inputs)
    try:
        found = model.run(feeds, outputs=list(only) or None)
    except InputsError as error:
        error.where = path  # there is no line of the user's to point at
        raise
    if output is not None:
        files.save(found, output)
    text = "\n".join(files.table(n, v) for n, v in found.items())
    plain = {n: files.plain(v) for n, v in found.items()} if as_json else None
    emit(plain, as_json, f"wrote {output}: {', '.join(found)}" if output else text)
