"""``interchange serve``: models behind the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from interchange.serving.plain import hints, is_simple, meanings
from interchange.serving.settings import Settings


def _options(function: Callable[..., None]) -> Callable[..., None]:
    """An option for each setting of the server that fits on a command line. Values stay texts: the configuration
    reads them, and tells of all that is wrong at once."""
    for name, hint in reversed(hints(Settings).items()):
        if is_simple(hint):
            default = getattr(Settings, name)
            shown = "" if default is None else f"  [default: {_text(name, default)}]"
            meaning = meanings(Settings)[name].replace("None", '"none"')
            option = click.option(f"--{name.replace('_', '-')}", name, metavar="VALUE", help=meaning + shown)
            function = option(function)
    return function


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:#o}" if name.endswith("_mode") else f"{value:g}" if isinstance(value, float) else str(value)


@click.command("serve")
@click.argument("path", type=click.Path())
@click.option("--config", type=click.Path(), help="A TOML file with settings.")
@click.option("--token-file", metavar="FILE", help="The secret that requests must bring.")
@click.option("--admin-token-file", metavar="FILE", help="The secret of who may load and unload models.")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One setting as in TOML: models.iris.cache=100."
)
@_options
@click.option("--check", is_flag=True, help="Test the configuration, the models and the ports, and serve nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result of --check as JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    path: str,
    config: str | None,
    assignments: tuple[str, ...],
    check: bool,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Serve the model PATH, or the folder PATH of models, over HTTP and gRPC, until SIGTERM or Ctrl-C.

    Settings come from the flags, else from the environment (INTERCHANGE_SERVE_HTTP_PORT), else from the file of
    --config, else they are the defaults. "none" stands for nothing.

    When it is ready it prints one line of JSON with its addresses; everything else goes to stderr. After the signal it
    says that it is not ready, serves on for --drain-seconds, answers what is under way, and ends with status 0. SIGHUP
    reads the configuration and the folder again.

    \b
    interchange serve models/ --http-port 8000 --grpc-port 8001
    interchange serve iris.onnx --http-port 0 --grpc-port none
    interchange serve models/ --config serve.toml --check
    """
    import os

    from interchange.serving.configuration import configure

    given = {name: value for name, value in flags.items() if value is not None}

    def read() -> Settings:
        return configure(config, os.environ, given, assignments)

    settings = read()
    if check:
        from interchange.cli.output import emit, progress
        from interchange.serving.rehearsal import rehearse

        with progress(f"checking {path}"):
            found = rehearse(path, settings)
        emit(found.to_dict(), as_json, str(found))
        ctx.exit(0 if found.ok else 1)
    import asyncio

    from interchange.cli.output import json_text
    from interchange.serving.workers.supervisor import Supervisor, log_to_stderr

    def ready(about: dict[str, Any]) -> None:
        click.echo(json_text(about, indent=None))

    log_to_stderr()

    async def serve() -> int:
        return await Supervisor(path, settings, on_ready=ready, read_settings=read).run()

    ctx.exit(asyncio.run(serve()))
