"""ONNX Runtime in Triton's Python back end: model.py of a model, behind a line that says where the packages are.

The back end's interpreter is isolated from the environment, so it finds packages only where it is told.
"""

import json
from pathlib import Path

import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """Runs model.onnx beside this file."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the session."""
        config = json.loads(args["model_config"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(config["parameters"]["threads"]["string_value"])
        self.session = onnxruntime.InferenceSession(str(Path(__file__).parent / "model.onnx"), options)
        self.inputs = [i.name for i in self.session.get_inputs()]
        self.outputs = [o.name for o in self.session.get_outputs()]

    def execute(self, requests: list) -> list:
        """One run for each request."""
        responses = []
        for request in requests:
            feeds = {n: triton.get_input_tensor_by_name(request, n).as_numpy() for n in self.inputs}
            outputs = self.session.run(self.outputs, feeds)
            tensors = [triton.Tensor(n, o) for n, o in zip(self.outputs, outputs, strict=True)]
            responses.append(triton.InferenceResponse(tensors))
        return responses
