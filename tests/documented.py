"""Commands that a page of the documentation tells its reader to run."""

from __future__ import annotations

import re
from pathlib import Path


def commands(page: Path) -> list[str]:
    """Every command of the page, in its order: in indented blocks, a backslash carries on, a comment after two spaces ends."""
    text = page.read_text().replace("\\\n", " ")
    lines = re.findall(r"^ {4,}(\S.*)$", text, re.MULTILINE)
    return [re.sub(r" {2,}#.*$", "", line).strip() for line in lines]
