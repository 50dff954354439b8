"""An address that leads nowhere, and a bug of ours, as a person and as a program are told of them."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from deployer.console import refusals

PAGE = {"accept": "text/html"}


def _broken(_request: Request) -> None:
    raise RuntimeError("a <secret> of ours")


def _asked() -> httpx.AsyncClient:
    handlers = {404: refusals.nothing_there, Exception: refusals.failed}
    app = Starlette(routes=[Route("/broken", _broken), Route("/api/broken", _broken)], exception_handlers=handlers)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


@pytest.mark.parametrize(("path", "status"), [("/nowhere/<b>", 404), ("/broken", 500)])
async def test_a_person_gets_a_page_with_a_way_back_and_no_stack(path: str, status: int):
    async with _asked() as client:
        answer = await client.get(path, headers=PAGE)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert '<a href="/">Rollouts</a>' in answer.text
    assert "<b>" not in answer.text
    assert "secret" not in answer.text


@pytest.mark.parametrize(("path", "status"), [("/api/nowhere", 404), ("/api/broken", 500)])
async def test_a_program_gets_a_problem_document_with_a_remedy(path: str, status: int):
    async with _asked() as client:
        answer = await client.get(path, headers=PAGE)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["remedy"]
    assert "secret" not in answer.text
