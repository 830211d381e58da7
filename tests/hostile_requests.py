"""Hostile and edge requests, and what must come back: the table that tests/test_serving_hostile.py asks a server.

``python tests/hostile_requests.py`` writes it to docs/hostile_requests.md.
"""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile_cases import CASES, LONG, MAX_BODY, MAX_ELEMENTS, case, connected, full, nothing, slow_reader, vanish
from raw_http import GOOD, Answer, binary, chunk, chunked, document, get, infer, post, request

PAGE = Path(__file__).parents[1] / "docs" / "hostile_requests.md"


def entry(name: str, dtype: str, shape: list[int], data: Any) -> bytes:
    """A request for the model of a datatype."""
    tensor = {"name": name, "shape": shape, "datatype": dtype, "data": data}
    return infer({"inputs": [tensor]}, model=dtype.lower())


def outputs(*expected: Any) -> Callable[[Answer], bool]:
    """A check: the data of the first output."""
    return lambda answer: answer.json["outputs"][0]["data"] == list(expected)


X = '{"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": %s}]}'

# fmt: off
# .. JSON ..
case("JSON", "an empty body", infer(b""), 400, "IX630", "an empty body")
case("JSON", "a body that ends too early", infer(b'{"inputs": ['), 400, "IX630", "line 1")
case("JSON", "a list instead of an object", infer(b"[]"), 400, "IX630", "a JSON list")
case("JSON", "two documents", infer(b"{}{}"), 400, "IX630")
case("JSON", "a byte order mark", infer(b"\xef\xbb\xbf{}"), 400, "IX630")
case("JSON", "UTF-16", infer(json.dumps(document()).encode("utf-16")), 400, "IX630")
case("JSON", "bytes that are no UTF-8", infer(b'{"id": "\xff"}'), 400, "IX630")
case("JSON", "half a surrogate pair", infer(b'{"id": "\\ud800"}'), 400, "IX630", "surrogate")
case("JSON", "NaN as Python writes it", infer(X % "[NaN, 1, 2]"), 400, "IX630", '\\"NaN\\"')
case("JSON", "NaN as a text", infer(document(data=["NaN", "Infinity", "-Infinity"])), 200,
     check=outputs("NaN", "Infinity", "-Infinity"))
case("JSON", "1e400", infer(X % "[1e400, 1, 2]"), 400, "IX630", "infinity")
case("JSON", "lists in lists, 100,000 deep", infer(b'{"inputs": ' + b"[" * 100_000), 400, "IX630", "depth")
case("JSON", "objects in objects, 900 deep", infer(b'{"inputs": [' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"]}"),
     400, "IX631", "an entry of inputs")
case("JSON", "300,000 empty lists", lambda: infer(X % ("[" + "[]," * 300_000 + "[]]")), 400, "IX632", "input")
case("JSON", "a member twice: the last counts", infer(b'{"inputs": 1, ' + json.dumps(document()).encode()[1:]), 200)
case("JSON", "a member that is not the protocol's", infer(document() | {"input": []}), 400, "IX631", '\\"input\\"')
case("JSON", "null for what may be left out", infer(document() | dict.fromkeys(("id", "parameters", "outputs"))), 200)

# .. inputs ..
case("inputs", "no inputs member", infer({}), 400, "IX631", "inputs is not a list")
case("inputs", "an object instead of the list", infer({"inputs": {}}), 400, "IX631", "inputs is not a list")
case("inputs", "an empty list", infer({"inputs": []}), 400, "IX601", "input x is missing", "float32[batch, 3]")
case("inputs", "a text as an input", infer({"inputs": ["x"]}), 400, "IX631", "an entry of inputs")
case("inputs", "an input without a name", infer(document(name=...)), 400, "IX631", "name")
case("inputs", "a number as the name", infer(document(name=3)), 400, "IX631", "name")
case("inputs", "another name", infer(document(name="X")), 400, "IX602", "no input 'X'", "x: float32[batch, 3]")
case("inputs", "a name with control characters", infer(document(name="x\x1b[31m\r\nSet-Cookie: a=b\0")), 400, "IX602",
     check=lambda a: (b"\x1b" not in a.body and "set-cookie" not in a.headers))
case("inputs", "a name of 500,000 letters", infer(document(name="x" * 500_000)), 400, "IX631",
     check=lambda a: len(a.body) < 2000)
case("inputs", "the same input twice", infer({"inputs": document()["inputs"] * 2}), 400, "IX635", "twice")
case("inputs", "one input too many", infer({"inputs": document()["inputs"] + document(name="z")["inputs"]}), 400,
     "IX602", "'z'")
