"""``interchange infer``: a model behind a server, on data from files or the command line."""

from __future__ import annotations

import click

from interchange.cli.remote import remote_options


@click.command("infer")
@click.argument("url")
@click.argument("model")
@click.argument("data", required=False, type=click.Path())
@click.option(
    "--input", "inputs", multiple=True, metavar="NAME=FILE|JSON", help="One input: x=data.npy, x='[[1, 2, 3]]'."
)
@click.option("--output", type=click.Path(dir_okay=False), help="Save the outputs to this .npz, .npy or .json file.")
@click.option("--only", multiple=True, metavar="NAME", help="Ask only for this output; several times for more.")
@remote_options
@click.option(
    "--timeout", default=60.0, type=click.FloatRange(0, min_open=True), show_default=True, help="Seconds, in all."
)
@click.option(
    "--binary/--no-binary", default=None, help="Tensors as bytes, or as JSON; otherwise as the server offers."
)
@click.option("--json", "as_json", is_flag=True, help="Print the outputs as JSON.")
def command(
    url: str,
    model: str,
    data: str | None,
    inputs: tuple[str, ...],
    output: str | None,
    only: tuple[str, ...],
    version: str,
    token_file: str | None,
    ca_file: str | None,
    timeout: float,
    binary: bool | None,
    as_json: bool,
) -> None:
    """Ask the server at URL to run MODEL on DATA, a .npz, .npy, .json or .csv file, or on each --input.

    URL is http://host:port, https://host:port or unix:///path/to/socket. Data is read as `interchange run` reads it.

    \b
    interchange infer http://127.0.0.1:8000 iris flowers.csv
    interchange infer http://127.0.0.1:8000 iris --input x='[[5.1, 3.5, 1.4]]' --json
    """
    from interchange.cli import data as files
    from interchange.cli.output import emit, progress
    from interchange.cli.remote import open_client
    from interchange.runtime import InputsError

    with open_client(url, token_file, ca_file, timeout=timeout) as client, progress(f"asking {url}"):
        specs = client.inputs(model, version)
        feeds = {} if data is None else files.read_data(data, specs)
        for text in inputs:
            feeds |= files.one_input(text, specs)
        try:
            found = client.infer(model, feeds, version=version, outputs=list(only) or None, binary=binary)
        except InputsError as error:
            error.where = f"{client.address} model {model}"  # there is no line of the user's to point at
            raise
    if output is not None:
        files.save(found, output)
    text = "\n".join(files.table(n, v) for n, v in found.items())
    plain = {n: files.plain(v) for n, v in found.items()} if as_json else None
    emit(plain, as_json, f"wrote {output}: {', '.join(found)}" if output else text)
