"""How the console says no outside its pages: programs get a problem document, people a plain page with a way back."""

from __future__ import annotations

import html
import logging
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from deployer.console import problems
from deployer.console.problems import Refused

log = logging.getLogger(__name__)


def wants_page(path: str, headers: Headers) -> bool:
    """Whether a browser asks for a page; whoever asks the API is a program."""
    return "text/html" in headers.get("accept", "") and not path.startswith("/api/")


def answer(path: str, headers: Headers, error: Refused) -> Response:
    """What that caller is told."""
    if not wants_page(path, headers):
        return problems.document(problems.of(error, path))
    texts: Mapping[str, str] = {
        "title": html.escape(error.title),
        "detail": html.escape(error.detail[:1].upper() + error.detail[1:]),
        "remedy": html.escape(error.remedy),
    }
    return HTMLResponse(_PAGE.format_map(texts), status_code=error.status)


async def nothing_there(request: Request, _error: Exception) -> Response:
    """An address that leads nowhere."""
    path = request.url.path
    detail = f"there is nothing at {path[:200]}"
    remedy = "See /docs for the addresses of the API." if path.startswith("/api/") else "Begin at the list of rollouts."
    return answer(path, request.headers, Refused(404, "No such page", detail, remedy))


async def failed(request: Request, error: Exception) -> Response:
    """A bug of ours. The server's own layer logs it with its stack; a page shows none."""
    log.error("%s failed: %s", request.url.path, type(error).__name__, extra={"action": "bug"})
    remedy = "Try again; the console's log says more (`roost logs console`). `roost why CUSTOMER` may still answer."
    detail = f"the console failed while it made this answer ({type(error).__name__})"
    return answer(request.url.path, request.headers, Refused(500, "A fault of the console", detail, remedy))


_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Roost: {title}</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<body style="font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:15vh auto;padding:0 1rem;overflow-wrap:anywhere">
<h1 style="font-size:1.4rem">{title}</h1><p>{detail}.</p><p>{remedy}</p>
<p><a href="/">Rollouts</a></p></body></html>"""
