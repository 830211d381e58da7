"""``interchange bench``: load on servers or on a model file, and how it was answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from interchange.cli.remote import remote_options
from interchange.errors import UsageError

if TYPE_CHECKING:
    from interchange.client.measurements import Measurement

Measure = Callable[..., "Measurement"]  # of so many `seconds`


@click.command("bench")
@click.argument("target", metavar="URL|FILE.onnx")
@click.argument("model", required=False)
@click.option("--data", type=click.Path(), help="The inputs, as a .npz, .npy, .json or .csv file.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=FILE|JSON", help="One input; otherwise random ones.")
@click.option("--rows", default=1, type=click.IntRange(min=1), show_default=True, help="Rows of random inputs.")
@click.option("--clients", default=16, type=click.IntRange(1, 4096), show_default=True, help="Connections, or threads.")
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    help="Requests a second, sent when they are due and timed from then; otherwise each client waits for its answer.",
)
@click.option("--seconds", default=5.0, type=click.FloatRange(0.1, 86400), show_default=True, help="Of each target.")
@click.option("--warm-up", default=0.5, type=click.FloatRange(0, 3600), show_default=True, help="Seconds before.")
@click.option("--rounds", type=click.IntRange(1, 100), help="Measure in turn so often; 3 for several targets.")
@click.option("--compare", multiple=True, metavar="URL|FILE.onnx", help="Also this, side by side; several times.")
@click.option(
    "--binary/--no-binary", default=None, help="Tensors as bytes, or as JSON; otherwise as the server offers."
)
@click.option("--grpc", metavar="HOST:PORT", help="Put the load on this gRPC port of the (first) server instead.")
@click.option("--pid", "pids", multiple=True, type=int, help="The server's process; otherwise it is looked for.")
@remote_options
@click.option("--picture", type=click.Path(dir_okay=False), help="Draw latency and throughput: .svg or .html.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def command(
    target: str,
    model: str | None,
    data: str | None,
    inputs: tuple[str, ...],
    rows: int,
    clients: int,
    rate: float | None,
    seconds: float,
    warm_up: float,
    rounds: int | None,
    compare: tuple[str, ...],
    binary: bool | None,
    grpc: str | None,
    pids: tuple[int, ...],
    version: str,
    token_file: str | None,
    ca_file: str | None,
    picture: str | None,
    as_json: bool,
) -> None:
    """Ask MODEL of the server at URL again and again, and tell how long the answers took; or run FILE.onnx here.

    Times are told as percentiles, beside the processor time of both sides where the server runs on this machine.
    Status 1 if anything was not answered.

    \b
    interchange bench http://127.0.0.1:8000 iris --clients 16 --picture load.svg
    interchange bench http://127.0.0.1:8000 iris --rate 2000 --compare http://127.0.0.1:9000 --compare iris.onnx
    """
    from interchange.cli.output import emit, progress
    from interchange.client import pictures
    from interchange.client.rounds import compare as in_rounds

    names = [target, *compare]
    asked = _Asked(model, data, inputs, rows, clients, rate, warm_up, binary, version, token_file, ca_file)
    with ExitStack() as stack, progress("measuring"):
        measures: dict[str, Measure] = {}
        for number, name in enumerate(names):
            known = frozenset(() if number else pids)
            if name.endswith(".onnx"):
                measures[name] = asked.of_file(name)
            elif grpc is not None and not number:
                measures[f"grpc://{grpc}"] = asked.of_grpc(name, grpc, stack, known)
            else:
                measures[name] = asked.of_server(name, stack, known)
        results = in_rounds(measures, seconds, rounds or (3 if len(names) > 1 else 1))
    if picture is not None:
        pictures.save(results, picture, asked.title(seconds))
    text = [asked.title(seconds), "", pictures.table(results)]
    if len(results) == 1:
        text += ["", pictures.histogram(results[0])]
    emit({"title": asked.title(seconds), "targets": [r.figures() for r in results]}, as_json, "\n".join(text))
    if any(r.errors for r in results):
        click.get_current_context().exit(1)


class _Asked:
    """What is asked of every target."""

    def __init__(
        self,
        model: str | None,
        data: str | None,
        inputs: tuple[str, ...],
        rows: int,
        clients: int,
        rate: float | None,
        warm_up: float,
        binary: bool | None,
        version: str,
        token_file: str | None,
        ca_file: str | None,
    ) -> None:
        self.model, self.data, self.inputs, self.rows, self.binary = model, data, inputs, rows, binary
        self.clients, self.rate, self.warm_up = clients, rate, warm_up
        self.version, self.token_file, self.ca_file = version, token_file, ca_file

    def title(self, seconds: float) -> str:
        loop = f"{self.rate:g} requests a second" if self.rate else f"{self.clients} clients, each waits for its answer"
        return f"{self.model or 'a model file'}: {loop}, {seconds:g} s"

    def _given(self, specs: Mapping[str, Any]) -> dict[str, Any]:
        from interchange.cli import data as files

        given = {} if self.data is None else files.read_data(self.data, specs)
        for text in self.inputs:
            given |= files.one_input(text, specs)
        return given

    def of_file(self, path: str) -> Measure:
        from interchange.client.load_local import measure_model
        from interchange.client.targets import random_inputs
        from interchange.runtime import load

        if self.rate is not None:
            raise UsageError(
                "IX873",
                "a model file is not run at a rate",
                found=f"--rate {self.rate:g} and {path}",
                expected="--rate with servers only",
                fix="leave --rate out: the file is run again and again by --clients threads",
            )
        model = load(path)
        given = self._given(model.inputs)
        needed = [s for s in model.inputs.values() if not s.optional]
        inputs = [given] if given else [random_inputs(needed, self.rows, seed) for seed in range(16)]
        return partial(measure_model, model, inputs, clients=self.clients, warm_up=self.warm_up)

    def of_server(self, url: str, stack: ExitStack, pids: frozenset[int]) -> Measure:
        from interchange.cli.remote import open_client
        from interchange.client.load import measure
        from interchange.client.targets import target_of

        model = self._need_model(url)
        client = stack.enter_context(open_client(url, self.token_file, self.ca_file))
        given = self._given(client.inputs(model, self.version))
        target = target_of(
            client, model, given, version=self.version, rows=self.rows, binary=self.binary, pids=pids or None
        )
        return partial(measure, target, clients=self.clients, rate=self.rate, warm_up=self.warm_up)

    def of_grpc(self, url: str, address: str, stack: ExitStack, pids: frozenset[int]) -> Measure:
        from interchange.cli.remote import open_client, read_token
        from interchange.client.load_grpc import infer_message, measure_grpc
        from interchange.client.processes import server_pids
        from interchange.client.targets import random_inputs

        model = self._need_model(url)
        client = stack.enter_context(open_client(url, self.token_file, self.ca_file))
        specs = client.inputs(model, self.version)
        given = self._given(specs) or random_inputs(specs.values(), self.rows)
        arrays = client.arrays(model, given, version=self.version)
        return partial(
            measure_grpc,
            address,
            [infer_message(model, self.version, arrays)],
            token=read_token(self.token_file),
            clients=self.clients,
            rate=self.rate,
            warm_up=self.warm_up,
            pids=pids or server_pids(client.address),
        )

    def _need_model(self, url: str) -> str:
        if self.model is None:
            raise UsageError(
                "IX873",
                "the command does not say which model",
                found=url,
                expected="a URL and the name of a model, or a file that ends in .onnx",
                fix=f"interchange bench {url} MODEL",
            )
        return self.model
