"""What the commands that ask a server share: its address, its token, its certificate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from interchange.errors import UsageError

if TYPE_CHECKING:
    from interchange.client import Client

_OPTIONS = (
    click.option("--version", default="", metavar="N", help="This version of the model; otherwise the server chooses."),
    click.option("--token-file", type=click.Path(dir_okay=False), help="The file with the token for the server."),
    click.option(
        "--ca-file", type=click.Path(dir_okay=False), help="Trust the certificates of this authority (https, PEM)."
    ),
)


def remote_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that asks a server: --version, --token-file, --ca-file."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def open_client(url: str, token_file: str | None, ca_file: str | None, **options: Any) -> Client:
    """A client. Raises UsageError IX680 for an address, a token or a certificate that is none, IX870."""
    from interchange.client import Client

    return Client(url, read_token(token_file), tls=None if ca_file is None else _trusting(ca_file), **options)


def read_token(path: str | None) -> str | None:
    """The token in a file: its text without the space around it. Raises UsageError IX680."""
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(1 << 16).strip()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, "a file with the token in it") from None


def _trusting(path: str) -> Any:
    import ssl

    try:
        return ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, "certificates in PEM form") from None


def _unreadable(path: str, error: Exception, expected: str) -> UsageError:
    return UsageError(
        "IX680",
        f"{path!r} cannot be read",
        where=path,
        found=str(getattr(error, "strerror", None) or error),
        expected=expected,
        fix="correct the path or the file",
    )
