"""kill -9 at each instruction of a download that touches the disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration


def test_wherever_a_download_is_killed_the_cache_holds_whole_versions_only(tmp_path: Path):
    command = [sys.executable, "-m", "tests.integration.node.crashing", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30, "fewer places than a download of three files has"
