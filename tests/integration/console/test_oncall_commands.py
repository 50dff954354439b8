"""`roost rollouts`, `events`, `why` and the commands, against a console that runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.integration.console.conftest import ROOT

pytestmark = pytest.mark.integration


class Roost:
    """Runs the command as a person would."""

    def __init__(self, url: str) -> None:
        self.environment = {**os.environ, "ROOST_CONSOLE__URL": url, "COLUMNS": "200"}

    def __call__(self, *arguments: str, expect: int = 0) -> str:
        command = [sys.executable, "-m", "roost", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout if expect in {0, 3, 4} else done.stderr


@pytest.fixture(name="roost")
def _roost(fresh_console: str) -> Roost:
    return Roost(fresh_console)


def test_an_evening_on_call(roost: Roost):
    """One console, one story: look, understand, approve, be refused, follow."""
    listed = roost("rollouts")
    assert "AWAITING_APPROVAL" in listed
    rows = json.loads(roost("rollouts", "ua", "--phase", "LIVE", "--json"))["items"]
    assert [(row["customer"], row["version"]) for row in rows] == [("ua", 2)]

    told = roost("why", "9e")
    assert "Only 6 rows were held out" in told
    assert "Next: Read the canary's checks" in told
    assert json.loads(roost("why", "9e", "--json"))["next"]["command"] == 'roost approve 9e --reason "…"'

    done = roost("approve", "9e", "--reason", "good enough for a cohort", "--actor", "ann", "--wait", "60")
    assert "9e.default version 1 is LIVE" in done
    assert " s)" in done
    assert "Version 1 of 9e.default answers on 3 of 3 replicas." in roost("why", "9e")
    assert "refused" in roost("approve", "9e", "--reason", "again", expect=4)

    events = [json.loads(line) for line in roost("events", "--json", "--limit", "5").splitlines()]
    assert {"roost.rollout.live.v1", "roost.operation.reported.v1"} <= {event["type"] for event in events}
    assert roost("events", "--limit", "2").count("\n") == 2


def test_following_shows_what_comes(roost: Roost):
    command = [sys.executable, "-u", "-m", "roost", "events", "-f", "--json", "--limit", "1"]
    with subprocess.Popen(command, cwd=ROOT, env=roost.environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = json.loads(process.stdout.readline())
        roost("reject", "9e", "--reason", "wait for more data")
        came = json.loads(process.stdout.readline())
        process.terminate()
    assert came["sequence"] == last["sequence"] + 1
    assert came["subject"] == "9e"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("why", "zz"), 1, "nothing is known of customer 'zz'"),
        (("why", "../etc"), 1, "is not a customer id"),
        (("why", "UPPER"), 1, "'UPPER' is not valid"),
        (("rollouts", "--customer", "a b"), 1, "'a b' is not valid"),
        (("approve", "zz", "--reason", "x"), 1, "zz"),
        (("approve", "--reason", "x"), 2, "name a customer"),
        (("approve", "9e"), 2, "--reason"),
        (("approve", "9e", "--reason", " "), 1, "reason"),
        (("release", "ua", "--reason", "x"), 1, "quarantined"),
        (("rollouts", "--phase", "nope"), 2, "nope"),
        (("rollouts", "ua", "--customer", "dl"), 2, "two customers"),
        (("freeze", "fleet", "--reason", "x"), 1, "name no customer"),
    ],
)
def test_bad_input_is_one_line_with_a_remedy(empty_console: str, arguments: tuple[str, ...], code: int, says: str):
    said = Roost(empty_console)(*arguments, expect=code)
    assert says in said


def test_a_console_that_is_not_there_is_said_with_the_remedy():
    said = Roost("http://127.0.0.1:9")("rollouts", expect=1)
    assert "does not answer" in said
    assert "roost up" in said
    assert said.count("\n") == 1


def test_nothing_yet_is_said_with_how_to_begin(empty_console: str):
    assert "roost signup ua" in Roost(empty_console)("rollouts")
    assert "roost signup ua" in Roost(empty_console)("events")