case("inputs", "200,000 inputs", lambda: infer({"inputs": [{}] * 200_000}), 400, "IX631",
     check=lambda a: len(a.json["problems"]) < 20)
case("inputs", "several mistakes: all are told",
     infer({"inputs": [{"name": "x_FP32", "shape": [1, 2], "datatype": "FP16", "data": [1, 2]},
                       {"name": "x_INT64", "shape": [1, 2], "datatype": "INT64", "data": [1, "2"]}]}, model="same"),
     400, "IX603", "x_FP32", "x_INT64", "IX633")
case("inputs", "an unknown member of an input", infer(document(dtype="FP32")), 400, "IX631", '\\"dtype\\"')

# .. shapes ..
case("shapes", "no shape", infer(document(shape=...)), 400, "IX631", "shape = null")
case("shapes", "a negative size", infer(document(shape=[-1, 3])), 400, "IX631", "[-1,3]")
case("shapes", "a size with a fraction", infer(document(shape=[1.0, 3])), 400, "IX631", "[1.0,3]")
case("shapes", "a size as a text", infer(document(shape=["1", 3])), 400, "IX631")
case("shapes", "true as a size", infer(document(shape=[True, 3])), 400, "IX631", "[true,3]")
case("shapes", "sizes whose product is beyond 64 bits", infer(document(shape=[2**32, 2**32])), 413, "IX652",
     f"at most {MAX_ELEMENTS} elements")
case("shapes", "a product of 0 with a size beyond memory", infer(document(shape=[0, 2**62], data=[])), 413, "IX652")
case("shapes", "100 axes", infer(document(shape=[1] * 100, data=[1])), 400, "IX631", "at most 64")
case("shapes", "100,000 huge sizes", lambda: infer(document(shape=[10**9] * 80_000)), 400, "IX631", "at most 64")
case("shapes", "another rank", infer(document(shape=[3])), 400, "IX604", "1 axes", "float32[batch, 3]")
case("shapes", "a scalar where the model takes two axes", infer(document(shape=[], data=[1])), 400, "IX604", "0 axes")
case("shapes", "another fixed size", infer(document(shape=[1, 4], data=[1, 2, 3, 4])), 400, "IX604",
     "axis 1 is 4 instead of 3")
case("shapes", "no rows", infer(document(shape=[0, 3], data=[])), 200, check=outputs())
case("shapes", "a scalar", infer(document(shape=[], data=[2]), model="scalar"), 200, check=outputs(-2.0))
case("shapes", "one axis where the model takes a scalar", infer(document(shape=[1], data=[2]), model="scalar"), 400,
     "IX604")
case("shapes", "more rows than the model was exported for",
     infer(document(shape=[5, 2], data=[0] * 10), model="bounded"), 400, "IX606", "rows = 5", "rows <= 4")
case("shapes", "a size that a guard refuses", infer(document(shape=[1, 3]), model="bounded"), 400, "IX607",
     "columns%2 == 0")
case("shapes", "two inputs whose rows differ",
     infer({"inputs": [{"name": "x_FP32", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]},
                       {"name": "x_INT64", "shape": [2, 2], "datatype": "INT64", "data": [1, 2, 3, 4]}]}, model="same"),
     400, "IX605", "batch is one size")

# .. data ..
case("data", "too few values", infer(document(data=[1, 2])), 400, "IX632", "2 values", "[1, 3]: 3 values")
case("data", "too many values", infer(document(data=[1, 2, 3, 4])), 400, "IX632", "4 values")
case("data", "no data", infer(document(data=...)), 400, "IX632", "data = null")
case("data", "a number instead of a list", infer(document(data=1)), 400, "IX632")
case("data", "nested as the shape is", infer(document(data=[[1, 2, 3]])), 200, check=outputs(2.0, 4.0, 6.0))
case("data", "nested in another way", infer(document(shape=[2, 3], data=[[1, 2], [3, 4], [5, 6]])), 400, "IX632",
     "a list of 3 lists")
