"""Signing in with a token, in a browser. The token is kept in a cookie that no script can read."""

from __future__ import annotations

import html
from typing import Final
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from deployer.console.access import Gate
from deployer.console.guard import COOKIE
from deployer.console.problems import Refused

_MAX_FORM: Final = 16_384


def install(app: FastAPI, gate: Gate) -> None:
    """Add ``/login`` and ``/logout``. Where no keys are set both lead to the start."""

    @app.get("/login", include_in_schema=False)
    def form() -> Response:
        return RedirectResponse("/", status_code=303) if gate.local_only else _form("")

    @app.post("/login", include_in_schema=False)
    async def submit(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_FORM:
                return _form("That is too long for a token.")
        token = parse_qs(body.decode(errors="replace")).get("token", [""])[0].strip()
        try:
            caller = gate.admit(request.client.host if request.client else None, token)
        except Refused as error:
            return _form(error.detail)
        response = RedirectResponse("/", status_code=303)
        secure = request.url.scheme == "https"
        expires = caller.until
        # Lax, so that a link in a chat opens; what acts is guarded by its origin.
        response.set_cookie(COOKIE, token, expires=expires, httponly=True, samesite="lax", secure=secure)
        return response

    @app.post("/logout", include_in_schema=False)
    def leave() -> Response:
        response = RedirectResponse("/login", status_code=303)
        response.delete_cookie(COOKIE)
        return response


def _form(error: str) -> Response:
    said = f'<p role="alert" style="color:#c62828">{html.escape(error)}</p>' if error else ""
    return HTMLResponse(_PAGE.replace("<!--said-->", said), status_code=401 if error else 200)


_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Roost: sign in</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<body style="font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem">
<h1 style="font-size:1.4rem">Sign in to Roost</h1><!--said-->
<form method="post" action="/login"><label for="token">Your token (JWT)</label>
<textarea id="token" name="token" rows="6" required autofocus autocomplete="off" spellcheck="false"
 style="width:100%;box-sizing:border-box;font:13px monospace"></textarea>
<p><button style="font:inherit;padding:.4rem 1.2rem">Sign in</button></p></form>
<p style="opacity:.7">It is kept in a cookie of this browser until it expires.</p></body></html>"""
