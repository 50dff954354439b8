"""The guard before every request: caller, origin, content type. One ASGI layer for REST, pages and websockets."""

from __future__ import annotations

import logging
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from deployer.console import refusals
from deployer.console.access import Gate, Role, is_loopback
from deployer.console.problems import Refused
from roost.telemetry import metrics

log = logging.getLogger(__name__)

COOKIE: Final = "roost_token"
#: Asked by probes and scrapers from anywhere; they tell nothing of customers.
OPEN: Final = ("/healthz", "/readyz", "/metrics")
#: Needed before signing in.
_BEFORE_SIGN_IN: Final = ("/login",)
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Lets a request through with its caller in ``scope["state"]["caller"]``, or answers it."""

    def __init__(self, app: ASGIApp, gate: Gate, url: str) -> None:
        """`url` is the address under which people reach the console; its origin is our own."""
        self._app, self._gate = app, gate
        self._own = urlsplit(url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on."""
        if scope["type"] not in {"http", "websocket"} or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check_origin(scope, headers)
            _check_content(scope, headers)
            if scope["path"] not in _BEFORE_SIGN_IN or self._gate.local_only:
                client = scope["client"][0] if scope.get("client") else None
                caller = self._gate.admit(client, token_of(headers))
                _check_role(caller.roles)
                scope.setdefault("state", {})["caller"] = caller
        except Refused as error:
            metrics.CONSOLE_REFUSED.labels(status=str(error.status)).inc()
            log.warning("refused: %s", error, extra={"action": "denied", "path": scope["path"], "status": error.status})
            await _refuse(scope, headers, error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host", "")
        if self._gate.local_only and not self._local_name(host):
            # A foreign name that resolves to this machine: DNS rebinding.
            raise Refused(403, "Foreign host", f"host {host[:80]!r} is not this machine", "Use http://127.0.0.1.")
        changes = scope["type"] == "websocket" or scope["method"] not in _SAFE
        if not changes:
            return
        origin = headers.get("origin")
        ours = {host, self._own.netloc}
        foreign = origin is not None and urlsplit(origin).netloc not in ours
        if foreign or headers.get("sec-fetch-site") == "cross-site":
            raise Refused(
                403,
                "Foreign origin",
                f"a page of {str(origin)[:80]!r} may not act here",
                "Use the console's own pages, or call the API without a browser.",
            )

    def _local_name(self, host: str) -> bool:
        name = urlsplit(f"//{host}").hostname
        return is_loopback(name) or name == self._own.hostname


def token_of(headers: Headers) -> str | None:
    """The bearer token of a request, from its header or from the cookie that /login sets."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return cookie.value if cookie else None


def _check_content(scope: Scope, headers: Headers) -> None:
    if scope["type"] != "http" or scope["method"] in _SAFE or not scope["path"].startswith("/api/"):
        return
    # A form of a foreign page can send text or form data without asking; JSON it cannot.
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "Not JSON", f"content type {kind[:80]!r} is not taken", "Send application/json.")


def _check_role(roles: frozenset[Role]) -> None:
    if not roles:
        names = ", ".join(Role)
        raise Refused(403, "No role", "the token names no role", f"Its claim `roles` must hold one of {names}.")


def _refuse(scope: Scope, headers: Headers, error: Refused) -> ASGIApp:
    if scope["type"] == "websocket":
        return WebSocketClose(code=1008, reason=error.title)
    if error.status == 401 and refusals.wants_page(scope["path"], headers):
        return RedirectResponse("/login", status_code=303)
    return refusals.answer(scope["path"], headers, error)
