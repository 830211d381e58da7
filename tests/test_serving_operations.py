"""What the doors answer beside inference, in the forms that other people's clients read."""

import asyncio

import numpy as np
import pytest
from onnx import TensorProto
from serving import identity, scaled

import interchange as ix
from interchange.protocol.errors import ServingError
from interchange.serving.engine import Engine
from interchange.serving.lifecycle import Lifecycle
from interchange.serving.operations import EXTENSIONS, Operations, model_statistics
from interchange.serving.settings import ModelSettings, Settings
from interchange.serving.statistics import Statistics

ONE = np.ones((1, 3), np.float32)


def serve(test, root, **settings):
    """Run an asynchronous test with the operations on a repository."""

    async def run():
        engine = Engine(Settings(**settings))
        lifecycle = Lifecycle(engine, root)
        await lifecycle.start()
        try:
            return await test(Operations(engine, lifecycle, engine.settings))
        finally:
            await lifecycle.close()
            await engine.close()

    return asyncio.run(run())


class Others:
    """Two more processes."""

    def __init__(self, operations):
        self.operations, self.told = operations, []

    async def collect(self):
        return [self.operations.snapshot(), {"unknown": {"1": {}}}]

    async def tell(self, message):
        self.told.append(message)


def test_server_and_models(tmp_path):
    for version in (1, 2, 10):
        scaled(tmp_path / "m" / str(version) / "model.onnx")

    async def test(operations):
        server = operations.server_metadata()
        assert (server["name"], server["version"]) == ("interchange", ix.__version__)
        assert set(server["extensions"]) == set(EXTENSIONS)
        assert operations.live()
        assert operations.ready()
        tensor = {"datatype": "FP32", "shape": [-1, 3]}
        assert operations.model_metadata("m") == {
            "name": "m",
            "versions": ["1", "2", "10"],
            "platform": "onnx_onnxv1",
            "inputs": [{"name": "x", **tensor}],
            "outputs": [{"name": "y", **tensor}],
        }
        assert operations.model_ready("m")
        assert operations.model_ready("m", "2")
        for name, version, code in (("n", "", "IX640"), ("m", "3", "IX641")):
            for asked in (operations.model_ready, operations.model_metadata, operations.model_config):
                with pytest.raises(ServingError) as caught:
                    asked(name, version)
                assert caught.value.code == code
            with pytest.raises(ServingError) as caught:
                await operations.statistics(name, version)
            assert caught.value.code == code
        await operations.unload("m")
        assert not operations.model_ready("m")
        assert not operations.model_ready("m", "2")
        assert operations.index(ready_only=True) == []

    serve(test, tmp_path, defaults=ModelSettings(versions="all"))


def test_model_config_is_tritons(tmp_path):
    pb2 = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    from google.protobuf import json_format

    scaled(tmp_path / "m.onnx")
    scaled(tmp_path / "alone.onnx")
    t = TensorProto
    dtypes = {
        "BOOL": t.BOOL,
        "BYTES": t.STRING,
        "FP16": t.FLOAT16,
        "INT8": t.INT8,
        "UINT64": t.UINT64,
        "FP64": t.DOUBLE,
    }
    identity(tmp_path / "all.onnx", dtypes)

    async def test(operations):
        found = {n: json_format.ParseDict(operations.model_config(n), pb2.ModelConfig()) for n in ("m", "alone", "all")}
        config = found["m"]
        assert (config.name, config.platform, config.backend) == ("m", "onnxruntime_onnx", "onnxruntime")
        assert config.max_batch_size == 32
        assert [(p.name, pb2.DataType.Name(p.data_type), list(p.dims)) for p in config.input] == [
            ("x", "TYPE_FP32", [3])
        ]
        assert [(p.name, pb2.DataType.Name(p.data_type), list(p.dims)) for p in config.output] == [
            ("y", "TYPE_FP32", [3])
        ]
        assert config.HasField("dynamic_batching")
        assert config.dynamic_batching.max_queue_delay_microseconds == 1500
        assert config.dynamic_batching.default_queue_policy.max_queue_size == 9
        assert config.version_policy.latest.num_versions == 2
        assert [(g.kind, g.count) for g in config.instance_group] == [(pb2.ModelInstanceGroup.KIND_CPU, 2)]
        assert config.response_cache.enable
        assert config.parameters["intra_op_thread_count"].string_value == "1"
        alone = found["alone"]
        assert (alone.max_batch_size, alone.HasField("dynamic_batching")) == (0, False)
        assert list(alone.input[0].dims) == [-1, 3]
        assert list(alone.version_policy.specific.versions) == [1]
        types = [pb2.DataType.Name(p.data_type) for p in found["all"].input]
        assert types == [f"TYPE_{'STRING' if d == 'BYTES' else d}" for d in dtypes]
        assert found["all"].version_policy.HasField("all")

    models = {
        "m": ModelSettings(
            max_batch=32,
            max_delay_ms=1.5,
            max_queue=9,
            versions=2,
            instances=2,
            cache=10,
            threads=1,
            execution="thread",
        ),
        "alone": ModelSettings(batching=False, versions=(1,)),
        "all": ModelSettings(versions="all"),
    }
    serve(test, tmp_path, models=models)


