"""KServe's InferenceRESTClient against a server: ``python kserve_client.py URL``, with the kserve package installed.

Its packages do not go together with those of the other clients: it has an environment of its own (`make conformance`).
"""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.metadata import version

import numpy as np
from httpx import HTTPStatusError
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

X = np.arange(6, dtype=np.float32).reshape(2, 3)
ARRAYS = {
    "BOOL": np.array([[True, False]]),
    "UINT8": np.array([[0, 255]], np.uint8),
    "INT64": np.array([[-(2**63), 2**63 - 1]]),
    "FP16": np.array([[1.5, -0.0]], np.float16),
    "FP32": np.array([[1.5, 1e-3]], np.float32),
    "FP64": np.array([[0.1, 1e300]]),
    "BYTES": np.array([["", "häß\0lich"]], object),
}


async def main(url: str) -> list[str]:
    """What was tried, line by line; a failed assertion ends it."""
    done: list[str] = []
    client = InferenceRESTClient(RESTConfig(protocol="v2"))

    async def ask(model: str, name: str, array: np.ndarray, datatype: str, binary: bool, **more: object) -> np.ndarray:
        given = InferInput(name, list(array.shape), datatype)
        given.set_data_from_numpy(array, binary_data=binary)
        answer = await client.infer(url, InferRequest(model, [given], **more), model_name=model)
        assert answer.model_name == model
        return answer.outputs[0].as_numpy()

    assert await client.is_server_live(url)
    assert await client.is_server_ready(url)
    assert await client.is_model_ready(url, "scaled")
    done.append("live, ready, model ready")
    for binary in (False, True):
        np.testing.assert_array_equal(await ask("scaled", "x", X, "FP32", binary), 2 * X)
        for datatype, array in ARRAYS.items():
            if datatype == "FP16" and not binary:
                continue  # the client refuses to
            found = await ask(f"identity_{datatype}", f"x_{datatype}", array, datatype, binary)
            if datatype == "BYTES":
                assert [v.decode() if isinstance(v, bytes) else v for v in found.flat] == list(array.flat)
            else:
                np.testing.assert_array_equal(found.reshape(array.shape), array)
        done.append(f"{len(ARRAYS)} datatypes, {'binary' if binary else 'JSON'}")
    wanted = [RequestedOutput("y", parameters={"binary_data": True})]
    np.testing.assert_array_equal(await ask("scaled", "x", X, "FP32", True, request_outputs=wanted), 2 * X)
    done.append("binary outputs")
    given = {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": X.tolist()}
    answer = await client.infer(url, {"id": "42", "inputs": [given]}, model_name="scaled")
    assert answer.id == "42"
    assert json.loads(json.dumps(answer.to_rest()[0]))["outputs"][0]["data"] == (2 * X).ravel().tolist()
    done.append("a request as a dict, id")
    told = ""
    try:
        await ask("scaled", "X", X, "FP32", False)
    except HTTPStatusError as error:
        told = str(error)
    assert "IX602" in told, told
    assert "x: float32[batch, 3]" in told, told
    done.append("the error's text")
    await client.close()
    return [f"kserve {version('kserve')}", *done]


if __name__ == "__main__":
    print("\n".join(asyncio.run(main(sys.argv[1]))))
