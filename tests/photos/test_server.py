"""The server of ``ipcir serve``: what it answers, and everything that it must refuse."""

import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import PIL.Image
import pytest

from ipcir_steps.cli import main

httpx = pytest.importorskip("httpx")


@pytest.fixture(scope="module")
def client(served):
    with httpx.Client(base_url=served.url, timeout=60, trust_env=False) as opened:
        yield opened


def ask(client, **more) -> dict:
    answer = client.post("/api/search", json={"text": "a red circle", **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def imagine(client, **asked) -> list[dict]:
    with client.stream("POST", "/api/imagine", json=asked) as answer:
        assert answer.status_code == 200
        return [json.loads(line) for line in answer.iter_lines() if line]


def line_of(client, name: str) -> int:
    return client.get("/api/photos", params={"name": name}).json()["photos"][0]["line"]


def test_it_answers(client, house):
    assert client.get("/healthz").json() == {"status": "ok", "photos": 300}
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in ("look.css", "look.js", "page.css", "page.js", "imagined.js"):
        assert client.get(f"/assets/{name}").status_code == 200
    first = client.get("/api/photos").json()
    second = client.get("/api/photos", params={"start": 240}).json()
    assert (first["total"], len(first["photos"]), len(second["photos"])) == (300, 120, 60)
    line = first["photos"][0]["line"]
    whole = client.get(f"/photo/{line}")
    assert whole.headers["content-type"] == "image/jpeg"
    assert whole.content == (house / "photos" / first["photos"][0]["name"]).read_bytes()
    small = client.get(f"/thumb/{line}")
    assert PIL.Image.open(io.BytesIO(small.content)).format == "JPEG"
    private = [house / "index/mini", *(house / "index/mini").iterdir()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in private)


def test_lists_are_those_of_the_terminal(client, here, capsys):
    found = ask(client, limits={"k": 7})
    assert main(["search", "photos", "--index", "index", "--text", "a red circle", "--k", "7", "--json"]) == 0
    wanted = json.loads(capsys.readouterr().out)["results"]
    assert [row["name"] for row in found["base"]] == [row["path"] for row in wanted]
    for row, other in zip(found["base"], wanted, strict=True):
        assert row["score"] == pytest.approx(other["score"], abs=1e-6)


def test_imagining_and_sliders(client, here, capsys):
    name = sorted((here / "photos").iterdir())[3].name
    line = line_of(client, name)
    asked = {"text": "has a green background", "references": [{"line": line}]}
    events = imagine(client, **asked)
    assert [event["stage"] for event in events] == [
        "begun", "queued", "captions", "reasoning", "captions encoded", "layout", "masks", *["proxy"] * 5, "done",
    ]  # fmt: skip
    key = events[0]["key"]
    for number in range(5):
        answer = client.get(f"/proxy/{key}/{number}")
        assert PIL.Image.open(io.BytesIO(answer.content)).size == (64, 64)
    assert client.get(f"/proxy/{key}/5").status_code == 404
    limits = {"k": 10, "exclude_reference": False}
    found = ask(client, **asked, imagined={"key": key, "lambda": 0.5}, limits=limits)
    words = ["--image", name, "--text", asked["text"], "--imagine", "--k", "10"]
    assert main(["search", "photos", "--index", "index", *words, "--json"]) == 0
    wanted = json.loads(capsys.readouterr().out)["results"]
    assert [row["name"] for row in found["ipcir"]] == [row["path"] for row in wanted]
    assert found["ipcir"][0]["score"] == pytest.approx(wanted[0]["score"], abs=1e-6)
    assert [row["name"] for row in found["base"]] != [row["name"] for row in found["ipcir"]] or found["base"]
    alone = ask(client, **asked, imagined={"key": key, "lambda": 1.0}, limits=limits)
    assert [row["name"] for row in alone["ipcir"]] == [row["name"] for row in alone["base"]]
    sliders = {"key": key, "weights": [0, 4, 0], "proxies": [1], "captions": [0]}
    weighed = ask(client, **asked, base=False, imagined=sliders)
    assert weighed["base"] is None and weighed["ipcir"]
    # An edited layout is another imagination.
    layout = next(event["layout"] for event in events if event["stage"] == "layout")
    edited = imagine(client, **asked, layout={**layout, "scene": "a blue background"})
    assert edited[-1]["stage"] == "done" and edited[0]["key"] != key


def test_exports(client, here):
    name = sorted((here / "photos").iterdir())[3].name
    line = line_of(client, name)
    asked = {"text": "has a green background, big", "references": [{"line": line}]}
    text = client.post("/api/export/results", json={**asked, "limits": {"k": 2}}).text
    assert text.splitlines()[0] == "rank,path,score,text_score,proxy_score,taken" and len(text.splitlines()) == 3
    answer = client.post("/api/export/queries", json={"questions": [asked, {"text": "words alone"}]})
    header, row = answer.text.splitlines()
    assert header == "reference,caption,id" and row.startswith(f'{name},"has a green background, big",photo-')
    # The workflow reads it.
    from ipcir_steps.benchmarks.folder import read
    from ipcir_steps.config.data import Source

    (here / "asked.csv").write_text(answer.text)
    source = Source(benchmark="folder", root="photos", queries="asked.csv")
    queries, gallery = read(source, "val")
    assert (queries[0].reference, queries[0].caption, len(gallery)) == (name, asked["text"], 300)


def test_an_uploaded_picture_is_a_reference(client, here):
    path = sorted((here / "photos").iterdir())[5]
    answer = client.post("/api/upload", content=path.read_bytes(), headers={"content-type": "image/jpeg"})
    name = answer.json()["upload"]
    assert PIL.Image.open(io.BytesIO(client.get(f"/upload/{name}").content)).size == (64, 64)
    found = ask(client, text="", references=[{"upload": name}])
    assert found["base"][0]["name"] == path.name
    events = imagine(client, text="has a green background", references=[{"upload": name}])
    assert events[-1]["stage"] == "done"


def test_it_reaches_nothing(served):
    """The kernel makes it no socket to go out with; what it listens on was opened before."""
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    assert "Seccomp:\t2" in status


def test_twenty_clients_at_once(served):
    found, failed = [], []

    def visit(number: int) -> None:
        try:
            with httpx.Client(base_url=served.url, timeout=120, trust_env=False) as client:
                for text in ("a red circle", "a blue star", "a red circle"):
                    found.append((text, [row["line"] for row in ask(client, text=text)["base"]]))
                events = imagine(client, text="has a green background", references=[{"line": number % 3}])
                assert events[-1]["stage"] == "done", events[-1]
                for lam in (0.1, 0.9):
                    ask(client, text="has a green background", references=[{"line": number % 3}],
                        imagined={"key": events[0]["key"], "lambda": lam})  # fmt: skip
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(found) == 60 and len({(text, tuple(lines)) for text, lines in found}) == 2


def test_cancelling(client):
    asked = {"text": "has a small yellow star at the top", "references": [{"line": 17}]}
    with client.stream("POST", "/api/imagine", json=asked) as answer:
        lines = answer.iter_lines()
        key = json.loads(next(lines))["key"]
        with httpx.Client(base_url=client.base_url, timeout=60, trust_env=False) as other:
            assert other.post("/api/cancel", json={"key": key}).json() == {"cancelled": True}
        stages = [json.loads(line)["stage"] for line in lines if line]
    assert stages[-1] == "cancelled"
    assert client.post("/api/cancel", json={"key": key}).json() == {"cancelled": False}
    assert imagine(client, **asked)[-1]["stage"] == "done"


def test_no_event_is_lost_between_two_looks():
    """A job tells while its reader waits for the network."""
    import anyio

    from ipcir_steps.photos.server.jobs import Job, follow

    job, seen = Job("key", lambda stop: iter(())), []
    job.tell({"stage": "queued"})

    async def read():
        async for event in follow(job):
            seen.append(event["stage"])
            if event["stage"] == "queued":
                for stage in ("captions", "reasoning"):
                    job.tell({"stage": stage})
            elif event["stage"] == "reasoning":
                job.tell({"stage": "done"}, last=True)

    with ThreadPoolExecutor(1) as thread:  # this one may hold the browser's event loop
        thread.submit(anyio.run, read).result()
    assert seen == ["queued", "captions", "reasoning", "done"]


def test_a_new_index_is_taken_up_and_idle_models_go(tmp_path, house, models, start):
    import shutil
    import time

    from ipcir_steps.photos.index import update

    folder = tmp_path / "photos"
    folder.mkdir()
    names = sorted((house / "photos").iterdir())
    for path in names[:5]:
        shutil.copy(path, folder)
    update(folder, tmp_path / "index/mini", models, progress=False)
    server = start(folder, tmp_path / "index", "--idle", "1")
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        assert len(ask(client)["base"]) == 5
        shutil.copy(names[7], folder)
        update(folder, tmp_path / "index/mini", models, progress=False)
        for _ in range(100):
            if client.get("/healthz").json()["photos"] == 6:
                break
            time.sleep(0.2)
        assert len(ask(client)["base"]) == 6
        for _ in range(100):
            if "unloaded" in server.errors():
                break
            time.sleep(0.2)
        assert "unloaded after 1 s without use: clip text" in server.errors()
        # A photo that became a link out of the folder is not shown.
        (folder / names[0].name).unlink()
        (folder / names[0].name).symlink_to("/etc/hostname")
        line = client.get("/api/photos", params={"name": names[0].name}).json()["photos"][0]["line"]
        assert client.get(f"/photo/{line}").status_code == client.get(f"/thumb/{line}").status_code == 400
    assert server.stop() == 0


def test_a_token_is_needed_when_one_is_set(house, indexed, capsys, start):
    server = start(house / "photos", house / "index", "--host", "0.0.0.0", "--token", "correct horse")
    assert server.address.endswith("/?token=correct%20horse")
    url = f"http://127.0.0.1:{server.port}"
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        assert client.get("/healthz").status_code == 200
        for headers in ({}, {"authorization": "Bearer wrong"}, {"cookie": "ipcir_token=wrong"}, {"cookie": '"'}):
            assert client.get("/api/photos", headers=headers).status_code == 401
            assert client.get("/", headers=headers).status_code == 401
        assert client.get("/?token=wrong").status_code == 401
        assert client.get("/api/photos", headers={"authorization": "Bearer correct horse"}).status_code == 200
        entered = client.get("/", params={"token": "correct horse"})
        assert entered.status_code == 303 and entered.headers["location"] == "/"
        assert "HttpOnly" in entered.headers["set-cookie"] and "SameSite=Strict" in entered.headers["set-cookie"]
        assert client.get("/api/photos").status_code == 200  # by the cookie
    assert server.stop() == 0
    for words, message in (
        (["--host", "0.0.0.0"], "can be reached from other machines"),
        (["--token", "short"], "at least 12"),
        (["--port", "99999999"], "is no port"),
    ):
        assert main(["serve", str(house / "photos"), "--index", str(house / "index"), *words]) == 2
        assert message in capsys.readouterr().err


def test_a_port_that_is_taken(house, indexed, served, capsys):
    assert main(["serve", str(house / "photos"), "--index", str(house / "index"), "--port", str(served.port)]) == 2
    assert "cannot be listened on" in capsys.readouterr().err
