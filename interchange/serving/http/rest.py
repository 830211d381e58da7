"""Everything over HTTP but inference: health, metadata, statistics, the repository, metrics, the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interchange.protocol.errors import ServingError
from interchange.serving.http.routes import Request, Response, Route
from interchange.serving.http.tensors import parse

if TYPE_CHECKING:
    from interchange.serving.app import App


async def live(app: App, request: Request) -> Response:
    """Whether the process answers at all."""
    return Response.json({"live": True})


async def ready(app: App, request: Request) -> Response:
    """Whether requests should be sent here."""
    good = app.operations.ready() and not app.draining
    return Response.json({"ready": good}, 200 if good else 503)


async def server(app: App, request: Request) -> Response:
    """The server's metadata."""
    return Response.json(app.operations.server_metadata())


async def model(app: App, request: Request) -> Response:
    """A model's metadata."""
    return Response.json(app.operations.model_metadata(**_which(request)))


async def model_ready(app: App, request: Request) -> Response:
    """Whether a model answers."""
    which = _which(request)
    good = app.operations.model_ready(**which)
    return Response.json({"name": which["name"], "ready": good}, 200 if good else 503)


async def config(app: App, request: Request) -> Response:
    """How a model is served."""
    return Response.json(app.operations.model_config(**_which(request)))


async def statistics(app: App, request: Request) -> Response:
    """What was counted and timed, of one model or of all."""
    found = await app.operations.statistics(**_which(request))
    seen = [m for m in found["model_stats"] if app.access.sees(request.token, m["name"])]
    return Response.json({"model_stats": seen})


async def index(app: App, request: Request) -> Response:
    """The models of the repository and their states."""
    only = _body(request).get("ready", False)
    if type(only) is not bool:
        raise ServingError("IX631", "ready is not true or false", found=repr(only), expected="true or false")
    return Response.json([m for m in app.operations.index(only) if app.access.sees(request.token, m["name"])])


async def load(app: App, request: Request) -> Response:
    """Load a model, or load it again."""
    await app.operations.load(request.params["model"], _parameters(request))
    return Response()


async def unload(app: App, request: Request) -> Response:
    """Serve a model no longer."""
    await app.operations.unload(request.params["model"], _parameters(request))
    return Response()


async def metrics(app: App, request: Request) -> Response:
    """What all workers have counted, for Prometheus. Raises ServingError IX655: it tells of every model."""
    from interchange.serving.metrics import render

    if request.token is not None and "*" not in request.token.models:
        raise ServingError(
            "IX655",
            "this token has not the right",
            found="a token for some of the models",
            expected="one for all of them: the metrics tell of each",
            fix='ask for a token whose models are ["*"]',
        )
    body, kind = await render(app, request.headers.get("accept", ""))
    return Response(body, 200, kind)


def _which(request: Request) -> dict[str, str]:
    return {"name": request.params.get("model", ""), "version": request.params.get("version", "")}


def _body(request: Request) -> dict[str, Any]:
    return dict(parse(request.body)) if request.body.strip() else {}


def _parameters(request: Request) -> dict[str, Any]:
    parameters = _body(request).get("parameters", {})
    if type(parameters) is not dict:
        raise ServingError(
            "IX631", "parameters is not an object", found=repr(parameters)[:80], expected="an object", fix="send {}"
        )
    return parameters


def _of_model(method: str, rest: str, handler: Any) -> list[Route]:
    """The same with and without a version."""
    return [
        Route(method, f"/v2/models/{{model}}{version}{rest}", "inference", handler)
        for version in ("", "/versions/{version}")
    ]


ROUTES: tuple[Route, ...] = (
    *_of_model("POST", "/infer", None),
    Route("GET", "/v2/health/live", "open", live),
    Route("GET", "/v2/health/ready", "open", ready),
    Route("GET", "/v2", "open", server),
    Route("GET", "/v2/models/stats", "inference", statistics),  # so no model can be named stats
    *_of_model("GET", "", model),
    *_of_model("GET", "/ready", model_ready),
    *_of_model("GET", "/config", config),
    *_of_model("GET", "/stats", statistics),
    Route("GET", "/metrics", "inference", metrics),
    Route("POST", "/v2/repository/index", "inference", index),
    Route("POST", "/v2/repository/models/{model}/load", "admin", load),
    Route("POST", "/v2/repository/models/{model}/unload", "admin", unload),
)
