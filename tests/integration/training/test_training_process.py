"""The process that a training task runs, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.contracts.errors import Permanent, Retryable
from training import tasks

pytestmark = pytest.mark.integration

ORDER = {"customer_id": "ua", "run_id": "r1"}
#: More than any pipe holds.
CHATTER = "head -c 300000 /dev/zero | tr '\\0' x; echo"


def program(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = directory / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(path))


@pytest.mark.timeout(60)
def test_a_model_may_print_as_much_as_it_likes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, f"{CHATTER}; echo 'training: done' >&2; echo '{{\"run_id\": \"r1\"}}'")
    assert tasks.train(ORDER) == {"run_id": "r1"}


@pytest.mark.parametrize(("code", "error"), [(78, Permanent), (75, Retryable), (1, Retryable)])
def test_its_exit_code_says_whether_trying_again_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[Exception]
) -> None:
    program(tmp_path, monkeypatch, f"echo 'training: 32 rows are too few' >&2; echo noise >&2; exit {code}")
    with pytest.raises(error, match="32 rows are too few"):
        tasks.train(ORDER)