def test_statistics_are_tritons(tmp_path):
    pb2 = pytest.importorskip("tritonclient.grpc.service_pb2")
    from google.protobuf import json_format

    for name in "ab":
        scaled(tmp_path / f"{name}.onnx")

    async def test(operations):
        for rows in (1, 2, 2):
            await operations.engine.infer("a", {"x": np.ones((rows, 3), np.float32)})
        (found,) = (await operations.statistics("a"))["model_stats"]
        message = json_format.ParseDict(found, pb2.ModelStatistics())
        assert (message.name, message.version) == ("a", "1")
        assert (message.inference_count, message.execution_count) == (5, 3)
        assert message.last_inference > 1.7e12
        stats = message.inference_stats
        for phase in (stats.success, stats.queue, stats.compute_input, stats.compute_infer, stats.compute_output):
            assert phase.count == 3
            assert phase.ns > 0
        assert stats.success.ns >= stats.compute_infer.ns
        assert (stats.fail.count, stats.cache_hit.count, stats.cache_miss.count) == (0, 0, 0)
        assert [(b.batch_size, b.compute_infer.count) for b in message.batch_stats] == [(1, 1), (2, 2)]
        assert [m["name"] for m in (await operations.statistics())["model_stats"]] == ["a", "b"]

    serve(test, tmp_path)


def test_each_phase_is_told_under_its_name():
    counted = Statistics()
    for n, phase in enumerate(counted.phases, 1):
        counted.phases[phase].add(n * 1000, n)
    counted.failed("OTHER", 77)
    counted.cache_hits, counted.cache_hit_ns, counted.cache_misses, counted.cache_miss_ns = 11, 12, 13, 14
    counted.ran(4, 5, 6, 7)
    found = model_statistics("m", "1", counted.snapshot())
    names = ("success", "queue", "compute_input", "compute_infer", "compute_output")
    told = {name: {"count": n, "ns": n * n * 1000} for n, name in enumerate(names, 1)}
    told |= {
        "fail": {"count": 1, "ns": 77},
        "cache_hit": {"count": 11, "ns": 12},
        "cache_miss": {"count": 13, "ns": 14},
    }
    assert found["inference_stats"] == told
    (batch,) = found["batch_stats"]
    assert [batch.pop("batch_size"), *(p["ns"] for p in batch.values())] == [4, 5, 6, 7]
    assert list(batch) == ["compute_input", "compute_infer", "compute_output"]


def test_several_processes_are_counted_together_and_told_alike(tmp_path):
    scaled(tmp_path / "m.onnx")

    async def test(operations):
        peers = operations.peers = Others(operations)
        await operations.engine.infer("m", {"x": ONE})
        (found,) = (await operations.statistics("m"))["model_stats"]
        assert found["inference_count"] == 2
        await operations.unload("m", {"unload_dependents": True})
        await operations.load("m", {})
        assert peers.told == [{"do": "unload", "model": "m"}, {"do": "load", "model": "m"}]
        with pytest.raises(ServingError):
            await operations.load("n")
        assert len(peers.told) == 2  # nobody is told what has failed here

    serve(test, tmp_path)


@pytest.mark.parametrize(
    "parameters",
    [
        {"file:1/model.onnx": "AAAA"},
        {"file:../../etc/cron.d/job": "AAAA"},
        {"config": '{"backend": "python"}'},
        {"config": "{}", "file:1/model.onnx": ""},
    ],
)
def test_no_file_and_no_configuration_comes_over_the_network(tmp_path, parameters):
    root = tmp_path / "models"
    scaled(root / "m" / "1" / "model.onnx")
    before = sorted(tmp_path.rglob("*"))

    async def test(operations):
        for name in ("m", "new"):
            with pytest.raises(ServingError) as caught:
                await operations.load(name, parameters)
            assert caught.value.code == "IX638"
            assert next(iter(parameters)) in caught.value.found
        assert operations.model_ready("m")
        for parameters_of_unload in ({"unload_dependents": "yes"}, {"force": True}):
            with pytest.raises(ServingError) as caught:
                await operations.unload("m", parameters_of_unload)
            assert caught.value.code == "IX638"

    serve(test, root)
    assert sorted(tmp_path.rglob("*")) == before
