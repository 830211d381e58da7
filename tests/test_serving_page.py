"""The page at /, in a real browser: what people see, and that it asks nobody but its server."""

import json
import re
import urllib.request

import numpy as np
import pytest
from browsing import OPTIONS, ask, browser, folder, says, server, visit

from interchange.serving import Server
from interchange.serving.page import HEADERS, assets
from interchange.serving.settings import Token


# -- without a browser ------------------------------------------------------------------------------------------------
def test_the_files_name_no_other_place():
    found = assets()
    assert {"/", "/page/app.js", "/page/style.css", "/page/icon.svg"} <= found.keys()
    for path, (kind, body) in found.items():
        text = body.decode()
        assert not [u for u in re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", text) if not allowed(u)], path
        assert kind.startswith(("text/", "image/svg"))
        if path.endswith(".js"):
            assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function", text), (
                path
            )
    html = found["/"][1].decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:", html), (
        "the policy forbids inline code"
    )
    loaded = re.findall(r'(?:src|href)="(page/[^"]+)"', html)
    assert {f"/{name}" for name in loaded} <= found.keys()
    for path, (_, body) in found.items():
        for name in re.findall(r'from "\./([\w.]+)"', body.decode()):
            assert f"/page/{name}" in found, path


def allowed(url):
    """A place that is named and not asked: XML's name of SVG, where a format is documented."""
    return url.startswith(("http://www.w3.org/2000/svg", "https://numpy.org/doc/"))


def test_the_policy_lets_nothing_in():
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert not any("unsafe" in v or "*" in v or "http" in v for v in policy.values())


# -- the server -------------------------------------------------------------------------------------------------------
def state_of(server, token=""):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(f"{server.url}/page/state.json", headers=headers)) as response:
        return json.load(response)


def test_everything_is_told_in_one_answer(server):
    state = state_of(server)
    models = {m["name"]: m for m in state["models"]}
    assert state["server"]["status"] == "ready"
    assert state["server"]["doors"] == [{"protocol": "HTTP", "address": "", "tls": False}]
    assert models["broken"]["state"] == "UNAVAILABLE"
    assert "IX302" in models["broken"]["reason"]
    assert models["broken"]["about"] is None
    about = models["digits"]["about"]
    assert about["inputs"][0]["line"] == "x: float32[batch, 1, 8, 8]"
    assert about["evidence"]["ok"] is True
    assert about["evidence"]["trials"][0]["differences"][0]["output"] == "output"
    assert about["execution"]["batching"] is True
    assert "tried" in about["execution"]["why"]
    assert models["hostile"]["about"]["guards"][0]["condition"] == "n%4 == 0"
    before = sum(models["scaled"]["live"]["phases"]["request"]["counts"])
    server.infer("scaled", x=np.ones((1, 3), np.float32))
    live = next(m["live"] for m in state_of(server)["models"] if m["name"] == "scaled")
    assert sum(live["phases"]["request"]["counts"]) == before + 1
    assert len(live["phases"]["request"]["counts"]) == len(state["buckets"]) + 1


def test_counters_are_added_up_over_workers(server, monkeypatch):
    def answered():
        live = next(m["live"] for m in state_of(server)["models"] if m["name"] == "scaled")
        return sum(live["phases"]["request"]["counts"])

    class Peers:
        async def collect(self):
            return [operations.snapshot(), {}]

    operations = server.doors.app.operations
    server.infer("scaled", x=np.ones((1, 3), np.float32))
    alone = answered()
    monkeypatch.setattr(operations, "peers", Peers())
    assert answered() == 2 * alone


def test_a_token_sees_its_models(folder):
    with Server(folder, tokens=(Token(secret="one", models=("scal*",)), Token(secret="all")), **OPTIONS) as server:
        assert [m["name"] for m in state_of(server, "one")["models"]] == ["scaled"]
        assert len(state_of(server, "all")["models"]) == 8
        with pytest.raises(urllib.error.HTTPError, match="401") as error:
            state_of(server)
        error.value.close()


def test_the_files_come_with_the_policy(server):
    for path, (kind, body) in assets().items():
        with urllib.request.urlopen(server.url + path) as response:
            assert response.read() == body
            assert response.headers["Content-Type"] == kind
            assert response.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]


