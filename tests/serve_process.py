"""A real ``interchange serve`` in a process of its own, for tests."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

INFER = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}


class Serving:
    """ready: the line that it printed.  errors: what it has said so far."""

    def __init__(self, args, environment):
        self.errors = ""
        self.headers = {}  # of every request
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "interchange", "serve", *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        line = self.process.stdout.readline()
        if not line:
            self.reader.join(10)
            raise AssertionError(f"it did not start: {self.process.wait(10)}\n{self.errors}")
        self.ready = json.loads(line)

    def read(self):
        for line in self.process.stderr:
            with self.changed:
                self.errors += line
                self.changed.notify_all()

    def said(self, text, seconds=30, after=0):
        """Wait until it has said so."""
        with self.changed:
            found = self.changed.wait_for(lambda: text in self.errors[after:], seconds)
        assert found, f"{text!r} is not in what it said:\n{self.errors}"

    # -- requests -----------------------------------------------------------------------------------------------------
    @property
    def address(self):
        return urlsplit(self.ready["http"]).hostname, urlsplit(self.ready["http"]).port

    def get(self, path, **headers):
        """(status, body)."""
        return self.ask("GET", path, None, headers)

    def ask(self, method, path, body=None, headers=None, connection=None):
        one = connection or http.client.HTTPConnection(*self.address, timeout=30)
        try:
            one.request(method, path, None if body is None else json.dumps(body), {**self.headers, **(headers or {})})
            response = one.getresponse()
            return response.status, response.read()
        finally:
            if connection is None:
                one.close()

    def infer(self, model="double", **headers):
        status, body = self.ask("POST", f"/v2/models/{model}/infer", INFER, headers)
        assert status == 200, body
        return json.loads(body)["outputs"][0]["data"]

    def metrics(self):
        """name{labels} -> value."""
        status, text = self.get("/metrics")
        assert status == 200, text
        lines = (line.rpartition(" ") for line in text.decode().splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    # -- processes ----------------------------------------------------------------------------------------------------
    def workers(self):
        """The numbers of the worker processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def wait_for_workers(self, good, seconds=60):
        """Wait until `good(pids)`, and that each of them serves."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pids = self.workers()
            if good(pids) and self.metrics()["interchange_workers"] == len(pids):
                return pids
            time.sleep(0.05)
        raise AssertionError(f"{self.workers()}\n{self.errors}")

    def send(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        """Its status."""
        self.process.send_signal(number)
        return self.process.wait(40)


@contextmanager
def serving(source, *args, environment=None):
    """A running server; ports are free ones unless they are given."""
    ports = [o for o, v in (("--http-port", "0"), ("--grpc-port", "none")) if o not in args for o in (o, v)]
    found = Serving([source, *ports, *args], environment or {})
    try:
        yield found
    finally:
        for pid in [*found.workers(), found.process.pid] if found.process.poll() is None else []:
            os.kill(pid, signal.SIGKILL)
        found.process.wait(10)
        found.process.stdout.close()
        found.reader.join(10)
        found.process.stderr.close()


class Load:
    """Clients that ask without a pause, over connections that they keep unless the answer says otherwise.

    A request on a connection that was closed before a byte of the answer came, after it had been used before, is sent
    again on a new one, once, as every HTTP client does. Everything else that is no answer is a failure.
    """

    def __init__(self, server, clients=4, model="double"):
        self.server, self.model = server, model
        self.answers, self.failures, self.again, self.closes = 0, [], 0, 0
        self.running = True
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.running = False
        for thread in self.threads:
            thread.join(60)

    def run(self):
        connection, used = None, False
        while self.running:
            if connection is None:
                connection, used = http.client.HTTPConnection(*self.server.address, timeout=30), False
            try:
                connection.request("POST", f"/v2/models/{self.model}/infer", json.dumps(INFER))
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                connection = None
                with self.lock:
                    if used and isinstance(error, http.client.RemoteDisconnected | ConnectionError):
                        self.again += 1
                    else:
                        self.failures.append(repr(error))
                continue
            with self.lock:
                self.answers += 1
                if response.status != 200:
                    self.failures.append(f"{response.status} {body[:300]!r}")
            used = True
            if response.will_close:
                with self.lock:
                    self.closes += 1
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def more(self, count=50, seconds=30):
        """Wait for so many answers more."""
        goal, end = self.answers + count, time.monotonic() + seconds
        while self.answers < goal:
            assert time.monotonic() < end, (self.answers, goal, self.failures, self.server.errors)
            time.sleep(0.01)
