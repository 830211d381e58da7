"""The gRPC door: the protocol's service, health checking and reflection, on grpc.aio."""

from __future__ import annotations

from interchange.serving.grpc.door import GrpcDoor

__all__ = ["GrpcDoor"]