# -- the browser ------------------------------------------------------------------------------------------------------
def test_the_models_and_what_is_known_of_them(visit):
    page = visit("digits")
    names = page.locator("#models .name").all_inner_texts()
    assert [n.split()[0] for n in names] == [
        "broken",
        "chain",
        "colours",
        "digits",
        "hostile",
        "last",
        "pair",
        "scaled",
        "types",
    ]
    text = page.inner_text("article")
    for part in (
        "x: float32[batch, 1, 8, 8]",
        "batch ≥ 1",
        "equals its source",
        "onnxruntime",
        "tried",
        "Requests a second",
    ):
        assert part in text
    assert page.inner_text("#server").startswith("interchange")
    page.get_by_role("link", name="broken").click()
    page.wait_for_selector(".reason")
    assert "IX302" in page.inner_text(".reason")
    page.get_by_role("link", name="hostile").click()
    says(page, "article h2", "hostile")
    text = page.inner_text("article")
    assert "n%4 == 0" in text
    assert "4 ≤ n ≤ 64" in text
    assert "<b>x.reshape(-1, 4)</b>" in text


def test_curves_come_from_what_is_counted(visit, server):
    page = visit("scaled")
    before = int(page.locator(".figures dd").nth(2).inner_text())
    for _ in range(20):
        server.infer("scaled", x=np.ones((1, 3), np.float32))
    page.locator(".figures dd").nth(2).filter(has_text=str(before + 20)).wait_for()
    page.wait_for_selector(".curve.one, .dot.one")
    assert "p99" in page.inner_text("article")
    says(page, ".figures", "rows a run")


def test_a_token_is_asked_for_and_kept_in_memory_only(visit, folder):
    with Server(folder, tokens=(Token(secret="open sesame", models=("scaled",)),), **OPTIONS) as server:
        page = visit(url=server.url, expected=["401 (Unauthorized)"])
        page.wait_for_selector("dialog[open]")
        page.get_by_role("textbox", name="Token").fill("wrong")
        page.keyboard.press("Enter")
        says(page, "#token-problem", "token")
        page.get_by_role("textbox", name="Token").fill("open sesame")
        page.keyboard.press("Enter")
        page.wait_for_selector("article")
        assert [n.split()[0] for n in page.locator("#models .name").all_inner_texts()] == ["scaled"]
        _, response = ask(page)
        assert response.ok
        line = page.inner_text(".lines pre")
        assert "$TOKEN" in line
        assert "open sesame" not in page.content()
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


def test_the_server_goes_away_and_comes_back(visit, folder):
    with Server(folder, **OPTIONS) as server:
        page = visit("scaled", url=server.url, expected=["ERR_", "Failed to load"])
    page.wait_for_selector("#trouble:not([hidden])")
    assert "does not answer" in page.inner_text("#trouble")


# texts whose contrast is below 4.5: what WCAG 2.2 asks for at level AA
CONTRAST = """() => {
    const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const light = (colour) => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map((v) => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
    };
    const behind = (e) => {
        const colour = getComputedStyle(e).backgroundColor;
        if (colour !== "rgba(0, 0, 0, 0)") return colour;
        return e.parentElement ? behind(e.parentElement) : "rgb(255, 255, 255)";
    };
    const contrast = (e) => {
        const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
        return Math.max(a, b) / Math.min(a, b);
    };
    const hasText = (e) => [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim());
    return [...document.querySelectorAll("body *")]
        .filter((e) => e.checkVisibility() && !(e instanceof SVGElement) && hasText(e) && contrast(e) < 4.5)
        .map((e) => `${e.textContent.slice(0, 40)}: ${contrast(e)}`);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_can_be_read_in_both_schemes(visit, scheme):
    for model in ("hostile", "colours", "broken", "digits"):
        page = visit(model, color_scheme=scheme)
        if model == "colours":
            page.get_by_label("width").fill("50")
        for width in (1400, 400):
            page.set_viewport_size({"width": width, "height": 800})
            if model != "broken":
                ask(page)
            assert page.evaluate("document.documentElement.scrollWidth") == width, model
    assert page.evaluate(CONTRAST) == []


def test_everything_can_be_reached_with_the_keyboard(visit):
    page = visit("digits")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "document.activeElement.textContent || document.activeElement.className || document.activeElement.type"
            )
        )
    for part in ("To the model", "OpenAPI", "digits", "pad", "Example", "Ask the model", "curl", "Copy"):
        assert any(part in r for r in reached), part
