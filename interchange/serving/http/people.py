"""What people and their programs look at: the page, its figures, the description of everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interchange.protocol.errors import ServingError
from interchange.serving import page
from interchange.serving.http.routes import Request, Response, Route

if TYPE_CHECKING:
    from interchange.serving.app import App


async def asset(app: App, request: Request) -> Response:
    """A file of the page. Raises ServingError IX650 for one that is none, or where the page is switched off."""
    found = page.assets().get(request.path) if app.settings.page else None
    if found is None:
        raise ServingError(
            "IX650",
            "there is no such page" if app.settings.page else "this server has no page for people",
            found=request.path[:200],
            expected="/ and what it loads" if app.settings.page else "/v2/... of the Open Inference Protocol",
            fix="begin at /" if app.settings.page else "the operator can set page = true",
        )
    kind, body = found
    return Response(body, content_type=kind, headers=page.HEADERS)


async def state(app: App, request: Request) -> Response:
    """What the page shows."""
    return Response.json(await page.state(app, request.token))


async def openapi(app: App, request: Request) -> Response:
    """The description of every path; the models in it are those that a token, if one is needed, may see."""
    authorization = request.headers.get("authorization")
    token = app.access.check(authorization, "inference") if authorization else None
    return Response.json(page.openapi(app, token))


ROUTES: tuple[Route, ...] = (
    Route("GET", "/", "open", asset),
    Route("GET", "/page/state.json", "inference", state),
    Route("GET", "/page/{file}", "open", asset),
    Route("GET", "/openapi.json", "open", openapi),
)
