"""The access log: one line of JSON for each answer. No header and no body is in it, so no secret is."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
import time
from time import perf_counter_ns

import orjson

from interchange.serving.configuration import ConfigurationError
from interchange.serving.listening import bad_file
from interchange.serving.observing import Exchange

_ATOMIC = 4096  # bytes: so much is written to a pipe in one piece, even where several processes write
_AT_ONCE = 1 << 20  # to a file, which is opened for appending
_log = logging.getLogger("interchange.serving")


class AccessLog:
    """Writes to a file, opened for appending, or to stderr for ``-``; lines of one turn of the loop together.

    dropped: lines that could not be written: a full disk stops no answer.
    """

    def __init__(self, target: str) -> None:
        """Raises ConfigurationError IX677 when the file cannot be opened."""
        self.target, self.dropped = target, 0
        self._lines: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._second, self._time = 0, ""
        self._most = _AT_ONCE
        self._file = self._opened()

    def finished(self, exchange: Exchange) -> None:
        """Note one answer: microseconds from the first byte of the request, sizes of the bodies."""
        entry = {
            "time": self._now(),
            "id": exchange.id,
            "protocol": exchange.protocol,
            "client": exchange.client,
            "method": exchange.method,
            "path": exchange.path,
            "model": exchange.model,
            "version": exchange.version,
            "status": exchange.status,
            "code": exchange.code,
            "received_bytes": exchange.received_bytes,
            "sent_bytes": exchange.sent_bytes,
            "us": (perf_counter_ns() - exchange.received) // 1000,
        }
        if not self._lines:
            self._loop.call_soon(self._write)
        self._lines.append(_line(entry))

    def reopen(self) -> None:
        """Go on in a new file after the old one was renamed."""
        self._write()
        try:
            file = self._opened()
        except ConfigurationError as error:
            _log.error("the access log goes on in the old file: %s", error.found)
            return
        self._shut()
        self._file = file

    def close(self) -> None:
        """Write what is left."""
        self._write()
        self._shut()

    def _opened(self) -> int:
        file = 2
        if self.target != "-":
            try:
                file = os.open(self.target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            except OSError as error:
                raise ConfigurationError([bad_file("access_log", f"{self.target}: {error.strerror}")]) from None
        self._most = _AT_ONCE if stat.S_ISREG(os.fstat(file).st_mode) else _ATOMIC
        return file

    def _shut(self) -> None:
        if self._file != 2:
            os.close(self._file)

    def _now(self) -> str:
        """The time, UTC, ISO 8601 with milliseconds."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._time = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._time}.{int((now - second) * 1000):03d}Z"

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        piece: list[bytes] = []
        size = 0
        for line in lines:
            if piece and size + len(line) > self._most:
                self._put(piece)
                piece, size = [], 0
            piece.append(line)
            size += len(line)
        if piece:
            self._put(piece)

    def _put(self, lines: list[bytes]) -> None:
        data = b"".join(lines)
        try:
            written = os.write(self._file, data)
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            if not self.dropped:
                _log.error("the access log cannot be written: %s", error.strerror)
            self.dropped += len(lines)


def _line(entry: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # half of a surrogate pair in a path: only as an escape is it text
        return json.dumps(entry).encode() + b"\n"
