from __future__ import annotations

import logging
from pathlib import Path

import pytest

from roost.contracts.policy import Policy
from serving.node.app.wiring import usable_policy


def test_a_policy_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("rules: {taps: {rate: 0.5}}")

    assert usable_policy(file).rules.taps.rate == 0.5
    assert usable_policy(None) == Policy()


@pytest.mark.parametrize("text", ["rules: {taps: {rate: 2}}", "rules: {of_a_newer_release: 1}", "rules: [", None])
def test_a_policy_that_cannot_be_used_keeps_no_node_from_serving_and_records_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None
) -> None:
    file = tmp_path / "policy.yaml"
    if text is not None:
        file.write_text(text)

    policy = usable_policy(file)

    assert policy == Policy()
    assert policy.rules.taps.rate == 0
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert str(file) in record.getMessage()