case("data", "ragged", infer(document(shape=[2, 3], data=[[1, 2, 3], [4, 5]])), 400, "IX632", "nested lists")
case("data", "null among the values", infer(document(data=[1, None, 3])), 400, "IX633", '"found":"null"')
case("data", "a text among the values", infer(document(data=[1, "2", 3])), 400, "IX633")
case("data", "true among the values", infer(document(data=[1, True, 3])), 400, "IX633", '"found":"true"')
case("data", "a value above FP32", infer(document(data=[1, 1e39, 3])), 400, "IX633", "1e+39")
case("data", "a value above FP16", entry("x_FP16", "FP16", [1, 2], [1, 70_000]), 400, "IX633", "70000")
case("data", "a value above BF16", entry("x_BF16", "BF16", [1, 2], [1, 3.4e38 * 1.01]), 400, "IX633")
case("data", "FP16 and BF16 in JSON", entry("x_BF16", "BF16", [1, 2], [1.5, "NaN"]), 200, check=outputs(1.5, "NaN"))
case("data", "a fraction as INT64", entry("x_INT64", "INT64", [1, 2], [1, 1.0]), 400, "IX633", "1.0", "whole numbers")
case("data", "a value above INT8", entry("x_INT8", "INT8", [1, 2], [1, 128]), 400, "IX633", "128")
case("data", "a negative UINT8", entry("x_UINT8", "UINT8", [1, 2], [1, -1]), 400, "IX633", "-1")
case("data", "a value above INT64", entry("x_INT64", "INT64", [1, 2], [1, 2**63]), 400, "IX633", str(2**63))
case("data", "0 and 1 as BOOL", entry("x_BOOL", "BOOL", [1, 2], [0, 1]), 400, "IX633", "true or false")
case("data", "numbers as BYTES", entry("x_BYTES", "BYTES", [1, 2], ["a", 1]), 400, "IX633", "texts")
case("data", "texts with a NUL and beyond ASCII", entry("x_BYTES", "BYTES", [1, 2], ["a\0b", "größe 🙂"]), 200,
     check=outputs("a\0b", "größe 🙂"))
case("data", "another datatype", infer(document(datatype="INT64")), 400, "IX603", "INT64", "FP32")
case("data", "no datatype", infer(document(datatype=...)), 400, "IX603")
case("data", "a datatype that there is not", infer(document(datatype="FLOAT")), 400, "IX603", "FLOAT")

# .. outputs, parameters, id ..
case("outputs", "an output that there is not", infer(document() | {"outputs": [{"name": "z"}]}), 400, "IX637", "'z'")
case("outputs", "the same output twice", infer(document() | {"outputs": [{"name": "y"}] * 2}), 400, "IX635")
case("outputs", "an object instead of the list", infer(document() | {"outputs": {"name": "y"}}), 400, "IX631")
case("outputs", "shared memory", infer(document() | {"outputs": [{"name": "y", "parameters": {
    "shared_memory_region": "a"}}]}), 400, "IX638", "shared_memory_region")
case("outputs", "no classes", infer(document() | {"outputs": [{"name": "y", "parameters": {"classification": 0}}]}),
     400, "IX638", "classification")
case("outputs", "more classes than there are", infer(document() | {"outputs": [{"name": "y", "parameters": {
    "classification": 2**70}}]}), 400, "IX638")
case("outputs", "classes of a scalar", infer(document(shape=[], data=[1]) | {"outputs": [{"name": "y", "parameters": {
    "classification": 1}}]}, model="scalar"), 400, "IX638", "axis of classes")
case("parameters", "one that this server does not take", infer(document() | {"parameters": {"sequence_id": 7}}), 400,
     "IX638", "sequence_id")
case("parameters", "a list", infer(document() | {"parameters": []}), 400, "IX631", "parameters is not an object")
case("parameters", "a negative timeout", infer(document() | {"parameters": {"timeout": -1}}), 400, "IX638", "timeout")
case("parameters", "a priority of lists, 900 deep",
     infer(b'{"parameters": {"priority": ' + b"[" * 900 + b"]" * 900 + b'}, "inputs": []}'), 400)
case("parameters", "a number as the id", infer(document() | {"id": 7}), 400, "IX631", "id is not a text")
case("parameters", "an id with control characters", infer(document() | {"id": "a\r\nb\0"}), 200,
     check=lambda a: a.json["id"] == "a\r\nb\0")

# .. the binary extension ..
F3 = struct.pack("<3f", 1, 2, 3)


def sized(size: Any, **changes: Any) -> dict[str, Any]:
    """A document whose input is in the bytes behind it."""
    return document(data=..., parameters={"binary_data_size": size}, **changes)


case("binary", "as it should be", binary(sized(12), F3), 200, check=outputs(2.0, 4.0, 6.0))
case("binary", "a negative size", binary(sized(-12), F3), 400, "IX636", "binary_data_size", "-12")
case("binary", "a size with a fraction", binary(sized(12.0), F3), 400, "IX636", "12.0")
case("binary", "a size beyond the body", binary(sized(16), F3), 400, "IX636", "at most the 12 bytes")
case("binary", "a size beyond 64 bits", binary(sized(2**64), F3), 400, "IX636")
case("binary", "bytes that belong to nobody", binary(sized(12), F3 + b"more"), 400, "IX636", "16 bytes behind the JSON")
case("binary", "bytes that do not fill the shape", binary(sized(8), F3[:8]), 400, "IX636", "8 bytes", "12 bytes")
case("binary", "an odd number of bytes", binary(sized(13), F3 + b"\0"), 400, "IX636", "13 bytes")
case("binary", "data in JSON as well", binary(document(parameters={"binary_data_size": 12}), F3), 400, "IX631", "data")
case("binary", "tensors that are not aligned",
     binary(document(data=..., parameters={"binary_data_size": 12}) | {"id": "odd"}, F3), 200,
     check=outputs(2.0, 4.0, 6.0))
