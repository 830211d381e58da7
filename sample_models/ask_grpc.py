"""Ask a server of the Open Inference Protocol over gRPC for the petal widths of three flowers.

python sample_models/ask_grpc.py 127.0.0.1:8001

The messages are those that the server ships; in other languages they are generated from its open_inference.proto.
"""

import sys

import grpc
import numpy as np

from interchange.serving.grpc.messages import SERVICE, message_class

FLOWERS = np.array([[5.1, 3.5, 1.4], [7.0, 3.2, 4.7], [6.3, 3.3, 6.0]], np.float32)  # one of each species, in cm


def main(address: str) -> None:
    """Send one ModelInfer with raw contents, and print what comes back."""
    request = message_class("ModelInferRequest")(model_name="iris")
    request.inputs.add(name="x", datatype="FP32", shape=FLOWERS.shape)
    request.raw_input_contents.append(FLOWERS.tobytes())
    with grpc.insecure_channel(address) as channel:
        infer = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_class("ModelInferResponse").FromString,
        )
        answer = infer(request, timeout=10)
    widths = np.frombuffer(answer.raw_output_contents[0], np.float32)
    for flower, width in zip(FLOWERS, widths, strict=True):
        print("sepal {:.1f} x {:.1f} cm, petal {:.1f} cm long".format(*flower), f"-> {width:.2f} cm wide")


if __name__ == "__main__":
    main(*sys.argv[1:])
