"""The server's page in a browser: models to show, the browser itself, and what a person does with a page.

Fixtures: `folder` of models, `server`, `browser`, `visit`. Test modules take them with ``pytest_plugins = "browsing"``.
"""

import json
import shutil
import struct
import sys
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import serving
from onnx import TensorProto, helper

import interchange as ix
from interchange.serving import ModelSettings, Server

SAMPLES = Path(__file__).parent.parent / "sample_models"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "</script><img src=x onerror=alert(1)>\u202e\"'$(id)`"
FLOAT = TensorProto.FLOAT
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@cache
def trained():
    """The sample that reads digits, as a file."""
    sys.path.insert(0, str(SAMPLES))
    try:
        import digits_cnn
    finally:
        sys.path.remove(str(SAMPLES))
    return ix.export(*digits_cnn.make())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: the digits are its")
    folder = tmp_path_factory.mktemp("models")
    trained().save(folder / "digits.onnx")
    serving.scaled(folder / "scaled.onnx")
    serving.identity(folder / "types.onnx", TYPES)
    (folder / "broken.onnx").write_bytes(b"no model")
    notes = {
        "interchange.dims": json.dumps({"n": [4, 64]}),
        "interchange.guards": json.dumps([{"condition": "n % 4 == 0", "why": "<b>x.reshape(-1, 4)</b>"}]),
    }
    value = (FLOAT, ["batch", "n"])
    relu = [helper.make_node("Relu", [HOSTILE], ["<b>y</b>"])]
    serving.node_model(relu, [(HOSTILE, *value)], [("<b>y</b>", *value)], folder / "hostile.onnx", metadata=notes)
    for name, shape in {"colours": ["batch", 3, "height", "width"], "last": ["height", "width", 3]}.items():
        neg = [helper.make_node("Neg", ["image"], ["y"])]
        serving.node_model(neg, [("image", FLOAT, shape)], [("y", FLOAT, shape)], folder / f"{name}.onnx")
    add = [helper.make_node("Add", ["a", "b"], ["sum"])]
    pair = (FLOAT, ["n", 1])
    serving.node_model(add, [("a", *pair), ("b", *pair)], [("sum", *pair)], folder / "pair.onnx")
    return folder


TYPES = {
    "BOOL": TensorProto.BOOL, "UINT8": TensorProto.UINT8, "INT64": TensorProto.INT64, "UINT64": TensorProto.UINT64,
    "FP16": TensorProto.FLOAT16, "BF16": TensorProto.BFLOAT16, "FP32": FLOAT, "FP64": TensorProto.DOUBLE,
}  # fmt: skip
OPTIONS = {"http_port": 0, "grpc_port": None, "watch_seconds": None}

CHAIN = """
inputs = ["x"]
outputs = {y = "second.y"}
steps.first = {model = "scaled", inputs = {x = "x"}}
steps.second = {model = "scaled", version = 1, inputs = {x = "first.y"}}
"""


@pytest.fixture(scope="module")
def server(folder, tmp_path_factory):
    chain = tmp_path_factory.mktemp("pipelines") / "chain.toml"
    chain.write_text(CHAIN)
    labels = {"digits": ModelSettings(labels=DIGITS)}
    with Server(folder, models=labels, pipelines={"chain": chain}, **OPTIONS) as running:
        yield running


# -- the browser ------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium was found (on Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        # as root it has no sandbox; it shall ask nobody for updates
        options = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=options)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, server):
    """Opens the page at a model. Afterwards: nobody else was asked, the console has no error."""
    contexts, asked, errors = [], [], []

    def visit(model="", url=server.url, expected=(), **options):
        context = browser.new_context(viewport={"width": 1400, "height": 1000}, **options)
        contexts.append(context)
        context.set_default_timeout(8000)
        page = context.new_page()
        page.on("request", lambda r: asked.append(r.url))
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
        page.goto(f"{url}/{model and f'#{model}/1'}")
        origins.add(url)
        ignored.update(expected)
        if model:
            page.wait_for_selector("article")
        return page

    origins, ignored = set(), set()
    yield visit
    for context in contexts:
        context.close()
    assert [u for u in asked if not u.startswith((*(f"{o}/" for o in origins), "blob:"))] == []
    assert [e for e in errors if not any(i in e for i in ignored)] == []


def ask(page):
    """Send the form; (what was sent, the answer as the page got it)."""
    with page.expect_response(lambda r: r.url.endswith("/infer")) as found:
        page.get_by_role("button", name="Ask the model").click()
    page.wait_for_selector("form.try button[type=submit]:not([disabled])")
    sent = found.value.request.post_data_buffer
    return sent, found.value


def says(page, selector, text):
    """Wait until an element has a text. Not wait_for_function: it needs eval, which the policy of the page forbids."""
    page.locator(selector).filter(has_text=text).first.wait_for()


def paste(page, text, at=0):
    area = page.locator("textarea").nth(at)
    if not area.is_visible():
        page.get_by_text("Values as JSON").nth(at).click()
    area.fill(text)


def inputs_of(sent):
    return {t["name"]: np.array(t["data"], np.float32).reshape(t["shape"]) for t in json.loads(sent)["inputs"]}


THREE = (
    (0.3, 0.25),
    (0.5, 0.15),
    (0.7, 0.3),
    (0.6, 0.48),
    (0.45, 0.5),
    (0.6, 0.52),
    (0.7, 0.7),
    (0.5, 0.87),
    (0.3, 0.75),
)
ONE = ((0.5, 0.1), (0.5, 0.9))


def draw(page, points):
    page.locator(".pad").scroll_into_view_if_needed()
    box = page.locator(".pad").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def npy(array, path):
    np.save(path, array)
    return path


def drop(page, path):
    """Drop a file on the form as a person does, by the browser's own event."""
    data = page.evaluate_handle(
        """([name, type, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], name, { type }));
            return data;
        }""",
        [path.name, "image/png" if path.suffix == ".png" else "", list(path.read_bytes())],
    )
    page.dispatch_event("fieldset.input", "drop", {"dataTransfer": data})


def png(pixels, path):
    """A gray or RGB image, uint8[h, w] or [h, w, 3], as a PNG file."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    packed = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    return path
