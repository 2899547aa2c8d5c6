"""Everything that the server of ``ipcir serve`` must refuse, in one clean message each."""

import io
import json
import socket
import struct
import zlib

import PIL.Image
import pytest

httpx = pytest.importorskip("httpx")
KEY = "0" * 24


@pytest.fixture(scope="module")
def client(served):
    with httpx.Client(base_url=served.url, timeout=60, trust_env=False) as opened:
        yield opened


def png(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims this size."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def picture(kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    PIL.Image.new("RGB", (40, 30), "red").save(out, kind)
    return out.getvalue()


def posted(address: str, body, kind: str = "application/json", **headers):
    """(method, address, headers, body)."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return "POST", address, {"content-type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}}, content


def searched(**body):
    return posted("/api/search", body)


def got(address: str, method: str = "GET", **headers):
    return method, address, {name.replace("_", "-"): value for name, value in headers.items()}, b""


def imagined(**more):
    return searched(text="x", imagined={"key": KEY, **more})


BAD_PICTURES = {
    "nothing": b"",
    "text": b"no picture at all",
    "cut JPEG": picture("JPEG")[:200],
    "cut PNG": picture()[:60],
    "PNG bomb": png(60000, 60000),
    "PNG of no size": png(0, 0),
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
    "PDF": b"%PDF-1.4\n%%EOF",
    "zip": b"PK\x03\x04" + bytes(100),
    "PPM": b"P6 1 1 255\n\x00\x00\x00",
    "GIF without pictures": b"GIF89a\x01\x00\x01\x00\x00\x00\x00;",
    "HTML": b"<html><script>alert(1)</script></html>",
}
LINE = {"line": 0}
EVIL = "http://evil.example"
HOSTILE = {
    **{name: posted("/api/upload", body, "image/png") for name, body in BAD_PICTURES.items()},
    "upload as a form": posted("/api/upload", b"--x--", "multipart/form-data; boundary=x"),
    "upload as JSON": posted("/api/upload", b"{}"),
    "upload that is too long": posted("/api/upload", bytes(65 << 20), "image/png"),
    "no JSON": posted("/api/search", b"{"),
    "JSON that is nested deeply": posted("/api/search", b"[" * 200000),
    "JSON with NaN": posted("/api/search", b'{"text": "x", "references": [{"line": 0, "weight": NaN}]}'),
    "a list": posted("/api/search", []),
    "bytes that are no text": posted("/api/search", b"\xff\xfe"),
    "unknown field": searched(text="x", path="/etc/passwd"),
    "nothing to search by": searched(),
    "text that is too long": searched(text="x" * 5000),
    "a body that is too long": searched(text="x" * (2 << 20)),
    "a line that is not there": searched(references=[{"line": 999999}]),
    "a negative line": searched(references=[{"line": -1}]),
    "a line beyond all numbers": posted("/api/search", b'{"references": [{"line": 1e400}]}'),
    "a path as an upload": searched(references=[{"upload": "../../photos.sqlite"}]),
    "a null in an upload": searched(references=[{"upload": "a\0.png"}]),
    "a picture both ways": searched(references=[{"line": 0, "upload": "a.png"}]),
    "too many pictures": searched(references=[LINE] * 17),
    "too long a list": searched(text="x", limits={"k": 100000000}),
    "no day": searched(text="x", limits={"after": "soon"}),
    "parts that cancel out": searched(references=[LINE, {"line": 0, "weight": -1}]),
    "lambda of 7": imagined(**{"lambda": 7}),
    "a key that is a path": imagined(key="../../../etc/passwd"),
    "a key that is not there": imagined(),
    "imagining without a picture": posted("/api/imagine", {"text": "x"}),
    "a layout without things": posted(
        "/api/imagine", {"text": "x", "references": [LINE], "layout": {"scene": "x", "instances": []}}
    ),
    "a query file of nothing": posted("/api/export/queries", {"questions": [{"text": "x"}]}),
    "an export that is not there": posted("/api/export/passwd", {}),
    "a search by GET": got("/api/search"),
    "a form": posted("/api/search", b"text=x", "application/x-www-form-urlencoded"),
    "plain text": posted("/api/search", {"text": "x"}, "text/plain"),
    "PUT": got("/api/search", "PUT"),
    "DELETE": got("/photo/0", "DELETE"),
    "TRACE": got("/", "TRACE"),
    "a photo that is not there": got("/photo/999999999"),
    "a photo beyond all numbers": got("/photo/" + "9" * 400),
    "a path": got("/photo/../../etc/passwd"),
    "an escaped path": got("/assets/..%2f..%2fstate.py"),
    "an asset that is not there": got("/assets/state.py"),
    "an upload that is a path": got("/upload/..%2f..%2fphotos.sqlite"),
    "another host": got("/api/photos", host="evil.example"),
    "another port": got("/api/photos", host="127.0.0.1:1"),
    "another origin": got("/api/photos", origin=EVIL),
    "the origin of a file": got("/api/photos", origin="null"),
    "a picture on another site": got("/photo/0", sec_fetch_site="cross-site", sec_fetch_mode="no-cors"),
    "another port of this machine": got("/photo/0", sec_fetch_site="same-site"),
    "a search from another origin": posted("/api/search", {"text": "x"}, origin=EVIL),
    "what browsers ask beforehand": got("/api/search", "OPTIONS", origin=EVIL, access_control_request_method="POST"),
}


def test_there_are_enough():
    assert len(HOSTILE) >= 40


@pytest.mark.parametrize(("method", "address", "headers", "body"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_inputs_are_refused(method, address, headers, body, served, client):
    request = client.build_request(method, served.url + "/", headers=headers, content=body or None)
    request.url = request.url.copy_with(raw_path=address.encode())
    answer = client.send(request)
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:200])
    assert set(answer.json()) == {"error"} and len(answer.json()["error"]) < 400
    assert "access-control-allow-origin" not in answer.headers
    assert "root:" not in answer.text and "Traceback" not in answer.text
    assert client.get("/healthz").json()["status"] == "ok"
    assert "Traceback" not in served.errors()


BROKEN = (
    b"\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00",
    b"POST /api/search HTTP/1.1\r\nContent-Length: 50\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\n\r\n",
    b"",
)


@pytest.mark.parametrize("sent", BROKEN, ids=range(len(BROKEN)))
def test_broken_http_is_survived(sent, served, client):
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as connection:
        connection.settimeout(2)
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(1 << 16)
        except OSError:
            answer = b""
    assert b" 200 " not in answer[:20]
    assert client.get("/healthz").json()["status"] == "ok" and "Traceback" not in served.errors()