case("binary", "a JSON length beyond the body", binary(sized(12), F3, length=10**6), 400, "IX636",
     "Inference-Header-Content-Length")
case("binary", "a JSON length within the JSON", binary(sized(12), F3, length=20), 400, "IX630")
case("binary", "a JSON length that is negative", binary(sized(12), F3, length=-1), 400, "IX636", "-1")
case("binary", "a JSON length in hexadecimal", binary(sized(12), F3, length="0x10"), 400, "IX636", "0x10")
case("binary", "a JSON length of 30 digits", binary(sized(12), F3, length="9" * 30), 400, "IX636")
case("binary", "a JSON length twice", infer(b"{}", *["Inference-Header-Content-Length: 2"] * 2), 400, "IX658", "twice",
     closes=True)
case("binary", "a raw request", infer(F3 + F3, "Inference-Header-Content-Length: 0"), 200,
     check=lambda a: a.json["outputs"][0]["shape"] == [2, 3])
case("binary", "a raw request that fills no row", infer(F3[:11], "Inference-Header-Content-Length: 0"), 400, "IX636",
     "11 bytes")
case("binary", "a raw request for two inputs", infer(F3, "Inference-Header-Content-Length: 0", model="same"), 400,
     "IX636", "one input")


def texts(data: bytes, shape: tuple[int, int] = (1, 2)) -> bytes:
    """BYTES as they are."""
    tensor = {"name": "x_BYTES", "shape": list(shape), "datatype": "BYTES"}
    return binary({"inputs": [tensor | {"parameters": {"binary_data_size": len(data)}}]}, data, model="bytes")


def packed(*values: bytes) -> bytes:
    """Elements of BYTES."""
    return b"".join(struct.pack("<I", len(v)) + v for v in values)


case("binary", "BYTES as they should be", texts(packed(b"a", "ö".encode())), 200, check=outputs("a", "ö"))
case("binary", "an element longer than the data", texts(packed(b"a") + b"\xff\xff\xff\xff"), 400, "IX636", "end within")
case("binary", "three of the four bytes of a length", texts(packed(b"a") + b"\1\0\0"), 400, "IX636", "end within")
case("binary", "an element too few", texts(packed(b"a")), 400, "IX636", "1 elements", "2 elements")
case("binary", "an element too many", texts(packed(b"a", b"b", b"c")), 400, "IX636", "2 elements")
case("binary", "250,000 empty elements too many", lambda: texts(b"\0" * 1_000_000), 400, "IX636", "more than 2")
case("binary", "an element that is no UTF-8", texts(packed(b"a", b"\xff\xfe")), 400, "IX633", "element 1", "UTF-8")
case("binary", "a BOOL of 2", binary({"inputs": [{"name": "x_BOOL", "shape": [1, 2], "datatype": "BOOL", "parameters": {
    "binary_data_size": 2}}]}, b"\1\2", model="bool"), 400, "IX633", "0 or 1")
case("binary", "an unknown parameter of an input", binary(document(data=..., parameters={"content_type": "np"}), F3),
     400, "IX638", "content_type")

# .. compression ..
GZIP = gzip.compress(json.dumps(document()).encode())
case("compression", "gzip", infer(GZIP, "Content-Encoding: gzip"), 200)
case("compression", "deflate", infer(zlib.compress(json.dumps(document()).encode()), "Content-Encoding: deflate"), 200)
case("compression", "a gzip bomb: 256 MiB in 256 kB", lambda: infer(bomb(), "Content-Encoding: gzip"), 413, "IX652",
     f"at most {MAX_BODY} bytes")
case("compression", "gzip that ends too early", infer(GZIP[:-8], "Content-Encoding: gzip"), 400, "IX630", "gzip")
case("compression", "gzip with something behind it", infer(GZIP + b"more", "Content-Encoding: gzip"), 400, "IX630")
case("compression", "no gzip at all", infer(b"{}", "Content-Encoding: gzip"), 400, "IX630", "no gzip data")
case("compression", "brotli", infer(b"{}", "Content-Encoding: br"), 415, "IX653", "br", "gzip or deflate")
case("compression", "gzip twice", infer(gzip.compress(GZIP), "Content-Encoding: gzip, gzip"), 415, "IX653")


