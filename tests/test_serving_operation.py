"""Running a server: the ready line, signals, TLS, Unix sockets, --check, the access log, traces."""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from contextlib import closing, suppress
from pathlib import Path

import pytest
from serve_process import INFER, Load, serving
from serving import scaled, spinning

from interchange.serving import Server
from interchange.serving.listening import bind_unix, remove_unix
from interchange.serving.observing import Exchange, request_id

SECRET = "a-secret-of-these-tests"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    scaled(folder / "double.onnx")
    spinning(folder / "slow.onnx")
    return folder


def run(*args, **environment):
    """(status, stdout, stderr) of a command that ends by itself."""
    done = subprocess.run(
        [sys.executable, "-m", "interchange", "serve", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout, done.stderr


def slow_request(turns):
    return {"inputs": [{"name": "n", "shape": [1], "datatype": "INT64", "data": [turns]}]}


class InFlight:
    """A request of some seconds, sent and not answered yet."""

    def __init__(self, server, turns=300_000):
        self.connection = http.client.HTTPConnection(*server.address, timeout=60)
        self.connection.request("POST", "/v2/models/slow/infer", json.dumps(slow_request(turns)))
        while not server.metrics()['interchange_runs{model="slow",version="1"}']:
            pass

    def answer(self):
        with closing(self.connection):
            response = self.connection.getresponse()
            return response.status, response.getheader("connection"), response.read()


# -- the ready line ----------------------------------------------------------------------------------------------------
def test_the_ready_line_tells_everything_and_nothing_else_is_on_stdout(models, tmp_path):
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    (folder / "broken.onnx").write_bytes(b"no model")
    uds = tmp_path / "s.sock"
    with serving(folder, "--grpc-port", "0", "--uds", uds) as server:
        ready = dict(server.ready)
        assert ready.pop("http").startswith("http://127.0.0.1:")
        assert ready.pop("grpc").startswith("127.0.0.1:")
        assert ready.pop("unavailable")["broken"].startswith("IX302")
        assert ready == {
            "ready": True, "uds": str(uds), "models": ["double", "slow"], "workers": 1, "pid": server.process.pid,
        }  # fmt: skip
        assert server.stop() == 0
        assert server.process.stdout.read() == ""
        assert not uds.exists()


# -- the end -----------------------------------------------------------------------------------------------------------
def test_sigterm_is_not_ready_at_once_serves_on_while_it_drains_and_answers_what_is_under_way(models):
    with serving(models, "--drain-seconds", "1.5") as server:
        request = InFlight(server)
        server.send(signal.SIGTERM)
        while server.get("/v2/health/ready")[0] == 200:
            pass
        assert server.get("/v2/health/ready") == (503, b'{"ready":false}')
        assert server.get("/v2/health/live")[0] == 200
        assert server.infer() == [2, 4, 6]  # on a new connection
        status, connection, _ = request.answer()
        assert (status, connection) == (200, "close")
        assert server.process.wait(40) == 0


def test_grpc_says_so_as_well_and_serves_on(models):
    grpc = pytest.importorskip("grpc")
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
    from grpc_health.v1.health_pb2_grpc import HealthStub

    flags = ("--http-port", "none", "--grpc-port", "0", "--drain-seconds", "1.5", "--workers", "2")
    with serving(models, *flags) as server, grpc.insecure_channel(server.ready["grpc"]) as channel:
        assert HealthStub(channel).Check(HealthCheckRequest(), timeout=30).status == HealthCheckResponse.SERVING
        server.send(signal.SIGTERM)
        while HealthStub(channel).Check(HealthCheckRequest(), timeout=30).status == HealthCheckResponse.SERVING:
            pass
        live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        assert live(b"", timeout=30) == b"\x08\x01"  # live: true
        assert server.process.wait(40) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_without_a_drain_it_still_answers_what_is_under_way(models, number):
    with serving(models) as server:
        request = InFlight(server)
        server.send(number)
        assert request.answer()[0] == 200
        assert server.process.wait(40) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(server.address)


def test_connections_that_wait_when_the_end_comes_are_answered(models):
    with serving(models) as server:
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)  # it accepts nothing
        waiting = []
        for _ in range(20):
            connection = http.client.HTTPConnection(*server.address, timeout=60)
            connection.request("POST", "/v2/models/double/infer", json.dumps(INFER))
            waiting.append(connection)
        server.send(signal.SIGTERM)
        while listens(server):
            pass  # the supervisor lets go of its sockets, then it tells the worker
        os.kill(worker, signal.SIGCONT)
        for connection in waiting:
            with closing(connection):
                assert connection.getresponse().status == 200
        assert server.process.wait(40) == 0


def listens(server):
    """Whether the supervisor still holds the socket of its port."""
    inodes = {
        f"socket:[{fields[9]}]"
        for fields in (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
        if fields[1].endswith(f":{server.address[1]:04X}") and fields[3] == "0A"
    }
    held = set()
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(OSError):
            held.add(os.readlink(link))
    return bool(inodes & held)


def test_what_takes_longer_than_it_may_is_ended_and_told(models):
    with serving(models, "--stop-seconds", "0.2") as server:
        request = InFlight(server, 10**12)
        server.send(signal.SIGTERM)
        with pytest.raises((http.client.HTTPException, OSError)):
            request.answer()
        assert server.process.wait(40) == 1
        server.said("not answered")


def test_a_second_signal_stops_at_once(models):
    with serving(models, "--drain-seconds", "1000", "--stop-seconds", "1000") as server:
        request = InFlight(server, 10**12)
        server.send(signal.SIGTERM)
        server.said("draining")
        server.send(signal.SIGTERM)
        assert server.process.wait(60) == 1
        with pytest.raises((http.client.HTTPException, OSError)):
            request.answer()


def test_what_a_terminal_or_a_service_manager_sends_to_all_processes_is_left_to_the_supervisor(models):
    with serving(models) as server:
        (worker,) = server.workers()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(worker, number)
        assert server.infer() == [2, 4, 6]
        assert server.workers() == [worker]
        assert server.stop() == 0
        assert "gone" not in server.errors


def test_a_server_whose_supervisor_is_killed_ends(models):
    with serving(models) as server:
        (worker,) = server.workers()
        server.process.kill()
        server.process.wait()
        while lives(worker):
            pass


def lives(pid):
    """Whether a process has not ended; nobody may have waited for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_rolling_restart_loses_no_request(models):
    """Two servers, one after the other, and clients that go where it is ready, as behind a load balancer."""
    with serving(models, "--drain-seconds", "1") as old, serving(models) as new:
        with Load(old) as load:
            load.more(50)
            old.send(signal.SIGTERM)
            old.said("draining")
            load.server = new  # new connections go there; those that are kept end when the old one says so
            assert old.process.wait(40) == 0
            load.more(50)
        assert load.failures == []
        assert load.closes >= len(load.threads)
        assert load.again == 0


def test_a_script_can_do_what_the_command_does(models, tmp_path):
    path = tmp_path / "s.sock"
    script = f"""
import sys
from pathlib import Path
from interchange.serving import Server
sys.exit(Server({str(models)!r}, http_port=None, grpc_port=None, uds=Path({str(path)!r})).run())
"""
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        while not path.exists():
            assert process.poll() is None
        assert ask_unix(path) == [2, 4, 6]
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
    finally:
        process.kill()
        process.wait()


# -- SIGHUP ------------------------------------------------------------------------------------------------------------
def test_sighup_reads_the_configuration_and_the_folder_again(models, tmp_path):
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    config, token = tmp_path / "serve.toml", tmp_path / "token"
    config.write_text("watch_seconds = 'none'\ndrain_seconds = 0\n")
    token.write_text(SECRET)
    with serving(folder, "--config", config) as server:
        with Load(server, clients=2) as load:
            load.more(20)
            scaled(folder / "triple.onnx", by=3)
            server.send(signal.SIGHUP)
            server.said("no setting has changed")
            assert server.infer("triple") == [3, 6, 9]
            config.write_text("watch_seconds = 'none'\nworkers = 5\n[models.double]\nmax_queue = 7\n")
            server.send(signal.SIGHUP)
            server.said("workers changes with the next start only")
            server.said("reloaded: models")
            batching = json.loads(server.get("/v2/models/double/config")[1])["dynamic_batching"]
            assert batching["default_queue_policy"]["max_queue_size"] == 7
            load.more(20)
        assert load.failures == []
        config.write_text("watch_seconds = 'none'\n[[tokens]]\nsecret_file = 'token'\nmodels = ['double']")
        server.send(signal.SIGHUP)
        server.said("reloaded: models, tokens")
        assert server.get("/v2/models/double")[0] == 401
        server.headers = {"Authorization": f"Bearer {SECRET}"}
        assert server.infer() == [2, 4, 6]
        assert server.get("/v2/models/triple")[0] == 403
        config.write_text("watch_seconds = -1")
        server.send(signal.SIGHUP)
        server.said("the settings stay what they are")
        server.said("IX673")
        assert server.infer() == [2, 4, 6]


def test_what_a_worker_cannot_change_comes_with_a_new_worker_and_loses_no_request(models, tmp_path):
    config = tmp_path / "serve.toml"
    config.write_text("max_body = 1000000\nwatch_seconds = 'none'\n")
    with serving(models, "--config", config, "--workers", "2") as server:
        before = server.workers()
        with Load(server) as load:
            load.more(50)
            config.write_text("max_body = 500\nwatch_seconds = 'none'\n")
            server.send(signal.SIGHUP)
            server.said("with new workers", 60)
            load.more(50)
        assert load.failures == []
        assert load.again == 0
        assert not set(before) & set(server.workers())
        body = {"inputs": [{"name": "x", "shape": [100, 3], "datatype": "FP32", "data": [1.5] * 300}]}
        assert server.ask("POST", "/v2/models/double/infer", body)[0] == 413


# -- ports, sockets, TLS -----------------------------------------------------------------------------------------------
def test_a_port_in_use_is_told_before_a_model_is_loaded(models):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for flags in (("--http-port", port, "--grpc-port", "none"), ("--http-port", 0, "--grpc-port", port)):
            status, out, errors = run(models, *flags)
            assert (status, out) == (2, "")
            assert "IX676" in errors
            assert "ready" not in errors
            assert "Traceback" not in errors


def test_two_servers_do_not_share_a_port_by_accident(models):
    with serving(models, "--workers", "2") as server:
        status, _, errors = run(models, "--http-port", server.address[1], "--grpc-port", "none")
        assert status == 2
        assert "another process listens there" in errors


def ask_unix(path):
    with closing(http.client.HTTPConnection("localhost", timeout=30)) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(path))
        connection.request("POST", "/v2/models/double/infer", json.dumps(INFER))
        return json.loads(connection.getresponse().read())["outputs"][0]["data"]


def test_a_unix_socket_with_permissions_shared_by_workers(models, tmp_path):
    path = tmp_path / "s.sock"
    flags = ("--uds", path, "--uds-mode", "0o660", "--http-port", "none", "--workers", "2")
    with serving(models, *flags) as server:
        assert server.ready["http"] is None
        assert path.stat().st_mode & 0o777 == 0o660
        for _ in range(5):
            assert ask_unix(path) == [2, 4, 6]
        status, _, errors = run(models, *flags[:2], "--http-port", "none", "--grpc-port", "none")
        assert status == 2
        assert "IX676" in errors
        os.kill(server.process.pid, signal.SIGKILL)  # it leaves its path behind
        server.process.wait()
    with serving(models, *flags) as server:
        assert ask_unix(path) == [2, 4, 6]


def test_what_is_no_socket_is_not_replaced(models, tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    status, _, errors = run(models, "--uds", path, "--http-port", "none", "--grpc-port", "none")
    assert status == 2
    assert "no socket" in errors
    assert path.read_text() == "data"


def test_the_socket_of_another_server_is_not_removed(tmp_path):
    path = tmp_path / "s.sock"
    bind_unix(path, 0o600).close()
    with bind_unix(path, 0o600):
        remove_unix(path)
        assert path.exists()
    remove_unix(path)
    assert not path.exists()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A folder with two self-signed certificates."""
    folder = tmp_path_factory.mktemp("tls")
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    for name in ("one", "other"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "30", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"],
            check=True,
            capture_output=True,
        )  # fmt: skip
    return folder


def test_both_doors_speak_tls_and_a_new_certificate_is_taken_over(models, certificates, tmp_path):
    grpc = pytest.importorskip("grpc")
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    for kind in ("key", "pem"):
        shutil.copy(certificates / f"one.{kind}", tmp_path / f"c.{kind}")
    flags = ("--tls-certificate", tmp_path / "c.pem", "--tls-key", tmp_path / "c.key", "--grpc-port", "0")
    with serving(models, *flags) as server:
        url = server.ready["http"]

        def ask(name):
            context = ssl.create_default_context(cafile=certificates / f"{name}.pem")
            return urllib.request.urlopen(f"{url}/v2/health/ready", context=context, timeout=30).status

        assert url.startswith("https://")
        assert ask("one") == 200
        credentials = grpc.ssl_channel_credentials((certificates / "one.pem").read_bytes())
        with grpc.secure_channel(server.ready["grpc"], credentials) as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        for kind in ("key", "pem"):
            shutil.copy(certificates / f"other.{kind}", tmp_path / f"c.{kind}")
        server.send(signal.SIGHUP)
        server.said("with new workers", 60)
        assert ask("other") == 200


@pytest.mark.parametrize("what", ["gone", "mixed", "encrypted"])
def test_certificates_that_cannot_be_used(models, certificates, what):
    key = {"gone": "gone.key", "mixed": "other.key", "encrypted": "encrypted.key"}[what]
    if what == "encrypted":
        command = ["openssl", "ec", "-aes128", "-passout", "pass:x", "-in", certificates / "one.key"]
        subprocess.run([*command, "-out", certificates / key], check=True, capture_output=True)
    flags = ("--tls-certificate", certificates / "one.pem", "--tls-key", certificates / key)
    status, _, errors = run(models, *flags, "--http-port", "0", "--grpc-port", "none")
    assert status == 2
    assert "IX677" in errors
    assert "Traceback" not in errors


# -- configuration on the command line ---------------------------------------------------------------------------------
def test_all_mistakes_of_a_command_line_at_once_and_as_json(models, tmp_path):
    config = tmp_path / "serve.toml"
    config.write_text("http_prot = 1\nworkers = 0\n")
    args = (models, "--config", config, "--max-body", "lots")
    status, _, errors = run(*args, INTERCHANGE_SERVE_STOP_SECONDS="-1")
    assert status == 2
    for part in ("serve.toml:1", "serve.toml:2", "--max-body", "INTERCHANGE_SERVE_STOP_SECONDS", "did you mean"):
        assert part in errors
    status, out, _ = run(*args, "--check", "--json")
    assert status == 2
    assert len(json.loads(out)["error"]["problems"]) == 3


def test_check_says_that_all_is_good_and_serves_nothing(models):
    status, out, _ = run(models, "--check", "--http-port", "0", "--grpc-port", "0", "--set", "models.double.cache=5")
    assert status == 0, out
    assert "double version 1 READY" in out
    assert "models.double = cache = 5" in out


def test_check_finds_everything_that_would_fail(models, tmp_path):
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    (folder / "broken.onnx").write_bytes(b"no model")
    (tmp_path / "token").write_text(SECRET)
    with socket.create_server(("127.0.0.1", 0)) as other:
        status, out, _ = run(
            folder, "--check", "--json", "--http-port", other.getsockname()[1], "--grpc-port", "none",
            "--admin-token-file", tmp_path / "token", "--set", "models.dubble.cache = 5",
            "--set", "pipelines.p = 'gone.toml'", "--tls-certificate", "gone.pem", "--tls-key", "gone.key",
        )  # fmt: skip
    found = json.loads(out)
    assert status == 1
    assert not found["ok"]
    assert [p["code"] for p in found["problems"]].count("IX677") == 3
    assert {p["code"] for p in found["problems"]} >= {"IX676", "IX677", "IX679"}
    states = {m["name"]: m["state"] for m in found["models"]}
    assert (states["broken"], states["double"]) == ("UNAVAILABLE", "READY")
    assert found["settings"]["token admin"] == "inference and admin, of *"
    assert SECRET not in out


# -- logs and traces ---------------------------------------------------------------------------------------------------
def test_the_access_log_has_a_line_for_each_answer_and_no_secret(models, tmp_path):
    log, token = tmp_path / "access.log", tmp_path / "token"
    token.write_text(SECRET)
    with serving(models, "--access-log", log, "--token-file", token) as server:
        server.headers = {"Authorization": f"Bearer {SECRET}"}
        server.infer(**{"X-Request-Id": "mine-1"})
        assert server.get("/v2/models/gone", **{"X-Request-Id": "not sane"})[0] == 404
        log.rename(tmp_path / "old.log")
        server.send(signal.SIGHUP)
        server.said("reloaded")
        assert server.get("/v2/health/live")[0] == 200
        server.stop()
    text = (tmp_path / "old.log").read_text()
    one, other = (json.loads(line) for line in text.splitlines())
    assert one.pop("us") > 0
    assert one.pop("time").endswith("Z")
    assert one == {
        "id": "mine-1", "protocol": "http", "client": "127.0.0.1", "method": "POST",
        "path": "/v2/models/double/infer", "model": "double", "version": "1", "status": 200, "code": None,
        "received_bytes": len(json.dumps(INFER)), "sent_bytes": one["sent_bytes"],
    }  # fmt: skip
    assert (other["status"], other["code"], other["model"]) == (404, "IX640", "gone")
    assert len(other["id"]) == 32
    assert [json.loads(line)["path"] for line in log.read_text().splitlines()] == ["/v2/health/live"]
    assert SECRET not in text + server.errors


def test_a_log_that_cannot_be_written_stops_no_answer(models):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with serving(models, "--access-log", "/dev/full") as server:
        assert server.infer() == server.infer() == [2, 4, 6]
        server.said("the access log cannot be written")
        assert server.errors.count("the access log cannot be written") == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abc-1", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("a b", False),
        ("a\nb", False),
        ("é", False),
        ("", False),
    ],
)
def test_an_id_is_taken_over_if_it_is_sane(given, kept):
    assert (request_id(given) == given) is kept


