"""The command line: one file for each command, imported when it is used; errors as text or JSON, never as a traceback.

Exit status: 0 good, 1 findings or a mismatch, 2 usage or an error that the user can repair, 3 a mistake of ours;
130 and 141 as the shell has them for Ctrl-C and for a reader that has gone.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches

import click

from interchange.cli.output import json_text, on_terminal
from interchange.errors import InterchangeError, printable

# command -> (file, what it does); the files are imported only when their command runs
COMMANDS = {
    "export": ("export", "Export a model to ONNX, prove it, and write it."),
    "check": ("check", "Find everything that is wrong with a model file."),
    "explain": ("explain", "Tell what an error code means."),
    "show": ("show", "Tell what a model file is."),
    "run": ("run_", "Run a model file on data."),
    "serve": ("serve", "Serve models over HTTP and gRPC."),
    "infer": ("infer", "Run a model behind a server on data."),
    "bench": ("bench", "Put load on servers or a model file, and tell how long the answers took."),
    "verify": ("verify", "Compare a model file with its source."),
    "diff": ("diff", "Tell in what two model files differ."),
    "targets": ("targets", "Tell which runtime releases load a model file, or run an operator."),
    "import": ("import_", "Read a model file as an eager model."),
    "schema": ("schema", "Show what an operator takes and gives."),
    "doctor": ("doctor", "Look whether everything that is needed is here and works."),
    "completion": ("completion", "Print a script for the shell's tab key."),
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"interchange.cli.{COMMANDS[cmd_name][0]}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            close = get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):  # without importing them
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from interchange import __version__

        click.echo(f"interchange {__version__}")
        ctx.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 good, 1 findings or a mismatch, 2 usage, 3 a mistake of interchange itself.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@click.option("--debug", is_flag=True, help="Show the traceback of a mistake of interchange itself.")
def cli(debug: bool) -> None:
    """Take a model from research to production: export, check, verify, run."""


def main(args: Sequence[str] | None = None) -> None:
    """The entry point. Exits."""
    sys.exit(run(sys.argv[1:] if args is None else args))


def run(args: Sequence[str]) -> int:
    """Run one command line; returns the exit status."""
    args = list(args)
    as_json = "--json" in args
    if args and args[-1] == "--debug":  # also after the command, where one adds it when something went wrong
        args = ["--debug", *args[:-1]]
    try:
        result = cli.main(args, prog_name="interchange", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except InterchangeError as error:
        _tell(error, as_json)
        return error.exit_code
    except click.ClickException as error:
        if as_json:
            click.echo(json_text({"error": {"code": "usage", "message": error.format_message()}}))
        else:
            error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return 130
    except SystemExit:  # click's answer when the reader of our output has gone: head, less
        return 141
    except (OSError, MemoryError) as error:  # a full disk under our output, no memory: nobody's mistake
        what = str(error) or "not enough memory"
        _say("system", f"the system refuses: {what}", as_json)
        return 2
    except Exception as error:  # whatever it is, it is our mistake, and no reader wants its traceback
        if "--debug" in args:
            raise
        what = f"{type(error).__name__}: {error}"
        _say("internal", f"interchange made a mistake: {what}", as_json)
        click.echo(
            "Please report it with the output of the same command with --debug, and of interchange doctor.", err=True
        )
        return 3


def _say(code: str, message: str, as_json: bool) -> None:
    if as_json:
        with suppress(OSError):  # it may be the output itself that is refused
            click.echo(json_text({"error": {"code": code, "message": message}}))
    else:
        click.echo(printable(message), err=True)


def _tell(error: InterchangeError, as_json: bool) -> None:
    if as_json:
        click.echo(json_text({"error": error.to_dict()}))
        return
    head, *rest = str(error).split("\n")
    if on_terminal(sys.stderr) and "NO_COLOR" not in os.environ:
        head = click.style(head, fg="red", bold=True)
        rest = [click.style(line[:12], fg="cyan") + line[12:] if line[2:3].isalpha() else line for line in rest]
    click.echo("\n".join([head, *rest]), err=True)
    for note in getattr(error, "__notes__", ()):
        click.echo(printable(note), err=True)


__all__ = ["COMMANDS", "cli", "main", "run"]
