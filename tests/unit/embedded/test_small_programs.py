"""The small programs that the stack starts: who starts one by hand is told what it takes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from roost.embedded import broker, front, postgres
from roost.embedded.apache_kafka import __main__ as apache_kafka
from roost.embedded.demo import broken
from roost.embedded.positionals import positionals

PROGRAMS: dict[str, Callable[[list[str]], object]] = {
    "CUSTOMER, RUN_ID": broken.entry,
    "MARKER": broker.main,
    "DIRECTORY, REST, GRPC": front.main,
    "DATA, SOCKETS": postgres.main,
    "MARKER, DIRECTORY, PORT": apache_kafka.main,
}


@pytest.mark.parametrize("wanted", PROGRAMS)
def test_missing_arguments_are_named(wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each ended with a traceback of an IndexError."""
    with pytest.raises(SystemExit) as ended:
        PROGRAMS[wanted]([])
    assert ended.value.code == 2
    assert f"the following arguments are required: {wanted}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["VX!", "run-1"], "customer 'VX!' is not valid"), (["vx", "run/1"], "run id 'run/1' is not valid")],
)
def test_the_broken_pipeline_refuses_what_is_no_id(arguments: list[str], said: str) -> None:
    with pytest.raises(SystemExit, match=f"nothing is staged: {said}"):
        broken.entry(arguments)


def test_arguments_come_in_the_order_in_which_they_are_named() -> None:
    assert positionals("roost.x", "What it does.\nMore.", ["1", "2"], first="one", second="two") == ["1", "2"]
