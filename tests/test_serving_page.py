"""The page at /, in a real browser: what people see, what they may try, and that it asks nobody but its server."""

import json
import re
import shutil
import struct
import sys
import urllib.request
import zlib
from pathlib import Path

import numpy as np
import pytest
import serving
from onnx import TensorProto, helper

import interchange as ix
from interchange.serving import ModelSettings, Server
from interchange.serving.page import HEADERS, assets
from interchange.serving.settings import Token

SAMPLES = Path(__file__).parent.parent / "sample_models"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "</script><img src=x onerror=alert(1)>\u202e\"'$(id)`"
FLOAT = TensorProto.FLOAT
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


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
@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: the digits are its")
    folder = tmp_path_factory.mktemp("models")
    sys.path.insert(0, str(SAMPLES))
    try:
        import digits_cnn
    finally:
        sys.path.remove(str(SAMPLES))
    ix.export(*digits_cnn.make(), folder / "digits.onnx")
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


@pytest.mark.parametrize(("points", "digit"), [(THREE, 3), (ONE, 1)])
def test_a_drawn_digit_is_read_as_the_runtime_reads_its_pixels(visit, server, points, digit):
    page = visit("digits")
    draw(page, points)
    sent, response = ask(page)
    pixels = inputs_of(sent)["x"]
    assert pixels.shape == (1, 1, 8, 8)
    assert 0 <= pixels.min() < pixels.max() <= 1
    expected = server.infer("digits", x=pixels)["output"]
    found = np.array(response.json()["outputs"][0]["data"], np.float32)
    np.testing.assert_array_equal(found, expected[0])
    assert expected.argmax() == digit
    assert DIGITS[digit] in page.inner_text(".winner")
    shown = page.locator(".scores .number").all_inner_texts()
    np.testing.assert_allclose(np.array(shown, float), expected[0], rtol=1e-5)
    page.get_by_label("show softmax").check()
    shares = [float(t.removesuffix(" %")) / 100 for t in page.locator(".scores .number").all_inner_texts()]
    softmax = np.exp(expected[0] - expected.max())
    np.testing.assert_allclose(shares, softmax / softmax.sum(), atol=6e-4)


def test_what_the_model_sees_is_shown(visit):
    page = visit("digits")
    draw(page, THREE)
    sent, _ = ask(page)
    alpha = page.evaluate("""() => {
        const canvas = document.querySelector(".seen");
        const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return [...pixels].filter((_, i) => i % 4 === 3);
    }""")
    np.testing.assert_allclose(np.array(alpha) / 255, inputs_of(sent)["x"].ravel(), atol=0.004)
    page.get_by_role("button", name="Clear").click()
    assert "the example" in page.inner_text(".note")


def test_a_small_drawing_is_centred_and_fills_the_frame_if_that_is_wanted(visit):
    page = visit("digits")
    draw(page, [(x / 3, y / 3) for x, y in THREE])
    sent, _ = ask(page)
    filled = inputs_of(sent)["x"][0, 0]
    assert filled[0].any()
    assert filled[7].any()
    page.get_by_label("centre it").uncheck()
    sent, _ = ask(page)
    corner = inputs_of(sent)["x"][0, 0]
    assert corner[:3, :3].any()
    assert not corner[4:].any()
    assert not corner[:, 4:].any()


def test_a_digit_can_be_drawn_with_the_keyboard(visit):
    page = visit("digits")
    page.locator(".pad").focus()
    for key in (*["ArrowUp"] * 7, " ", *["ArrowDown"] * 14, " "):
        page.keyboard.press(key)
    sent, response = ask(page)
    assert np.argmax(response.json()["outputs"][0]["data"]) == 1
    assert (inputs_of(sent)["x"][0, 0, :, 3:5] > 0.3).all()


PASTED = (
    "[[1, 2.5, -3], [4, 5, 6]]",
    "[1, 2.5, -3, 4, 5, 6]",
    '{"x": [[1, 2.5, -3], [4, 5, 6]]}',
    '{"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [[1, 2.5, -3], [4, 5, 6]]}]}',
)


def test_pasted_json(visit):
    page = visit("scaled")
    for text in PASTED:
        page.get_by_role("button", name="Zeros").click()
        paste(page, text)
        _, response = ask(page)
        assert response.json()["outputs"][0]["data"] == [2, 5, -6, 8, 10, 12], text
        page.wait_for_selector(".answer .output")


def test_a_pipeline_shows_its_steps(visit):
    page = visit("chain")
    assert page.locator("article ol li").all_inner_texts() == ["first: scaled", "second: scaled 1"]
    paste(page, "[[1, 2, 3]]")
    _, response = ask(page)
    assert response.json()["outputs"][0]["data"] == [4, 8, 12]
    page.locator("article ol a").first.click()
    page.locator("h2").filter(has_text="scaled").wait_for()


