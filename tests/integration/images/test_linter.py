"""The Dockerfiles by hadolint's rules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

HADOLINT = Path(sys.executable).with_name("hadolint")


def lint(*files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HADOLINT, "--no-color", *map(str, files)], capture_output=True, text=True, check=False, timeout=60
    )


def test_the_dockerfiles_have_no_finding_of_any_severity() -> None:
    done = lint(*sorted(Path("docker").glob("*.Dockerfile")))
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_linter_finds_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "bad.Dockerfile"
    file.write_text("FROM python:latest\nRUN pip install uv\n")
    done = lint(file)
    assert done.returncode == 1
    assert {"DL3007", "DL3013"} <= set(done.stdout.split())