def bomb() -> bytes:
    """256 MiB of zeros."""
    writer = zlib.compressobj(9, wbits=31)
    zeros = bytes(1 << 24)
    return b"".join(writer.compress(zeros) for _ in range(16)) + writer.flush()


# .. heads ..
LIVE, INFER = "/v2/health/live", "/v2/models/scaled/infer"
case("head", "a head of 20,000 bytes", get(LIVE, "A: " + "a" * 20_000), 431, "IX656", "16384", closes=True)
case("head", "a line that does not end", b"GET /" + b"a" * 20_000, 431, "IX656", closes=True)
case("head", "200 headers", get(LIVE, *(f"A{n}: b" for n in range(200))), 431, "IX656", "at most 100", closes=True)
case("head", "lines that end in LF alone", b"GET /v2/health/live HTTP/1.1\nHost: test\n\n", 400, "IX658", closes=True)
case("head", "one line that ends in LF alone", get(LIVE, "A: b\nB: c"), 400, "IX658", closes=True)
case("head", "a CR in a header", get(LIVE, "A: b\rB: c"), 400, "IX658", closes=True)
case("head", "a folded header", get(LIVE, "A: b\r\n c"), 400, "IX658", closes=True)
case("head", "a space before the colon", get(LIVE, "Content-Length : 0"), 400, "IX658", closes=True)
case("head", "a header without a name", get(LIVE, ": b"), 400, "IX658", closes=True)
case("head", "a NUL in a header", get(LIVE, "A: b\0"), 400, "IX658", closes=True)
case("head", "no Host", request("GET", LIVE, host=""), 400, "IX658", "Host", closes=True)
case("head", "two Hosts", get(LIVE, "Host: other"), 400, "IX658", "host twice", closes=True)
case("head", "HTTP/1.0", b"GET /v2/health/live HTTP/1.0\r\n\r\n", 200, closes=True)
case("head", "HTTP/0.9", b"GET /v2/health/live\r\n\r\n", 400, "IX658", closes=True)
case("head", "HTTP/2 without being asked", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), 400, "IX658", closes=True)
case("head", "HTTP/1.2", b"GET /v2/health/live HTTP/1.2\r\nHost: a\r\n\r\n", 400, "IX658", closes=True)
case("head", "an offer of HTTP/2", get(LIVE, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
     "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"), 200)
case("head", "TLS where none is spoken", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), 400, "IX658",
     closes=True)
case("head", "empty lines before the request", b"\r\n\r\n\r\n" + GOOD, 200)
case("head", "two spaces in the first line", b"GET  /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n", 400, "IX658",
     closes=True)
case("head", "bytes beyond ASCII in the path", request("GET", "/v2/models/gr\xf6\xdfe"), 400, "IX658", closes=True)
case("head", "X-Request-Id with a space", get(LIVE, "X-Request-Id: a b"), 200,
     check=lambda a: "x-request-id" not in a.headers)
case("head", "X-Request-Id", get(LIVE, "X-Request-Id: 42/a"), 200,
     check=lambda a: a.headers["x-request-id"] == "42/a")
case("head", "Connection: close", get(LIVE, "Connection: close"), 200, closes=True)

# .. where a body ends ..
case("framing", "two lengths", request("POST", LIVE, ["Content-Length: 2", "Content-Length: 3"], b"{}"), 400, "IX658",
     closes=True)
case("framing", "two lengths in one header", request("POST", LIVE, ["Content-Length: 2, 2"], b"{}"), 400, "IX658",
     closes=True)
case("framing", "a negative length", request("POST", LIVE, ["Content-Length: -2"], b"{}"), 400, "IX658", closes=True)
case("framing", "a length with a sign", request("POST", LIVE, ["Content-Length: +2"], b"{}"), 400, "IX658", closes=True)
case("framing", "a length beyond 64 bits", request("POST", LIVE, ["Content-Length: " + "9" * 30]), 400, "IX658",
     closes=True)
case("framing", "an empty length", request("POST", LIVE, ["Content-Length: "]), 400, "IX658", closes=True)
case("framing", "a length and chunks",
     request("POST", LIVE, ["Content-Length: 3", "Transfer-Encoding: chunked"], b"0\r\n\r\n"), 400, "IX658",
     closes=True)
case("framing", "gzip as transfer coding", request("POST", LIVE, ["Transfer-Encoding: gzip, chunked"], b"0\r\n\r\n"),
     400, "IX658", closes=True)
