"""The list of rollouts: search, filter, pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final
from urllib.parse import urlencode

from fastapi import Request
from nicegui import ui

from deployer.console.access import Caller
from deployer.console.app import Console
from deployer.console.pages.frame import frame
from deployer.console.pages.holds import holds
from deployer.console.pages.live import Live, Sections
from deployer.console.pages.parts import PHASE_TONE, cell, chip, empty, link, moment, phase_words, table, tag
from deployer.console.views import FreezeView, RolloutPage, RolloutSummary
from roost.contracts.ids import InvalidId, check_id
from roost.contracts.rollout import TERMINAL, Phase
from roost.ports.ledger import RolloutQuery

#: Name of a filter to the phases it lets through.
FILTERS: Final[dict[str, frozenset[Phase] | None]] = {
    "all": None,
    "needs a person": frozenset({Phase.AWAITING_APPROVAL, Phase.HALTED}),
    "under way": frozenset(Phase) - TERMINAL - {Phase.LIVE, Phase.AWAITING_APPROVAL, Phase.HALTED},
    "live": frozenset({Phase.LIVE, Phase.SETTLED}),
    "refused or back": frozenset({Phase.REJECTED, Phase.ROLLED_BACK, Phase.CANCELLED, Phase.SUPERSEDED}),
}
_ROWS: Final = 25
_Live = Live[tuple[RolloutPage, tuple[FreezeView, ...]]]


@dataclass(slots=True)
class _Chosen:
    """What this page shows. `pages` holds where each page before began."""

    customer: str = ""
    filter: str = "all"
    #: A training run's own page of Airflow links here.
    run_id: str = ""
    pages: list[datetime | None] = field(default_factory=lambda: [None])

    @property
    def query(self) -> RolloutQuery:
        return RolloutQuery(
            customer=self.customer or None,
            phases=FILTERS[self.filter],
            run_id=self.run_id or None,
            limit=_ROWS,
            before=self.pages[-1],
        )


def mount(console: Console) -> None:
    """The page at ``/``, kept by address: ``/?customer=ua&show=live``; ``/rollouts?run_id=…`` shows one run's."""

    @ui.page("/rollouts")
    @ui.page("/")
    def rollouts(request: Request, customer: str = "", show: str = "all", run_id: str = "") -> None:
        chosen = _Chosen(customer=_valid(customer), filter=show if show in FILTERS else "all", run_id=run_id[:200])
        caller: Caller = request.state.caller
        with frame(console, request, "Rollouts"):
            tag("h1", "Rollouts")
            filters = ui.row().classes("r-filters")
            live: _Live = Live(
                console,
                lambda: (console.reader.rollouts(chosen.query), tuple(console.reader.freezes())),
                lambda found, sections: _draw(found, sections, chosen, live, partial(holds, console, caller)),
                every=5,
            )
            with filters:
                _filters(chosen, live)


def _filters(chosen: _Chosen, live: _Live) -> None:
    async def again() -> None:
        chosen.pages = [None]
        asked = {"customer": chosen.customer, "show": chosen.filter if chosen.filter != "all" else ""}
        query = urlencode({name: value for name, value in asked.items() if value})
        ui.run_javascript(f"history.replaceState(null, '', '/{'?' + query if query else ''}')")
        await live.refresh()

    async def search() -> None:
        text = (field.value or "").strip().lower()
        if text and not _valid(text):
            field.props["error"] = True
            field.props["error-message"] = "a customer id: a-z, 0-9 and -"
            field.update()
            return
        field.props["error"] = False
        chosen.customer = text
        field.update()
        await again()

    async def choose() -> None:
        chosen.filter = str(kind.value)
        await again()

    field = ui.input(label="Customer id", value=chosen.customer, on_change=search)
    field.props("outlined dense clearable debounce=300 data-search").props["hint"] = "press / to search"
    field.style("width: 220px")
    kind = ui.toggle(list(FILTERS), value=chosen.filter, on_change=choose).props("no-caps unelevated dense")
    kind.props("toggle-color=primary padding='4px 12px'")


def _draw(
    found: tuple[RolloutPage, tuple[FreezeView, ...]],
    sections: Sections,
    chosen: _Chosen,
    live: _Live,
    holds: Callable[[tuple[FreezeView, ...]], None],
) -> None:
    page, freezes = found
    sections.show("freezes", freezes, holds)
    sections.show("page", page, lambda page: _page(page, chosen, live))


def _page(page: RolloutPage, chosen: _Chosen, live: _Live) -> None:
    with ui.column().classes("r-card"):
        if not page.items:
            _nothing(chosen)
        else:
            with table("Customer", "#Version", "Phase", "Since", "Why", "Run", stacks=True):
                for row in page.items:
                    _row(row)
    _pager(page, chosen, live)


def _row(row: RolloutSummary) -> None:
    with tag("tr"):
        cell(
            partial(
                link,
                row.customer if row.model == "default" else row.name,
                f"/customers/{row.customer}?model={row.model}",
            ),
            "tight",
        )
        # On a phone no heading says what the number is.
        cell(f"v{row.version}" if row.version else "–", "num")
        cell(partial(chip, phase_words(row.phase), PHASE_TONE.get(row.phase, "run")))
        cell(partial(moment, row.entered_at, "r-soft"), "tight")
        cell(partial(link, row.reason or "open", f"/rollouts/{row.id}"), "wide")
        cell(row.run_id, "r-mono r-soft tight")


def _pager(page: RolloutPage, chosen: _Chosen, live: _Live) -> None:
    async def older() -> None:
        chosen.pages.append(page.next_before)
        await live.refresh()

    async def newer() -> None:
        chosen.pages.pop()
        await live.refresh()

    if len(chosen.pages) == 1 and page.next_before is None:
        return
    with ui.row().classes("items-center"):
        _turn("Newer", newer, enabled=len(chosen.pages) > 1)
        tag("span", f"Page {len(chosen.pages)}", "r-soft r-small")
        _turn("Older", older, enabled=page.next_before is not None)


def _turn(text: str, act: Callable[[], Awaitable[None]], *, enabled: bool) -> None:
    ui.button(text, on_click=act, color=None).props("flat no-caps dense").classes("r-act").set_enabled(enabled)


def _nothing(chosen: _Chosen) -> None:
    if chosen.run_id:
        empty(f"No rollout of run {chosen.run_id} yet", "It comes within a second of the run's last task.")
        return
    if chosen.customer or chosen.filter != "all":
        whose = f" of {chosen.customer}" if chosen.customer else ""
        kind = f" that are “{chosen.filter}”" if chosen.filter != "all" else ""
        empty(f"No rollouts{whose}{kind}", "Clear the filters to see the others.")
        if chosen.customer:
            with ui.row().classes("w-full justify-center"):
                link(f"Why? Where {chosen.customer} stands", f"/customers/{chosen.customer}")
        return
    empty(
        "No rollouts yet",
        "A rollout begins when a training run says that a model is ready. The quickest way to one:",
        command="roost signup ua",
    )


def _valid(customer: str) -> str:
    try:
        return check_id(customer)
    except InvalidId:
        return ""
