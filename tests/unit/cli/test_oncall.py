"""The on-call commands' client and words, without a console."""

from __future__ import annotations

import httpx
import pytest
import typer
from pydantic import SecretStr

from deployer.console.views import CommandView, RolloutPage
from roost.cli import oncall, oncall_words
from roost.cli.oncall_client import ConsoleClient, ConsoleRefused, ConsoleUnreachable
from roost.contracts.errors import Permanent, Retryable
from roost.contracts.events import Command
from roost.ports.clock import SystemClock
from roost.settings import ConsoleSettings

TAKEN = {
    "event_id": "console-1", "command": "freeze", "actor": "ann", "reason": "night", "rollout_id": None, "customer": None,
    "model": "default", "digest": None, "received_at": "2026-01-01T00:00:00Z", "done_at": None, "seconds": None,
    "outcome": None,
}  # fmt: skip


def client(answer: object, **settings: object) -> ConsoleClient:
    """A client whose console answers with what `answer` makes of a request."""
    transport = httpx.MockTransport(answer)  # type: ignore[arg-type]  # a function of a request
    return ConsoleClient(ConsoleSettings.model_validate(settings), transport)


def test_a_problem_document_becomes_its_detail_and_remedy():
    problem = {"type": "urn:x", "title": "Unknown customer", "status": 404, "detail": "no zz", "remedy": "Sign up."}
    with pytest.raises(ConsoleRefused, match=r"^no zz\. Sign up\.$") as refused:
        client(lambda _: httpx.Response(404, json=problem)).get(RolloutPage, "rollouts")
    assert isinstance(refused.value, Permanent)


@pytest.mark.parametrize("answer", [httpx.Response(502, text="<html>proxy</html>"), httpx.Response(200, text="hello")])
def test_something_else_at_that_address_is_said_with_the_setting(answer: httpx.Response):
    with pytest.raises(ConsoleRefused, match="ROOST_CONSOLE__URL"):
        client(lambda _: answer).get(RolloutPage, "rollouts")


def test_no_answer_names_the_address_and_how_to_start():
    def gone(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(ConsoleUnreachable, match=r"127\.0\.0\.1:8088.*roost up") as unreachable:
        client(gone).get(RolloutPage, "rollouts")
    assert isinstance(unreachable.value, Retryable)


def test_a_lost_answer_is_asked_for_again_with_the_same_key():
    keys: list[str] = []

    def lossy(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        if len(keys) == 1:
            raise httpx.ReadError("reset")
        return httpx.Response(202, json=TAKEN)

    found = client(lossy).post(CommandView, "commands", {"command": "freeze"}, key="12345678", wait=0)
    assert found.event_id == "console-1"
    assert keys == ["12345678", "12345678"]


def test_the_token_of_the_settings_is_sent():
    seen: list[str | None] = []

    def look(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(200, json={"items": []})

    client(look, token=SecretStr("abc")).get(RolloutPage, "rollouts")
    client(look).get(RolloutPage, "rollouts")
    assert seen == ["Bearer abc", None]


def test_an_answer_with_fields_of_a_newer_console_is_read():
    answer = httpx.Response(200, json={"items": [], "next_before": None, "newer": 1})
    assert client(lambda _: answer).get(RolloutPage, "rollouts").items == ()


def test_a_command_that_is_not_done_says_that_it_is_kept(capsys: pytest.CaptureFixture[str]):
    oncall_words.command(CommandView.model_validate(TAKEN), 15.0)
    assert "it is kept and will be done" in capsys.readouterr().out


def test_no_rollouts_say_how_to_begin(capsys: pytest.CaptureFixture[str]):
    oncall_words.rollouts(RolloutPage(items=()), SystemClock())
    assert "roost signup ua" in capsys.readouterr().out


def test_an_instant_that_is_none_is_wrong_usage_with_an_example():
    """It went to the console, which answered with its parser's own words."""
    with pytest.raises(typer.BadParameter, match="write it as 2026-03-01T09:00:00Z"):
        oncall._instant("yesterday")
    assert oncall._instant("2026-03-01T09:00:00+00:00").startswith("2026-03-01T")


def test_ctrl_c_says_that_a_command_may_be_done_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """It said "Aborted", and the freeze stood."""

    def interrupted(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    monkeypatch.setattr(oncall, "_client", lambda: client(interrupted))
    asking = oncall._Asking(reason="r", actor="ann", wait=15, as_json=False)
    with pytest.raises(typer.Exit) as ended:
        oncall._send(Command.FREEZE, {}, asking)
    assert ended.value.exit_code == 130
    assert "done all the same" in capsys.readouterr().err