def test_an_error_is_shown_in_its_parts(visit):
    page = visit("scaled", expected=["400 (Bad Request)"])
    paste(page, "[[1, 2, 3, 4]]")
    _, response = ask(page)
    error = response.json()
    assert response.status == 400
    shown = page.inner_text(".refusal")
    for part in ("code", "message", "input", "found", "expected", "fix"):
        assert error[part] in shown, part
    paste(page, "[[1, 2")
    assert "no JSON" in page.inner_text(".note")
    page.get_by_role("button", name="Ask the model").click()
    says(page, ".refusal", "no JSON")


def npy(array, path):
    np.save(path, array)
    return path


def test_arrays_from_files(visit, server, tmp_path):
    x = np.arange(6, dtype=np.float32).reshape(2, 3) / 7
    np.savez(tmp_path / "stored.npz", x=x, other=x)
    np.savez_compressed(tmp_path / "packed.npz", x=x)
    np.savez(tmp_path / "alone.npz", unknown=x)
    files = {
        npy(x, tmp_path / "x.npy"): "",
        npy(np.asfortranarray(x), tmp_path / "fortran.npy"): "",
        npy(x.astype(">f4"), tmp_path / "big.npy"): "",
        npy(x.astype(np.float64), tmp_path / "double.npy"): "FP64 in the file, sent as FP32",
        tmp_path / "stored.npz": "",
        tmp_path / "packed.npz": "",
        tmp_path / "alone.npz": "",
    }
    (tmp_path / "x.csv").write_text("first;second;third\n" + "\n".join(";".join(map(repr, row)) for row in x.tolist()))
    files[tmp_path / "x.csv"] = "FP64 in the file"
    page = visit("scaled")
    for path, note in files.items():
        page.set_input_files("input[type=file]", path)
        says(page, ".note", path.name)
        assert note in page.inner_text(".note")
        sent, response = ask(page)
        np.testing.assert_array_equal(inputs_of(sent)["x"], x, err_msg=path.name)
        assert response.ok


def test_a_file_without_an_array_is_refused(visit, tmp_path):
    page = visit("scaled")
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY nothing")
    (tmp_path / "a.npz").write_bytes(b"PK nothing")
    (tmp_path / "a.csv").write_text("1,2\n3\n")
    (tmp_path / "a.txt").write_text("1")
    np.save(tmp_path / "complex.npy", np.ones(3, complex))
    for name in ("a.npy", "a.npz", "a.csv", "a.txt", "complex.npy"):
        page.get_by_role("button", name="Example").click()
        page.set_input_files("input[type=file]", tmp_path / name)
        page.wait_for_selector(".note.bad")


def test_columns_of_a_table_go_to_the_inputs_of_their_names(visit, tmp_path):
    (tmp_path / "table.csv").write_text('"b",unused,"a"\n1,x,2\n3,"y, z",4\n')
    page = visit("pair")
    page.locator("input[type=file]").first.set_input_files(tmp_path / "table.csv")
    page.locator(".note").filter(has_text="table.csv").nth(1).wait_for()
    sent, response = ask(page)
    assert inputs_of(sent)["a"].tolist() == [[2], [4]]
    assert response.json()["outputs"][0]["data"] == [3, 7]


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


def test_dropped_files(visit, tmp_path):
    page = visit("digits")
    gray = serving.rng().integers(0, 256, (8, 8)).astype(np.uint8)
    drop(page, png(gray, tmp_path / "gray.png"))
    says(page, ".note", "the image")
    sent, _ = ask(page)
    np.testing.assert_array_equal(inputs_of(sent)["x"], (gray / 255).astype(np.float32)[None, None])
    page.get_by_label("values of pixels").select_option("0 to 255 (raw)")
    page.get_by_label("inverted").check()
    sent, _ = ask(page)
    np.testing.assert_array_equal(inputs_of(sent)["x"][0, 0], 255.0 - gray)
    x = serving.rng().random((3, 1, 8, 8)).astype(np.float32)
    drop(page, npy(x, tmp_path / "three.npy"))
    says(page, ".note", "three.npy")
    sent, response = ask(page)
    np.testing.assert_array_equal(inputs_of(sent)["x"], x)
    assert response.json()["outputs"][0]["shape"] == [3, 10]
    assert page.locator(".winner").count() == 3


