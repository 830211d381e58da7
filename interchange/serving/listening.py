"""Sockets that a server listens at, and what keeps it from doing so, told before anything else has begun."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import stat
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from interchange.errors import InterchangeError, UsageError
from interchange.serving.configuration import ConfigurationError
from interchange.serving.settings import Settings

_REASONS = {
    errno.EADDRINUSE: "another process listens there",
    errno.EACCES: "not allowed for this user",
    errno.EADDRNOTAVAIL: "no address of this machine",
}


def bind(host: str, port: int, *, count: int = 1, what: str = "http_port") -> list[socket.socket]:
    """Sockets bound to one address; port 0 chooses a free one. Several share it: the kernel spreads connections.

    what: the setting, for the error.  Raises ConfigurationError IX676.
    """
    made: list[socket.socket] = []
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:  # sharing would also let us in beside a stranger
            _bind(probe, address)
        for _ in range(count):
            sock = socket.socket(family, kind, protocol)
            made.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            _bind(sock, address)
            sock.setblocking(False)
            address = (address[0], sock.getsockname()[1], *address[2:])
    except OSError as error:
        for sock in made:
            sock.close()
        raise cannot_listen(f"{_bracketed(host)}:{port}", what, error) from None
    return made


def _bind(sock: socket.socket, address: Any) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(address)


def address_of(host: str, port: int) -> str:
    """``127.0.0.1:8000``, ``[::1]:8000``."""
    return f"{_bracketed(host)}:{port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def bind_unix(path: Path, mode: int) -> socket.socket:
    """A listening socket at a path, with these permissions. One that a server left behind is replaced.

    Raises ConfigurationError IX676 where a server listens, or where something else lies.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _require_free(path)
        sock.bind(str(temporary))
        os.chmod(temporary, mode)
        sock.listen(1024)
        sock.setblocking(False)
        os.replace(temporary, path)  # it appears when it works, with its permissions
    except OSError as error:
        sock.close()
        with suppress(OSError):
            temporary.unlink()
        raise cannot_listen(str(path), "uds", error) from None
    return sock


def require_free(path: Path) -> None:
    """Raises ConfigurationError IX676 where a socket cannot be put."""
    try:
        _require_free(path)
    except OSError as error:
        raise cannot_listen(str(path), "uds", error) from None


def _require_free(path: Path) -> None:
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {path.parent}")
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "there is something else, which is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return  # nobody is there any more
    raise OSError(errno.EADDRINUSE, "")


def remove_unix(path: Path) -> None:
    """Remove the path of a socket that is closed, unless another server has taken it meanwhile."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


def cannot_listen(where: str, what: str, error: OSError) -> ConfigurationError:
    """IX676. where: the address or path.  what: the setting."""
    reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
    problem = InterchangeError(
        "IX676",
        "the server cannot listen there",
        where=what,
        found=f"{where}: {reason}",
        expected="an address of this machine that is free, and may be used",
        fix="stop the other server, or choose another path"
        if what == "uds"
        else f"stop the other server, or choose another {what}; 0 takes a free one",
    )
    return ConfigurationError([problem])


def tls_files(settings: Settings) -> tuple[bytes, bytes] | None:
    """The certificate chain and its key, PEM. Raises ConfigurationError IX677 for files that are not there or not
    that."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return None
    tls_context(settings)
    return certificate.read_bytes(), key.read_bytes()


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """What the HTTP door speaks TLS with, 1.2 at least. Raises ConfigurationError IX677 as `tls_files` does."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return None
    problems = []
    for what, path in (("tls_certificate", certificate), ("tls_key", key)):
        try:
            path.open("rb").close()
        except OSError as error:
            problems.append(bad_file(what, f"{path}: {error.strerror}"))
    if not problems:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
            return context
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or str(error)
            problems.append(bad_file("tls_certificate", f"{certificate.name} and {key.name}: {reason}"))
    raise ConfigurationError(problems)


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def bad_file(what: str, found: str) -> InterchangeError:
    """IX677. what: the setting."""
    return InterchangeError(
        "IX677",
        "a file of the configuration cannot be used",
        where=what,
        found=found,
        expected="a certificate chain and the key that belongs to it, both PEM, the key without a password"
        if what.startswith("tls")
        else "a file that the server may read",
        fix="correct the path, or let the server's user read the file",
    )


def require_files(settings: Settings) -> list[InterchangeError]:
    """IX677 for each file that the settings name and that cannot be read."""
    named = [(f"pipelines.{n}", p) for n, p in settings.pipelines.items()]
    named += [(f"models.{n}.sample", m.sample) for n, m in settings.models.items() if m.sample is not None]
    named += [("defaults.sample", settings.defaults.sample)] if settings.defaults.sample is not None else []
    problems = []
    for what, path in named:
        try:
            path.open("rb").close()
        except OSError as error:
            problems.append(bad_file(what, f"{path}: {error.strerror}"))
    try:
        tls_context(settings)
    except ConfigurationError as error:
        problems += error.problems
    if settings.access_log not in (None, "-"):
        assert settings.access_log is not None
        folder = Path(settings.access_log).absolute().parent
        if not os.access(folder, os.W_OK):
            problems.append(bad_file("access_log", f"{folder}: nothing can be written there"))
    return problems


def require_packages(settings: Settings) -> None:
    """Raises UsageError IX860 for the packages that a server with these settings needs and that are not installed."""
    needed = ["orjson", "httptools"]
    needed += ["grpc", "grpc_health", "grpc_reflection"] if settings.grpc_port is not None else []
    missing = [name for name in needed if not _is_there(name)]
    if missing:
        raise UsageError(
            "IX860",
            "the server needs packages that are not installed",
            found=f"no {', '.join(missing)}",
            expected="pip install 'interchange[serve]'",
            fix="install them" + ("; --grpc-port none serves HTTP alone" if "grpc" in missing else ""),
        )


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # it was taken out of sys.modules
        return False


def event_loop() -> Any:
    """The module whose `run` runs a server: uvloop, or asyncio where it is not installed."""
    try:
        import uvloop
    except ImportError:
        import asyncio

        return asyncio
    return uvloop
