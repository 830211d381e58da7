"""What can be called beside inference: one table, in which each entry says what right it takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf import json_format  # type: ignore[import-untyped]

from interchange.serving.grpc.messages import message_class
from interchange.serving.grpc.tensors import plain

if TYPE_CHECKING:
    from interchange.serving.access import Right
    from interchange.serving.app import App
    from interchange.serving.settings import Token

Handler = Callable[["App", Any, "Token | None"], Awaitable[dict[str, Any]]]


class Method(NamedTuple):
    """One method of the service. handler: returns the response as JSON has it.  model: the field that names a model."""

    name: str
    right: Right
    model: str
    handler: Handler
    request: Any
    response: Any

    @classmethod
    def of(cls, name: str, right: Right, model: str, handler: Handler) -> Method:
        """With the messages that have its name."""
        return cls(name, right, model, handler, message_class(f"{name}Request"), message_class(f"{name}Response"))


async def live(app: App, request: Any, token: Token | None) -> dict[str, Any]:
    """Whether the process answers at all."""
    return {"live": True}


async def ready(app: App, request: Any, token: Token | None) -> dict[str, Any]:
    """Whether requests should be sent here."""
    return {"ready": is_ready(app)}


async def server(app: App, request: Any, token: Token | None) -> dict[str, Any]:
    """The server's metadata."""
    return app.operations.server_metadata()


async def model(app: App, request: Any, token: Token | None) -> dict[str, Any]:
    """A model's metadata."""
    return app.operations.model_metadata(request.name, request.version)


async def model_ready(app: App, request: Any, token: Token | None) -> dict[str, Any]:
    """Whether a model answers."""
    return {"ready": app.operations.model_ready(request.name, request.version)}


async def config(app: App, request: Any, token: Token | None) -> dict[str, Any]:
    """How a model is served."""
    return {"config": app.operations.model_config(request.name, request.version)}


async def statistics(app: App, request: Any, token: Token | None) -> dict[str, Any]:
    """What was counted and timed, of one model or of all."""
    found = await app.operations.statistics(request.name, request.version)
    return {"model_stats": [m for m in found["model_stats"] if app.access.sees(token, m["name"])]}


async def index(app: App, request: Any, token: Token | None) -> dict[str, Any]:
    """The models of the repository and their states."""
    return {"models": [m for m in app.operations.index(request.ready) if app.access.sees(token, m["name"])]}


async def load(app: App, request: Any, token: Token | None) -> dict[str, Any]:
    """Load a model, or load it again."""
    await app.operations.load(request.model_name, plain(request.parameters))
    return {}


async def unload(app: App, request: Any, token: Token | None) -> dict[str, Any]:
    """Serve a model no longer."""
    await app.operations.unload(request.model_name, plain(request.parameters))
    return {}


METHODS = (
    Method.of("ServerLive", "open", "", live),
    Method.of("ServerReady", "open", "", ready),
    Method.of("ServerMetadata", "open", "", server),
    Method.of("ModelReady", "inference", "name", model_ready),
    Method.of("ModelMetadata", "inference", "name", model),
    Method.of("ModelConfig", "inference", "name", config),
    Method.of("ModelStatistics", "inference", "name", statistics),
    Method.of("RepositoryIndex", "inference", "", index),
    Method.of("RepositoryModelLoad", "admin", "model_name", load),
    Method.of("RepositoryModelUnload", "admin", "model_name", unload),
)


def is_ready(app: App) -> bool:
    """Whether requests should be sent here."""
    return app.operations.ready() and not app.draining


def written(kind: Any, answer: dict[str, Any]) -> bytes:
    """A response as bytes. What only HTTP tells is left out."""
    data: bytes = json_format.ParseDict(answer, kind(), ignore_unknown_fields=True).SerializeToString()
    return data
