"""Mounts the pages on the application. NiceGUI keeps one set of pages a process: mounting again replaces them."""

from __future__ import annotations

from nicegui import app as pages
from nicegui import ui

from deployer.console import refusals
from deployer.console.app import Console
from deployer.console.pages import customer, events, fleet, frame, rollout, rollouts

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0b5cad"/>'
    '<path d="M6 22h20M9 22v4m14-4v4M11 19a5 5 0 0 1 10 0" stroke="#fff" stroke-width="2.4" fill="none" '
    'stroke-linecap="round"/></svg>'
)


def mount(console: Console) -> None:
    """Add every page, below what the application answers itself."""
    for page in (rollouts, rollout, fleet, customer, events):
        page.mount(console)
    frame.install()
    # NiceGUI's own pages for these have no way back, show the exception's text, and answer the API with HTML.
    pages.exception_handler(404)(refusals.nothing_there)
    pages.exception_handler(Exception)(refusals.failed)
    ui.run_with(
        console.app,
        title="Roost",
        favicon=_ICON,
        language="en-US",
        dark=None,
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=10,
    )