def test_a_large_picture_is_scaled_and_its_colours_stay_apart(visit, tmp_path):
    page = visit("digits")
    large = np.repeat(np.repeat(np.eye(8, dtype=np.uint8) * 255, 8, 0), 8, 1)
    drop(page, png(large, tmp_path / "large.png"))
    says(page, ".note", "the image")
    sent, _ = ask(page)
    assert np.abs(inputs_of(sent)["x"][0, 0] - np.eye(8)).max() < 0.3
    rgb = serving.rng().integers(0, 256, (5, 7, 3)).astype(np.uint8)
    values = (rgb / 255).astype(np.float32)
    for model, expected in {"colours": values.transpose(2, 0, 1)[None], "last": values}.items():
        page = visit(model)
        drop(page, png(rgb, tmp_path / "rgb.png"))
        says(page, ".note", "the image")
        sent, response = ask(page)
        np.testing.assert_array_equal(inputs_of(sent)["image"], expected)
        assert response.ok


def test_every_datatype_as_json_and_as_bytes(visit):
    page = visit("types")
    values = {
        "BOOL": [True, False], "UINT8": [0, 255], "INT64": [-(2**63), 2**62 + 1], "UINT64": [2**64 - 1, 1],
        "FP16": [65504, 2049], "BF16": [1.00390625, -0.1], "FP32": [0.1, -1e-30], "FP64": [0.1, 1e300],
    }  # fmt: skip
    shown = {}
    for way in ("json", "binary"):
        for at, (name, pair) in enumerate(values.items()):
            paste(page, json.dumps([pair]), at)
            assert f"{name}[1, 2]" in page.locator(".note").nth(at).inner_text()
        page.get_by_label("sent").select_option(way)
        _, response = ask(page)
        assert response.ok, response.text()
        assert (response.headers.get("inference-header-content-length") is not None) == (way == "binary")
        page.wait_for_selector(".answer .output")
        shown[way] = page.locator(".answer .output").all_inner_texts()
        for name, text in zip(values, shown[way], strict=True):
            assert f"y_{name}: {name}[1, 2]" in text
        assert str(2**62 + 1) in shown[way][2]
        assert str(2**64 - 1) in shown[way][3]
        assert "2048" in shown[way][4]  # a tie goes to the even one
    assert shown["json"] == shown["binary"]
    paste(page, "[[1, 300]]", 1)
    page.get_by_role("button", name="Ask the model").click()
    says(page, ".refusal", "no value of UINT8")


def test_sizes_of_open_axes_make_the_example(visit):
    page = visit("hostile")
    page.get_by_label("batch").fill("3")
    page.locator("input[type=number]").nth(1).fill("8")
    assert "FP32[3, 8]" in page.inner_text(".note")
    sent, response = ask(page)
    assert inputs_of(sent)[HOSTILE].shape == (3, 8)
    assert response.ok
    page.get_by_role("button", name="Zeros").click()
    sent, _ = ask(page)
    assert not inputs_of(sent)[HOSTILE].any()


def test_names_of_a_model_are_text(visit):
    page = visit("hostile")
    assert page.evaluate("document.querySelectorAll('main img, main b > b, main script').length") == 0
    shown = HOSTILE.replace("\u202e", "\\u202e")
    assert shown in page.inner_text("article")
    ask(page)
    page.wait_for_selector(".answer .output")
    assert "<b>y</b>" in page.inner_text(".answer")


def test_the_lines_send_the_same_request(visit, server, tmp_path):
    import subprocess

    page = visit("hostile")
    _, response = ask(page)
    line = page.inner_text(".lines pre")
    assert line.startswith("curl ")
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout) == response.json()
    page.get_by_role("button", name="Python, tritonclient").click()
    assert "tritonclient" in page.inner_text(".lines pre")
    page.get_by_role("button", name="Python", exact=True).click()
    code = page.inner_text(".lines pre")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "<b>y</b>" in done.stdout
    page.get_by_role("button", name="Copy").click()
    page.wait_for_selector(".lines [role=status]:not(:empty)")


def test_a_large_request_goes_as_bytes_and_its_lines_read_files(visit, server, tmp_path):
    page = visit("colours")
    page.get_by_label("height").fill("150")
    page.get_by_label("width").fill("200")
    _, response = ask(page)
    assert response.ok
    assert response.headers["inference-header-content-length"]
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save request.bin").click()
    headers = {"Inference-Header-Content-Length": response.request.headers["inference-header-content-length"]}
    body = Path(saved.value.path()).read_bytes()
    with urllib.request.urlopen(urllib.request.Request(response.url, body, headers)) as again:
        assert again.read() == response.body()
    page.get_by_role("button", name="Python", exact=True).click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save image.npy").click()
    array = np.load(saved.value.path())
    assert array.dtype == np.float32
    assert array.shape == (1, 3, 150, 200)


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
