"""A server as a tree of processes: started, waited for, measured from /proc, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from interchange.client.processes import cpu_seconds

_TICK = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found, waiting = [], [pid]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                waiting += map(int, children.read_text().split())
            except OSError:  # a thread that has ended
                continue
    return found


def used_seconds(pid: int) -> float:
    """User and system time of a tree, with that of its children which have ended."""
    used = cpu_seconds([pid])
    assert used is not None, f"process {pid} has ended"
    return used


def memory_mb(pid: int) -> float:
    """The proportional set size of a tree: what is shared counts in parts."""
    kb = 0
    for process in tree(pid):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        kb += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kb / 1024


def machine_seconds() -> float:
    """CPU time that all cores have spent on anything, the interrupts and what other machines stole included."""
    user, nice, system, _idle, _wait, *interrupts = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    return sum(map(int, (user, nice, system, *interrupts))) / _TICK


class Server:
    """A running server. http, grpc: its ports."""

    def __init__(self, name: str, command: list[str], log: Path, *, http: int, grpc: int = 0, **how: object) -> None:
        self.name, self.log, self.http, self.grpc = name, log, http, grpc
        with open(log, "wb") as file:
            self._process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True, **how
            )
        self.pid = self._process.pid

    def wait(self, path: str, seconds: float = 90) -> None:
        """Until GET answers with 200. Raises RuntimeError with the end of the log."""
        end = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"{self.name} did not start; the end of {self.log}:\n{self.log.read_text()[-1500:]}")

    def stop(self) -> None:
        """End it, gently first."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self._process.wait()
