"""What every page has: head, navigation, theme, and the sentence that says who may come in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib import resources
from typing import Final

from fastapi import Request
from nicegui import ui
from nicegui.element import Element

from deployer.console.access import Caller
from deployer.console.app import Console
from deployer.console.pages.parts import link, note, tag

_PLACES: Final = (
    ("Rollouts", "/"),
    ("Fleet", "/fleet"),
    ("Events", "/events"),
    ("Commands", "/commands"),
    ("API", "/docs"),
)
#: How often a page looks whether its token has ended.
_EXPIRY_SECONDS: Final = 10.0
_THEMES: Final = {"light": False, "dark": True}
#: Ages are counted by the browser, so that time passing costs the server nothing. `/` leads to the search field.
_SCRIPT: Final = """<script>
const ago = s => s < 1 ? 'just now' : s < 60 ? Math.floor(s) + ' s ago' : s < 3600 ? Math.floor(s / 60) + ' min ago'
  : s < 172800 ? Math.floor(s / 3600) + ' h ' + Math.floor(s % 3600 / 60) + ' min ago'
  : Math.floor(s / 86400) + ' d ago';
const clock = d => d.toLocaleTimeString('en-GB') + (d.toDateString() === new Date().toDateString() ? ''
  : ' on ' + d.toLocaleDateString('en-CA'));
setInterval(() => document.querySelectorAll('time[data-clock]').forEach(e => {
  const text = clock(new Date(e.getAttribute('datetime')));
  if (e.textContent !== text) e.textContent = text;
}), 500);
setInterval(() => document.querySelectorAll('time[data-ago]').forEach(e => {
  const text = ago(Math.max(0, (Date.now() - Date.parse(e.getAttribute('datetime'))) / 1000));
  if (e.textContent !== text) e.textContent = text;
}), 500);
// A part that is drawn again must not lose the keyboard's place: the same link or button is focused again.
let held = null;
addEventListener('focusin', e => { held = e.target.closest('a, button'); });
addEventListener('focusout', e => { if (document.contains(e.target)) held = null; });
setInterval(() => {
  if (!held || document.contains(held) || document.activeElement !== document.body) return;
  const like = [...document.querySelectorAll(held.tagName)].find(e => e.textContent === held.textContent
    && e.getAttribute('href') === held.getAttribute('href'));
  held = like || null;
  if (like) like.focus({preventScroll: true});
}, 100);
addEventListener('keydown', e => {
  const typing = e.target.closest && e.target.closest('input, textarea');
  const field = document.querySelector('[data-search] input, input[data-search]');
  if (e.key === '/' && !typing && field) { e.preventDefault(); field.focus(); }
});
</script>"""


def install() -> None:
    """Style and script of all pages, once."""
    ui.add_css(resources.files(__package__).joinpath("roost.css").read_text(), shared=True)
    ui.add_head_html(_SCRIPT, shared=True)


@contextmanager
def frame(console: Console, request: Request, title: str) -> Iterator[Element]:
    """Head and body of a page; what is drawn inside comes below the navigation."""
    caller: Caller = request.state.caller
    ui.page_title(f"{title} · Roost")
    ui.colors(primary="#0b5cad", negative="#b3261e", positive="#14702f", warning="#8a5300")
    chosen = _THEMES.get(request.cookies.get("roost_theme", ""))
    dark = ui.dark_mode(value=chosen)
    with ui.header().classes("r-head q-pa-none"), ui.row().classes("r-head-in items-center no-wrap"):
        link("Roost", "/", "r-brand")
        with tag("nav", classes="row items-center", aria_label="Pages").style("gap: 20px; flex: 1"):
            for name, target in _PLACES:
                here = request.url.path == target
                entry = link(name, target, "r-nav on" if here else "r-nav")
                if here:
                    entry.props["aria-current"] = "page"
        tag("span", caller.name, "r-soft r-small")
        _theme_button(dark)
        if caller.verified:
            with tag("form", method="post", action="/logout"):
                tag("button", "Sign out", "r-plain r-small", type="submit")
    with ui.column().classes("r-page") as body:
        if console.gate.local_only:
            note(
                "No sign-in is set up: this console answers on this machine only, and whoever is on it may do "
                "everything. ROOST_CONSOLE__JWKS_FILE lets people in from elsewhere, with tokens and roles.",
                "mute",
            )
        yield body
    if caller.until is not None:
        _leave_when_expired(console, caller.until)


def _leave_when_expired(console: Console, until: datetime) -> None:
    # The page's live connection was let in once; it must not outlive the token.
    def look() -> None:
        if console.reader.sources.clock.now() >= until:
            ui.navigate.to("/login")

    ui.timer(_EXPIRY_SECONDS, look)


def _theme_button(dark: ui.dark_mode) -> None:
    async def switch() -> None:
        # What is shown now decides, also where it follows the system.
        now = await ui.run_javascript("document.body.classList.contains('body--dark')")
        dark.value = not now
        name = "light" if now else "dark"
        ui.run_javascript(f"document.cookie = 'roost_theme={name};path=/;max-age=31536000;samesite=strict'")

    button = ui.button(icon="contrast", on_click=switch, color=None).props("flat round dense size=sm")
    button.classes("r-quiet")
    button.props["aria-label"] = "Switch between dark and light"
    button.tooltip("Dark or light")
