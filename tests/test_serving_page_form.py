"""Trying a model on the page at /: drawing, files, pasted values, in a real browser, against what the runtime says."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import serving
from browsing import (
    DIGITS,
    HOSTILE,
    ONE,
    THREE,
    ask,
    browser,
    draw,
    drop,
    folder,
    inputs_of,
    npy,
    paste,
    png,
    says,
    server,
    visit,
)


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