case("framing", "almost chunked", request("POST", LIVE, ["Transfer-Encoding: xchunked"], b"0\r\n\r\n"), 400,
     "IX658", closes=True)
case("framing", "chunks in HTTP/1.0", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "IX658",
     closes=True)
case("framing", "a length above the limit", lambda: infer(bytes(MAX_BODY + 1)), 413, "IX652", f"{MAX_BODY + 1} bytes",
     closes=True)
case("framing", "a length far above the limit, and its body",
     lambda: (request("POST", INFER, ["Content-Length: 99999999999"]), *[bytes(1 << 20)] * 16), 413, "IX652",
     "99999999999 bytes", closes=True)
case("framing", "a body above the limit that asks first",
     request("POST", "/v2/models/scaled/infer", [f"Content-Length: {MAX_BODY + 1}", "Expect: 100-continue"]), 413,
     "IX652", closes=True)
case("framing", "a body that asks first", (request("POST", "/v2/models/scaled/infer", [
    f"Content-Length: {len(json.dumps(document()))}", "Expect: 100-continue"]), json.dumps(document()).encode()), 200,
    pause=0.05)
case("framing", "a body with GET", request("GET", LIVE, ["Content-Length: 2"], b"{}"), 200)
case("framing", "an end within the body", GOOD[:-10], 400, "IX658", "the end of the connection", end=True, closes=True)
case("framing", "an end within the head", get(LIVE)[:-2], 400, "IX658", end=True, closes=True)
case("framing", "an end behind the request", GOOD, 200, end=True)
case("framing", "one byte at a time", lambda: tuple(bytes([b]) for b in GOOD), 200)

# .. chunks ..
BODY = json.dumps(document()).encode()
case("chunks", "as they should be", chunked(chunk(BODY[:7]), chunk(BODY[7:])), 200)
case("chunks", "of one byte, in packets of one byte",
     lambda: tuple(bytes([b]) for b in chunked(*(chunk(bytes([b])) for b in BODY))), 200)
case("chunks", "with extensions and trailers",
     chunked(b"%x;a=b;c\r\n%b\r\n" % (len(BODY), BODY), end=b"0;z\r\nA: b\r\nContent-Length: 9\r\n\r\n"),
     200)
case("chunks", "a size beyond 32 bits", chunked(b"fffffffff\r\n"), 400, "IX658", "chunks", closes=True)
case("chunks", "a size above the limit", chunked(b"fffffff\r\n"), 413, "IX652", closes=True)
case("chunks", "a size with a sign", chunked(b"-1\r\n"), 400, "IX658", closes=True)
case("chunks", "a size with 0x", chunked(b"0x1\r\na\r\n"), 400, "IX658", closes=True)
case("chunks", "a size that ends in LF alone", chunked(b"1\na\r\n"), 400, "IX658", closes=True)
case("chunks", "data that ends in LF alone", chunked(b"%x\r\n%b\n" % (len(BODY), BODY)), 400, "IX658", closes=True)
case("chunks", "more data than the size says, and no line end", chunked(b"1\r\nab", end=b""), 400, "IX658", closes=True)
case("chunks", "more data than the size says", chunked(b"1\r\nabc\r\n"), 400, "IX658", closes=True)
case("chunks", "an extension of 1,000 bytes", chunked(b"1;" + b"a" * 1000 + b"\r\na\r\n"), 400, "IX658", closes=True)
case("chunks", "many below the limit, all of them above it",
     lambda: chunked(*[chunk(bytes(1 << 16))] * 20), 413, "IX652", closes=True)
case("chunks", "70,000 of one byte", lambda: chunked(*[chunk(b" ")] * 70_000), 413, "IX652", "chunks", closes=True)
case("chunks", "200,000 trailers", lambda: chunked(end=b"0\r\n" + b"a: b\r\n" * 200_000), 413, "IX652", closes=True)

# .. several requests on one connection ..
case("pipelining", "100 good requests at once", GOOD * 100, 200, answers=(200,) * 100)
case("pipelining", "good ones and bad ones, in order", (GOOD + infer(b"") + GOOD + get("/no") + GOOD) * 5, 200,
     answers=(200, 400, 200, 404, 200) * 5)
case("pipelining", "nothing behind what cannot be read", GOOD + b"NO HTTP\r\n\r\n" + GOOD, 400, "IX658", closes=True,
     answers=(200, 400))
case("pipelining", "nothing behind Connection: close", get(LIVE, "Connection: close") + GOOD, 200, closes=True)
case("pipelining", "three requests, then an end", GOOD * 3, 200, end=True, answers=(200,) * 3)
case("pipelining", "a request in the body of another",
     infer(document() | {"id": GOOD.decode()}), 200,
     check=lambda a: a.json["id"] == GOOD.decode())

