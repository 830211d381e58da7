"""The processor time of a server on this machine, from Linux's /proc: whose its socket is, and what they have used."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from interchange.client.addresses import Address

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_LISTEN = "0A"  # the state of a TCP socket that listens
_LOCAL = ("127.0.0.1", "localhost", "::1")


def server_pids(address: Address) -> set[int]:
    """The processes that listen at an address of this machine, as far as they may be seen; none elsewhere."""
    if address.socket:
        sockets = {row[6] for row in _table("unix") if len(row) > 7 and row[7] == address.socket}
    elif address.host in _LOCAL:
        rows = (row for name in ("tcp", "tcp6") for row in _table(name))
        sockets = {
            r[9] for r in rows if len(r) > 9 and r[3] == _LISTEN and int(r[1].rpartition(":")[2], 16) == address.port
        }
    else:
        sockets = set()
    wanted = {f"socket:[{inode}]" for inode in sockets - {"0"}}
    return {pid for pid in _pids() if _holds(pid, wanted)} if wanted else set()


def cpu_seconds(roots: Iterable[int]) -> float | None:
    """What these processes and all that descend from them have used until now; None when one of them has gone."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for pid in _pids():
        try:
            # behind the name, which is in parentheses and may hold anything: state, parent, ...
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
        except OSError:
            continue  # it has gone meanwhile
        parents[pid] = int(fields[1])
        ticks[pid] = sum(map(int, fields[11:15]))  # user, system, and those of children that ended
    roots = set(roots)
    if not roots or not roots <= ticks.keys():
        return None
    return sum(used for pid, used in ticks.items() if _descends(pid, roots, parents)) / _TICKS


def _descends(pid: int, roots: set[int], parents: dict[int, int]) -> bool:
    while pid not in roots:
        if pid not in parents:
            return False
        pid = parents[pid]
    return True


def _pids() -> Iterator[int]:
    try:
        names = os.listdir("/proc")
    except OSError:
        return  # another system than Linux
    yield from (int(n) for n in names if n.isdecimal())


def _table(name: str) -> list[list[str]]:
    try:
        lines = Path(f"/proc/net/{name}").read_text(encoding="latin-1").splitlines()
    except OSError:
        return []
    return [line.split() for line in lines[1:]]


def _holds(pid: int, sockets: set[str]) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        return any(os.readlink(f"{folder}/{name}") in sockets for name in os.listdir(folder))
    except OSError:
        return False  # another user's, or gone
