"""GET /metrics: what is counted is what happened, in both formats."""

import json
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from serving import scaled, spinning

from interchange.serving import ModelSettings, Server
from interchange.serving.metrics import Collector
from interchange.serving.statistics import Statistics

MODEL = {"model": "double", "version": "1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    scaled(folder / "double.onnx")
    spinning(folder / "slow.onnx")
    (folder / "broken.onnx").write_bytes(b"no model")
    return folder


@pytest.fixture
def server(folder):
    settings = {"slow": ModelSettings(max_queue=1), "double": ModelSettings(cache=10)}
    with Server(folder, http_port=0, grpc_port=None, watch_seconds=None, models=settings) as server:
        yield server


def scrape(server, accept=""):
    request = urllib.request.Request(f"{server.url}/metrics", headers={"Accept": accept} if accept else {})
    with urllib.request.urlopen(request) as response:
        return response.headers["Content-Type"], response.read().decode()


def samples(server):
    """(name, labels as text) -> value."""
    families = read_text(scrape(server)[1])
    return {(s.name, *sorted(s.labels.items())): s.value for f in families for s in f.samples}


def value(found, name, **labels):
    return found[name, *sorted(labels.items())]


def infer(server, rows=1, **parameters):
    body = {"inputs": [{"name": "x", "shape": [rows, 3], "datatype": "FP32", "data": [float(rows)] * (3 * rows)}]}
    request = urllib.request.Request(
        f"{server.url}/v2/models/double/infer", json.dumps(body | {"parameters": parameters}).encode()
    )
    with urllib.request.urlopen(request) as response:
        return response.read()


def test_requests_rows_and_runs_are_counted(server):
    for rows in (1, 2, 5):
        infer(server, rows)
    infer(server, 5)  # from the cache
    found = samples(server)
    assert value(found, "interchange_requests_total", **MODEL) >= 3
    assert value(found, "interchange_inferences_total", **MODEL) == 8
    assert value(found, "interchange_executions_total", **MODEL) == 3
    assert value(found, "interchange_batch_rows_bucket", le="2.0", **MODEL) == 2
    assert value(found, "interchange_batch_rows_bucket", le="+Inf", **MODEL) == 3
    assert value(found, "interchange_batch_rows_sum", **MODEL) == 8
    assert value(found, "interchange_cache_hits_total", **MODEL) == 1
    assert value(found, "interchange_cache_misses_total", **MODEL) == 3


def test_every_phase_has_a_histogram_that_adds_up(server):
    for rows in range(1, 6):
        infer(server, rows)
    found = samples(server)
    for phase in ("request", "queue", "input", "compute", "output"):
        name = f"interchange_{phase}_seconds"
        rows = ((dict(k[1:]), v) for k, v in found.items() if k[0] == f"{name}_bucket")
        buckets = sorted((float(labels["le"]), v) for labels, v in rows if labels["model"] == "double")
        assert [v for _, v in buckets] == sorted(v for _, v in buckets)
        assert buckets[-1] == (float("inf"), 5.0)
        assert len(buckets) == 14
        assert value(found, f"{name}_count", **MODEL) == 5
        assert 0 < value(found, f"{name}_sum", **MODEL) < 5


def test_failures_are_counted_by_reason_and_are_no_answers(server):
    for rows, parameters in ((0, {"timeout": -1}), (1, {"nonsense": 1})):
        with pytest.raises(urllib.error.HTTPError):
            infer(server, rows, **parameters)
    found = samples(server)
    assert value(found, "interchange_failures_total", reason="OTHER", **MODEL) == 2
    assert value(found, "nv_inference_request_failure", reason="OTHER", **MODEL) == 2
    assert value(found, "interchange_requests_total", **MODEL) == 0


def test_a_request_that_was_given_up_is_no_answer(server):
    with pytest.raises(Exception, match="IX644"):
        server.call(server.doors.app.engine.infer("slow", {"n": np.array([10**6])}, timeout=0.05))
    found = samples(server)
    slow = {"model": "slow", "version": "1"}
    assert value(found, "interchange_failures_total", reason="CANCELED", **slow) == 1
    assert value(found, "interchange_requests_total", **slow) == 0


NOW = ("interchange_runs", "interchange_queue_length", "nv_inference_pending_request_count")


def test_what_waits_and_runs_now_is_told(server):
    stop = threading.Event()

    body = {"inputs": [{"name": "n", "shape": [1], "datatype": "INT64", "data": [30_000]}]}

    def ask():
        while not stop.is_set():
            with suppress(urllib.error.HTTPError):  # 429, the queue is full: that is wanted
                urllib.request.urlopen(f"{server.url}/v2/models/slow/infer", json.dumps(body).encode()).close()

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    slow = {"model": "slow", "version": "1"}
    wanted = {(name, *sorted(slow.items())) for name in NOW}
    wanted.add(("interchange_failures_total", *sorted({**slow, "reason": "REJECTED"}.items())))
    end = time.monotonic() + 30
    try:
        while wanted and time.monotonic() < end:
            wanted -= {key for key, number in samples(server).items() if number}
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wanted == set()


def test_process_and_models(server):
    found = samples(server)
    (worker,) = {dict(k[1:])["worker"] for k in found if k[0] == "interchange_connections"}
    assert value(found, "interchange_process_cpu_seconds_total", worker=worker) > 0
    assert value(found, "interchange_process_resident_memory_bytes", worker=worker) > 1e6
    assert value(found, "interchange_connections", worker=worker) >= 1
    assert value(found, "interchange_ready") == 1
    assert value(found, "interchange_workers") == 1
    assert value(found, "interchange_model_ready", **MODEL) == 1
    assert value(found, "interchange_model_ready", model="broken", version="1") == 0


def test_the_format_is_what_the_scraper_takes(server):
    infer(server)
    kind, text = scrape(server)
    assert kind.startswith("text/plain")
    assert len([*read_text(text)]) > 20
    kind, text = scrape(server, "application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text")
    families = {f.name: f for f in read_openmetrics(text)}
    assert text.endswith("# EOF\n")
    assert families["interchange_requests"].type == "counter"
    assert families["interchange_compute_seconds"].type == "histogram"
    assert all(f.documentation for f in families.values())


ALIASES = {
    "nv_inference_request_success", "nv_inference_request_failure", "nv_inference_count", "nv_inference_exec_count",
    "nv_inference_pending_request_count", "nv_inference_request_duration_us", "nv_inference_queue_duration_us",
    "nv_inference_compute_input_duration_us", "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us", "nv_cache_num_hits_per_model", "nv_cache_num_misses_per_model",
}  # fmt: skip


def test_tritons_names_are_there_unless_they_are_switched_off(server, folder):
    infer(server, 4)
    found = samples(server)
    assert {k[0] for k in found if k[0].startswith("nv_")} == ALIASES
    assert value(found, "nv_inference_count", **MODEL) == 4
    assert value(found, "nv_inference_request_success", **MODEL) == 1
    with Server(folder, http_port=0, grpc_port=None, metrics_aliases=False) as plain:
        assert "nv_" not in scrape(plain)[1]


def test_workers_are_added_up(server):
    def state(pid, rows):
        counted = Statistics()
        counted.ran(rows, 1, 2, 3)
        counted.phases["request"].add(1000)
        return {
            "models": {"double": {"1": counted.snapshot()}}, "now": {"double": {"1": [rows, 1]}}, "pid": pid,
            "started": 1.0, "connections": rows, "cpu_seconds": 0.5, "memory_bytes": 7, "draining": False,
        }  # fmt: skip

    retired = state(0, 100)["models"]
    collector = Collector([state(1, 2), state(2, 3)], {"retired": retired, "restarts": {"hung": 2}}, server.doors.app)
    found = {(s.name, *sorted(s.labels.items())): s.value for f in collector.collect() for s in f.samples}
    assert value(found, "interchange_inferences_total", **MODEL) == 105
    assert value(found, "interchange_requests_total", **MODEL) == 3
    assert value(found, "interchange_queue_length", **MODEL) == 5
    assert value(found, "interchange_connections", worker="1") == 2
    assert value(found, "interchange_worker_restarts_total", reason="hung") == 2
    assert value(found, "interchange_workers") == 2
