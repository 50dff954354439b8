"""The account that a process runs under: who acts where nobody signs in."""

from __future__ import annotations

import getpass


def operator() -> str:
    """Name of the account, or ``operator`` where it has none, as in some containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "operator"
