"""The node goes by its policy file as it is now; one that cannot be used costs nobody their predictions."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from roost.contracts.policy import Policy
from serving.node.app.following import FollowedPolicy


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "policy.yaml"
    found.write_text("rules: {taps: {rate: 0.5}, predictions: {max_rows: 7}}")
    return found


def test_a_change_is_in_force_at_the_next_look_and_told(file: Path) -> None:
    policy, told = FollowedPolicy(file), list[float]()
    policy.on_change = lambda: told.append(policy.book.highest_rate)
    policy.look()
    assert (told, policy.book.rules("acme").predictions.max_rows) == ([], 7)
    file.write_text("rules: {predictions: {max_rows: 9}}\ncustomers: {acme: {taps: {rate: 0.25}}}")
    policy.look()
    policy.look()
    assert told == [0.25]
    assert (policy.book.rules("acme").taps.rate, policy.book.rules("else").taps.rate) == (0.25, 0)
    assert policy.book.rules("else").predictions.max_rows == 9


@pytest.mark.parametrize("text", ["rules: {taps: {rate: 2}}", "rules: {of_a_newer_release: 1}", "rules: [", None])
def test_a_change_that_cannot_be_used_leaves_the_one_before_and_is_said_once(
    file: Path, caplog: pytest.LogCaptureFixture, text: str | None
) -> None:
    policy = FollowedPolicy(file)
    file.write_text(text) if text is not None else file.unlink()
    policy.look()
    policy.look()
    assert policy.book.highest_rate == 0.5
    [record] = caplog.records
    assert (record.levelno, getattr(record, "action", None)) == (logging.ERROR, "policy_refused")
    assert str(file) in record.getMessage()


@pytest.mark.parametrize("text", ["rules: {taps: {rate: 2}}", "rules: {of_a_newer_release: 1}", "rules: [", None])
def test_a_file_that_cannot_be_used_at_the_start_records_nothing_until_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None
) -> None:
    file = tmp_path / "policy.yaml"
    if text is not None:
        file.write_text(text)
    policy = FollowedPolicy(file)
    assert policy.book.rules("acme") == Policy().rules_for("acme")
    assert policy.book.highest_rate == 0
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert str(file) in record.getMessage()
    file.write_text("rules: {taps: {rate: 0.5}}")
    policy.look()
    assert policy.book.highest_rate == 0.5


def test_without_a_file_the_defaults_hold() -> None:
    policy = FollowedPolicy(None)
    policy.start(0.001)
    policy.stop()
    assert policy.book.rules("acme") == Policy().rules_for("acme")
