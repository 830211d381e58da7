"""The messages of the protocol, made of `open_inference.proto` as protoc compiled it.

They live in a pool of their own: another generated module of the same protocol (Triton's and KServe's clients have one
each) can be imported into the same process.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, message_factory, text_format  # type: ignore[import-untyped]
from google.protobuf.descriptor_pool import DescriptorPool  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from interchange.protocol.errors import ServingError

SERVICE = "inference.GRPCInferenceService"


def _pool() -> DescriptorPool:
    """Beside the protocol also health checking and reflection, so that reflection can tell of all that is served."""
    from grpc_health.v1 import health_pb2
    from grpc_reflection.v1alpha import reflection_pb2

    pool = DescriptorPool()
    compiled = descriptor_pb2.FileDescriptorSet()
    compiled.ParseFromString(files(__package__).joinpath("open_inference.binpb").read_bytes())
    for file in compiled.file:
        pool.Add(file)
    for module in (health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    # reflection's newer version is the older one by another name
    older = str(descriptor_pb2.FileDescriptorProto.FromString(reflection_pb2.DESCRIPTOR.serialized_pb))
    pool.Add(text_format.Parse(older.replace("v1alpha", "v1"), descriptor_pb2.FileDescriptorProto()))
    return pool


POOL = _pool()


def message_class(name: str) -> Any:
    """The class of a message of the protocol."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"inference.{name}"))


def read(kind: Any, data: bytes) -> Any:
    """The message that bytes hold. Raises ServingError IX630."""
    try:
        return kind.FromString(data)
    except DecodeError:
        raise not_a_message(kind.DESCRIPTOR.name) from None


def not_a_message(name: str, found: str = "bytes that are none") -> ServingError:
    """The error for bytes that cannot be read."""
    return ServingError(
        "IX630",
        f"this is no {name}",
        found=found,
        expected=f"the message {name} of package inference, as protobuf writes it",
        fix="generate the client from open_inference.proto, or use tritonclient.grpc",
    )
