"""Mounts the pages."""

from __future__ import annotations

from deployer.console.app import Console


def mount(console: Console) -> None:
    """Nothing yet."""