def test_a_span_for_each_request_below_that_of_the_client(models):
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from interchange.serving.tracing import Tracing

    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with Server(models, http_port=0, grpc_port=None) as server:
        server.doors.app.observers = (Tracing(None, provider=provider),)
        for path, headers in (("double", {"traceparent": parent}), ("double", {"traceparent": "junk"}), ("gone", {})):
            with closing(http.client.HTTPConnection("127.0.0.1", server.doors.http_port)) as connection:
                connection.request("POST", f"/v2/models/{path}/infer", json.dumps(INFER), headers)
                assert connection.getresponse().read()
    below, alone, failed = kept.get_finished_spans()
    assert below.parent.span_id == 0xB7AD6B7169203331
    assert below.context.trace_id == 0x0AF7651916CD43DD8448EB211C80319C
    assert alone.parent is None
    assert [e.name for e in below.events] == ["queued", "started", "computing", "computed"]
    moments = [below.start_time, *(e.timestamp for e in below.events), below.end_time]
    assert moments == sorted(moments)
    assert below.attributes["interchange.model"] == "double"
    assert below.attributes["http.response.status_code"] == 200
    assert failed.attributes["error.type"] == "IX640"
    assert failed.events == ()


def test_an_exchange_needs_nothing_but_method_and_path():
    exchange = Exchange("GET", "/")
    assert (exchange.call, exchange.code, exchange.model) == (None, None, "")
