"""The addresses that the page asks. Photos and proxies are named by numbers; no path comes from a request."""

import functools
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio.to_thread
import pydantic
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ipcir_steps.core.errors import IPCIRError
from ipcir_steps.core.files import dumps
from ipcir_steps.evaluate.reporting.look import shared
from ipcir_steps.photos.server import export, guard
from ipcir_steps.photos.server.answers import answered, described, question_of
from ipcir_steps.photos.server.jobs import follow
from ipcir_steps.photos.server.requests import Asked, Imagine, Named, read
from ipcir_steps.photos.server.state import THUMBNAIL, State

HERE = Path(__file__).parent / "page"
ASSETS = {"page.css": "text/css", "page.js": "text/javascript", "imagined.js": "text/javascript"}
UPLOAD, BODY = 64 << 20, 1 << 20  # bytes of a picture and of a question
PAGE = 120  # photos that are listed at once
FOREVER = {"cache-control": "private, max-age=31536000, immutable"}


def application(state: State, host: str, port: int, token: str | None) -> guard.Guard:
    """The ASGI application: routes behind the guard."""
    routes = [
        Route("/", functools.partial(asset, name="page.html")),
        Route("/assets/{name}", asset),
        Route("/healthz", healthz),
        Route("/api/photos", photos),
        Route("/photo/{line:int}", photo),
        Route("/thumb/{line:int}", thumbnail),
        Route("/upload/{name}", uploaded),
        Route("/proxy/{key}/{number:int}", proxy),
        Route("/api/search", search, methods=["POST"]),
        Route("/api/upload", upload, methods=["POST"]),
        Route("/api/imagine", imagine, methods=["POST"]),
        Route("/api/cancel", cancel, methods=["POST"]),
        Route("/api/export/{kind}", exported, methods=["POST"]),
    ]
    handlers = {IPCIRError: refused, pydantic.ValidationError: refused, HTTPException: refused, Exception: broken}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.held = state
    return guard.Guard(app, host, port, token)


def held(request: Request) -> State:
    return request.app.state.held


async def refused(request: Request, error: Exception) -> Response:
    """Expected errors as one sentence."""
    if isinstance(error, HTTPException):
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)
    if isinstance(error, pydantic.ValidationError):
        first = error.errors()[0]
        return JSONResponse({"error": f"{'.'.join(map(str, first['loc'])) or 'request'}: {first['msg']}"}, 400)
    return JSONResponse({"error": str(error)}, 400)


async def broken(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "something went wrong; the terminal says more"}, 500)


async def body_of(request: Request, most: int) -> bytes:
    """The body, read no further than ``most`` bytes."""
    if int(re.sub(r"\D", "", request.headers.get("content-length", "")) or 0) > most:
        raise HTTPException(413, f"at most {most >> 20} MiB are taken")
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise HTTPException(413, f"at most {most >> 20} MiB are taken")
            parts.append(part)
    except ClientDisconnect:
        raise HTTPException(400, "the request ended early") from None
    return b"".join(parts)


async def asset(request: Request, name: str | None = None) -> Response:
    name = name or request.path_params["name"]
    if name in ("look.css", "look.js"):
        return Response(shared(name), media_type="text/css" if name.endswith("css") else "text/javascript")
    kind = "text/html" if name == "page.html" else ASSETS.get(name)
    if kind is None:
        raise HTTPException(404, "there is no such page")
    return Response((HERE / name).read_text(encoding="utf-8"), media_type=kind, headers={"cache-control": "no-cache"})


async def healthz(request: Request) -> Response:
    return JSONResponse({"status": "ok", "photos": len(held(request).finder.gallery)})


def photos(request: Request) -> Response:
    """The folder in pages, newest first; what the page needs to know about the stack comes with it."""
    state = held(request)
    gallery, config = state.finder.gallery, state.finder.models.stack.config
    start = max(0, int(re.sub(r"\D", "", request.query_params.get("start", ""))[:9] or 0))
    words = request.query_params.get("name", "").lower().split()
    lines = gallery.newest if not words else [
        line for line in gallery.newest if all(word in gallery.photo(line).name.lower() for word in words)
    ]  # fmt: skip
    rows = [described(state, line) for line in lines[start : start + PAGE]]
    return JSONResponse({
        "photos": rows, "total": len(lines), "start": start, "folder": state.finder.folder.name,
        "lambda": state.finder.lam, "weights": list(config.fusion.weights), "count": config.proxies.count,
        "unreadable": len(gallery.problems), "mark": state.finder.mark, "stack": state.finder.models.stack.name,
    })  # fmt: skip


def photo(request: Request) -> Response:
    state = held(request)
    content, kind = state.shown(_photo(state, request))
    return Response(content, media_type=kind, headers=FOREVER)


def thumbnail(request: Request) -> Response:
    state = held(request)
    return Response(
        state.thumbnail(_photo(state, request), THUMBNAIL), media_type="image/jpeg", headers=FOREVER
    )  # fmt: skip


def _photo(state: State, request: Request) -> Path:
    try:
        return state.file(request.path_params["line"])
    except (KeyError, OverflowError):
        raise HTTPException(404, "there is no such photo") from None


def uploaded(request: Request) -> Response:
    state = held(request)
    path = state.uploaded(request.path_params["name"])
    return Response(state.thumbnail(path, THUMBNAIL), media_type="image/jpeg", headers=FOREVER)


def proxy(request: Request) -> Response:
    imagination = held(request).imagination(request.path_params["key"])
    number = request.path_params["number"]
    if imagination is None or number >= len(imagination.proxies):
        raise HTTPException(404, "there is no such proxy")
    return Response(imagination.proxies[number].path.read_bytes(), media_type="image/png")


async def threaded(work: Callable, *args):
    return await anyio.to_thread.run_sync(work, *args)


async def search(request: Request) -> Response:
    asked = read(Asked, await body_of(request, BODY))
    return JSONResponse(await threaded(answered, held(request), asked))


async def upload(request: Request) -> Response:
    state = held(request)
    if not request.headers.get("content-type", "").startswith("image/"):
        raise HTTPException(415, "send a picture")
    content = await body_of(request, UPLOAD)
    return JSONResponse({"upload": await threaded(state.upload, content)})


async def imagine(request: Request) -> Response:
    """Lines of JSON, one per event, as they happen; asking again joins what is under way."""
    state = held(request)
    asked = read(Imagine, await body_of(request, BODY))
    layout = asked.layout.model_dump(mode="json") if asked.layout else None
    question = await threaded(question_of, state, asked)
    key = state.key(question, layout)
    job = state.jobs.add(key, state.imagine(question, layout))

    async def events() -> AsyncIterator[str]:
        yield dumps({"stage": "begun", "key": key, "query": question.query.query_id}) + "\n"
        async for event in follow(job):
            yield dumps(event) + "\n"

    return StreamingResponse(events(), media_type="application/x-ndjson", headers={"cache-control": "no-store"})


async def cancel(request: Request) -> Response:
    asked = read(Named, await body_of(request, BODY))
    return JSONResponse({"cancelled": held(request).jobs.cancel(asked.key)})


async def exported(request: Request) -> Response:
    kind = request.path_params["kind"]
    if kind not in export.KINDS:
        raise HTTPException(404, "there is no such export")
    kind_of_request, write = export.KINDS[kind]
    asked = read(kind_of_request, await body_of(request, BODY))
    text = await threaded(write, held(request), asked)
    return Response(text, media_type="text/csv", headers={"content-disposition": f'attachment; filename="{kind}.csv"'})
