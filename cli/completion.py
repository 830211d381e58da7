"""``interchange completion``: the script that makes the shell complete commands, options and files."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash:  eval "$(interchange completion bash)"      in ~/.bashrc
    zsh:   eval "$(interchange completion zsh)"       in ~/.zshrc
    fish:  interchange completion fish | source       in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    from interchange.cli import cli

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "interchange", "_INTERCHANGE_COMPLETE").source())
