"""Who may ask: this machine's own pages, and nobody through them.

A page of another site can make a browser ask any address. It is kept out by the Host header (a name that somebody else
points here is not ours), by Origin and Sec-Fetch-Site (what another site asks for), and by content types that a browser
does not send to another site without asking first.
"""

import hmac
import json
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

COOKIE = "ipcir_token"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_ANY = ("0.0.0.0", "::")


class Guard:
    """ASGI middleware. host, port: where the server answers; token: what a visitor must know, if anything."""

    def __init__(self, app, host: str, port: int, token: str | None):
        self.app, self.token = app, token
        names = {"127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host}
        # On all addresses, the names that lead here cannot be known; the token keeps others out.
        self.hosts = None if host in _ANY else {f"{name}:{port}" for name in names}
        if self.hosts and port == 80:
            self.hosts |= names

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))

        async def sealed(message):
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                extra = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in given]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        problem = self.problem(scope, headers)
        if problem:
            return await _refuse(sealed, *problem)
        if self.token and scope["path"] != "/healthz":
            asked = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if scope["path"] == "/" and self._is(asked):
                return await _enter(sealed, asked)
            if not self._known(headers):
                return await _refuse(sealed, 401, "the token is needed: open the address that ipcir serve printed")
        return await self.app(scope, receive, sealed)

    def problem(self, scope, headers) -> tuple[int, str] | None:
        """(status, what is wrong) of a request that another site may be behind."""
        host = headers.get("host", [])
        if len(host) != 1 or (self.hosts is not None and host[0].lower() not in self.hosts):
            return 421, "this server answers by its own name only"
        origins = headers.get("origin", [])
        if any(origin.lower() not in (f"http://{host[0].lower()}", f"https://{host[0].lower()}") for origin in origins):
            return 403, "another site asks"
        site = headers.get("sec-fetch-site", ["none"])[0]
        navigates = headers.get("sec-fetch-mode") == ["navigate"] and headers.get("sec-fetch-dest") == ["document"]
        if site not in ("none", "same-origin") and not (
            navigates and scope["path"] == "/" and scope["method"] == "GET"
        ):
            return 403, "another site asks"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "only GET and POST are answered"
        kind = headers.get("content-type", [""])[0].partition(";")[0].strip().lower()
        if scope["method"] == "POST" and kind != "application/json" and not kind.startswith("image/"):
            return 415, "send JSON, or a picture"
        return None

    def _known(self, headers) -> bool:
        for value in headers.get("authorization", []):
            scheme, _, token = value.partition(" ")
            if scheme.lower() == "bearer" and self._is(token.strip()):
                return True
        for value in headers.get("cookie", []):
            try:
                found = SimpleCookie(value).get(COOKIE)
            except CookieError:
                continue
            if found is not None and self._is(found.value):
                return True
        return False

    def _is(self, token: str) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())


async def _refuse(send, status: int, problem: str) -> None:
    body = json.dumps({"error": problem}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})


async def _enter(send, token: str) -> None:
    """The token leaves the address bar for a cookie that scripts cannot read and other sites do not send."""
    cookie: SimpleCookie = SimpleCookie()
    cookie[COOKIE] = token
    cookie[COOKIE].update({"httponly": True, "samesite": "Strict", "path": "/"})
    headers = [(b"location", b"/"), (b"set-cookie", cookie[COOKIE].OutputString().encode())]
    await send({"type": "http.response.start", "status": 303, "headers": [*headers, (b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
