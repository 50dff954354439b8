"""The console as a process of its own, over the seeded in-memory world, and a browser where one is installed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[3]
#: Enough for a browser that must neither ask for a display nor for anything outside this machine.
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def started(*arguments: str) -> Iterator[str]:
    """Serve on a free port; the address is in the log's first line."""
    command = [sys.executable, "-m", "tests.console.serve", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert process.stderr is not None
    said = []
    try:
        for line in process.stderr:
            said.append(line)
            found = re.search(r"console answers at (http://\S+)", line)
            if found:
                break
        else:
            pytest.fail("the console did not start:\n" + "".join(said))
        yield found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        # What it still has to say must not fill the pipe while it drains.
        rest = process.communicate(timeout=120)[1]
    assert process.returncode == 0, "".join(said) + rest


@pytest.fixture(scope="module")
def console() -> Iterator[str]:
    """Address of a console with a dozen rollouts, for tests that only look."""
    yield from started()


@pytest.fixture
def fresh_console() -> Iterator[str]:
    """The same for one test alone, which may change it."""
    yield from started()


@pytest.fixture(scope="module")
def empty_console() -> Iterator[str]:
    """Address of a console where nothing has happened."""
    yield from started("--empty")


@pytest.fixture(scope="module")
def console_without_ledger() -> Iterator[str]:
    """Address of a console whose database does not answer."""
    yield from started("--ledger-away")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser, or a skip that says what to install."""
    path = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if path is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield opened
        opened.close()
