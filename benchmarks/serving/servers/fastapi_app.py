"""FastAPI as its documentation has it: the body a pydantic model, the answer one as well.

MODEL=model.onnx uvicorn fastapi_app:app
"""

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options)
app = FastAPI()


class Tensor(BaseModel):
    """A tensor of the protocol."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class InferenceRequest(BaseModel):
    """The protocol's request."""

    id: str | None = None
    inputs: list[Tensor]


class InferenceResponse(BaseModel):
    """The protocol's answer."""

    model_name: str
    outputs: list[Tensor]


@app.get("/v2/health/ready")
async def ready() -> dict[str, bool]:
    """Whether it answers."""
    return {"ready": True}


@app.post("/v2/models/{name}/infer")
async def infer(name: str, request: InferenceRequest) -> InferenceResponse:
    """Run the model. `async`: on the loop's thread, which costs less than a thread for a model of microseconds."""
    tensor = request.inputs[0]
    try:
        x = np.array(tensor.data, np.float32).reshape(tensor.shape)
        (y,) = session.run(None, {tensor.name: x})
    except Exception as error:
        raise HTTPException(400, str(error)) from error
    output = Tensor(name="output", shape=list(y.shape), datatype="FP32", data=y.ravel().tolist())
    return InferenceResponse(model_name=name, outputs=[output])