# .. what is asked for ..
case("paths", "a path that there is not", get("/v3"), 404, "IX650", "/v3")
case("paths", "a model that there is not", infer(document(), model="scale"), 404, "IX640", "'scale'",
     "did you mean scaled")
case("paths", "a version that there is not", get("/v2/models/scaled/versions/2/ready"), 404, "IX641", "'2'")
case("paths", "a version with a zero before it", post("/v2/models/scaled/versions/01/infer", document()), 404, "IX641")
case("paths", "a version that is no number", get("/v2/models/scaled/versions/latest"), 404, "IX641", "latest")
case("paths", "the first version", post("/v2/models/scaled/versions/1/infer", document()), 200)
case("paths", "a slash in the name of a model", get("/v2/models/a%2Fb"), 404, "IX640", "a/b")
case("paths", "a way out of the repository", get("/v2/models/..%2F..%2Fetc%2Fpasswd"), 404, "IX640",
     check=lambda a: b"root:" not in a.body)
case("paths", "a way out of the page's files", get("/page/../../../etc/passwd"), 404, "IX650")
case("paths", "a way out of the page's files, encoded", get("/page/%2e%2e%2f%2e%2e%2fetc%2fpasswd"), 404, "IX650")
case("paths", "a NUL in the name of a model", get("/v2/models/scaled%00"), 404, "IX640")
case("paths", "a name that is no UTF-8", get("/v2/models/%ff%fe"), 404, "IX640")
case("paths", "a name with a line end", get("/v2/models/a%0d%0aSet-Cookie:%20a=b"), 404, "IX640",
     check=lambda a: "set-cookie" not in a.headers)
case("paths", "a name of 10,000 letters", get("/v2/models/" + "a" * 10_000), 404, "IX640")
case("paths", "another model in the body", infer(document() | {"model_name": "spin"}), 400, "IX631", "scaled")
case("paths", "the same model in the body", infer(document() | {"model_name": "scaled"}), 200)
case("paths", "an empty name", get("/v2/models//ready"), 404, "IX650")
case("paths", "a host in the path", get("//other/v2/health/live"), 404, "IX650")
case("paths", "as one asks a proxy", get("http://test/v2/health/live"), 200)
case("paths", "a broken address", get("http://[::1/v2"), 404, "IX650")
case("paths", "a fragment", get("/v2/health/live#a"), 400, "IX658", closes=True)
case("paths", "200 fields in the query", get("/v2/health/live?" + "a=b&" * 200), 400, "IX658", closes=True)
case("methods", "GET of an inference", get("/v2/models/scaled/infer"), 405, "IX651", "POST",
     check=lambda a: a.headers["allow"] == "POST")
case("methods", "DELETE", get("/v2/models/scaled", method="DELETE"), 405, "IX651")
case("methods", "TRACE", get(LIVE, method="TRACE"), 405, "IX651")
case("methods", "OPTIONS *", get("*", method="OPTIONS"), 404, "IX650")
case("methods", "CONNECT", get("example.com:443", method="CONNECT"), 404, "IX650")
case("methods", "a method that there is not", get(LIVE, method="BREW"), 400, "IX658", closes=True)
case("methods", "HEAD", get(LIVE, method="HEAD"), 200, to_head=True)

# .. tokens ..
BEARER = "Authorization: Bearer "
case("tokens", "none", infer(document()), 401, "IX654", "Authorization: Bearer", server="guarded",
     check=lambda a: a.headers["www-authenticate"] == "Bearer")
case("tokens", "a wrong one", infer(document(), BEARER + "reads"), 401, "IX654", "unknown", server="guarded")
case("tokens", "another scheme", infer(document(), "Authorization: Basic cmVhZHMtc2NhbGVk"), 401, "IX654",
     server="guarded")
case("tokens", "bytes beyond ASCII", infer(document(), BEARER + "\xff\xfe"), 401, "IX654", server="guarded")
case("tokens", "two of them", infer(document(), BEARER + "reads-scaled", BEARER + "rules"), 400, "IX658",
     server="guarded", closes=True)
case("tokens", "the right one", infer(document(), BEARER + "reads-scaled"), 200, server="guarded")
case("tokens", "one for other models", infer(document(), BEARER + "reads-scaled", model="spin"), 403, "IX655", "spin",
     server="guarded")
case("tokens", "one for other models, and a name that there is not",
     infer(document(), BEARER + "reads-scaled", model="scope"), 404, "IX640", server="guarded",
     check=lambda a: b"spin" not in a.body)
