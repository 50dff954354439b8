"""The code of an earlier release, out of the repository's own history."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.integration.deployer.fleet import ROOT

#: What runs in production, as the wheel holds it.
_PACKAGES: Final = ("roost", "training", "consumers", "deployer", "serving", "dags")


def code_before(migration: str, directory: Path) -> Path:
    """The source tree of the commit before the one that added this migration, unpacked into `directory`.

    Skips, with the reason, where the checkout does not have it: an archive, or a shallow clone.
    """
    added = f"roost/adapters/postgres/migrations/versions/{migration}.py"
    found = _git("log", "--diff-filter=A", "--format=%H", "-1", "--", added)
    commit = found.stdout.decode().strip()
    archive = _git("archive", f"{commit}^", *_PACKAGES) if commit else found
    if archive.returncode or not commit:
        said = archive.stderr.decode().strip().splitlines()
        pytest.skip(
            f"the code before {migration} is not in this checkout's history ({said[0] if said else 'no commit'})"
        )
    directory.mkdir()
    subprocess.run(["tar", "-x", "-C", directory], input=archive.stdout, check=True)
    return directory


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"git is not here, and so is no earlier code: {error}")