case("tokens", "one that may not administer", post("/v2/repository/models/scaled/load", {}, BEARER + "reads-scaled"),
     403, "IX655", "admin", server="guarded")
case("tokens", "administration where no token may", post("/v2/repository/models/scaled/unload", {}), 403, "IX655",
     "administration is off")
case("tokens", "a file for the repository", post("/v2/repository/models/scaled/load", {"parameters": {
    "file:1/model.onnx": "AAAA"}}, BEARER + "rules"), 400, "IX638", "file:1/model.onnx", server="guarded")
case("tokens", "none, and a body of 10 MB", lambda: (infer(bytes(10 << 20)),), 401, "IX654", server="guarded",
     closes=True)
case("tokens", "none, for a way out of the repository", post("/v2/repository/models/..%2F../load", {}), 401, "IX654",
     server="guarded")
case("tokens", "a way out of the repository", post("/v2/repository/models/..%2F..%2Fsecret/load", {}, BEARER + "rules"),
     404, "IX640", server="guarded")
case("tokens", "health needs none", get(LIVE), 200, server="guarded")

# .. values ..
case("values", "an index out of range", infer(document(name="i", datatype="INT64", shape=[1], data=[9]), model="pick"),
     400, "IX611", "indices")
case("values", "an output beyond memory",
     infer(document(name="n", datatype="INT64", shape=[1], data=[1 << 50]), model="space"), 503, "IX647",
     "memory", check=lambda a: int(a.headers["retry-after"]) >= 1)
case("values", "an output of a negative size",
     infer(document(name="n", datatype="INT64", shape=[1], data=[-5]), model="space"), 400, "IX611")
case("values", "a run that does not end within the request's timeout",
     infer(LONG | {"parameters": {"timeout": 50_000}}, model="spin"), 504, "IX644", "in time")

# .. time, and too many of them ..
case("time", "a head that does not end", get(LIVE)[:-2], 408, "IX657", server="slow", closes=True)
case("time", "a body that does not end", GOOD[:-1], 408, "IX657", "within 0.5 s", server="slow", closes=True)
case("time", "chunks that do not end", chunked(chunk(b" "), end=b""), 408, "IX657", server="slow", closes=True)
case("time", "a byte now and then", lambda: tuple(bytes([b]) for b in GOOD[:12]), 408, "IX657", server="slow",
     pause=0.2, closes=True)
case("time", "an answer that is not taken", nothing, 0, server="slow", talk=slow_reader)
case("load", "the queue is full", infer(LONG, model="spin"), 429, "IX643", "1 at most", server="busy", around=full,
     check=lambda a: int(a.headers["retry-after"]) >= 1)
case("load", "a good request for another model meanwhile", GOOD, 200, server="busy", around=full)
case("load", "too many connections", GOOD, 503, "IX659", "4 at most", server="busy", around=connected, closes=True,
     check=lambda a: int(a.headers["retry-after"]) >= 1)
case("load", "a client that goes while its model runs", nothing, 0, server="busy", talk=vanish)


# fmt: on
# -- the page ---------------------------------------------------------------------------------------------------------
HEAD = """# Hostile requests, and what the server says to them

{count} requests that are malformed, too large, too slow, or at the edge of what the protocol allows. A test sends
each of them to a running server (`tests/test_serving_hostile.py`), looks at the answer, and then sends a good request
on a new connection; at the end, connections, tasks and memory are what they were.

Every error is JSON: `error`, a sentence, beside `code`, `input`, `found`, `expected` and `fix`. *closed*: the
connection ends with the answer, because nothing behind it can be understood; all others go on, and a good request on
the same connection is answered. What the codes say: [the list of errors](errors/README.md). What is decided where the
protocol leaves it open: [the protocol](protocol.md).

Made by `python tests/hostile_requests.py`.
"""


def page() -> str:
    """The table."""
    parts = [HEAD.format(count=len(CASES))]
    for family in dict.fromkeys(c.family for c in CASES):
        parts.append(f"\n## {family[0].upper()}{family[1:]}\n\n| request | status | code | says | |\n")
        parts.append("|---|---|---|---|---|\n")
        for row in (c for c in CASES if c.family == family):
            status = str(row.status or "")
            if len(set(row.answers)) > 1:
                status = ", ".join(map(str, dict.fromkeys(row.answers)))
            says = "; ".join(row.says).replace('\\"', '"').replace("|", "\\|").replace("<", "&lt;")
            end = "closed" if row.closes else "ended" if row.status == 0 else ""
            parts.append(f"| {row.title} | {status} | {row.code} | {says} | {end} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
