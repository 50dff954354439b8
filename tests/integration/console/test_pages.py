"""The pages in a real browser: what an on-call engineer sees and does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

pytest.importorskip("playwright", reason="the browser's driver is not installed: the group `dev` has it")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.integration

#: Milliseconds; its own five seconds are few where a whole machine is busy.
expect.set_options(timeout=60_000)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test if its scripts fail, or if it asks any other machine for anything."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(60_000)
    errors: list[str] = []
    hosts: set[str] = set()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("request", lambda request: hosts.add(httpx.URL(request.url).host))
    yield opened
    opened.close()
    assert not errors
    assert hosts <= {"127.0.0.1", ""}


def test_the_list_shows_every_rollout_and_narrows_by_filter_and_search(page: Page, console: str):
    page.goto(console)
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(14)
    page.get_by_role("button", name="needs a person").click()
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="all").click()
    expect(rows).to_have_count(14)
    page.keyboard.press("/")
    expect(page.get_by_label("Customer id")).to_be_focused()
    page.keyboard.type("ev")
    expect(rows).to_have_count(2)
    expect(page.locator("tbody tr td:first-child")).to_have_text(["ev", "ev"])
    expect(page).to_have_url(f"{console}/?customer=ev")
    page.reload()
    expect(page.locator("tbody tr td:first-child")).to_have_text(["ev", "ev"])


def test_a_rollout_is_approved_by_keyboard_with_a_reason_and_the_page_follows(page: Page, fresh_console: str):
    page.goto(f"{fresh_console}/?customer=9e")
    page.get_by_role("link", name="sanity: Only 6 rows").click()
    page.get_by_text("awaiting approval").first.wait_for()
    page.get_by_role("button", name="Approve").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.press("Control+Enter")
    page.get_by_text("Say why").wait_for()
    page.get_by_label("Reason").fill("a cohort model is good enough")
    page.keyboard.press("Control+Enter")
    page.get_by_text("approved: 9e.default version 1 is LIVE").wait_for()
    page.get_by_text("answers with it").nth(2).wait_for()
    # It is their first version: there is nothing to roll back to.
    page.get_by_role("button", name="End serving").wait_for()
    assert not page.get_by_role("button", name="Roll back").is_visible()
    (row, *_) = httpx.get(f"{fresh_console}/api/v1/commands", trust_env=False).json()
    assert (row["command"], row["reason"]) == ("approve", "a cohort model is good enough")


def test_a_change_made_elsewhere_appears_without_reloading_and_a_reason_being_typed_survives(
    page: Page, fresh_console: str
):
    page.goto(f"{fresh_console}/?customer=9e")
    page.get_by_role("link", name="sanity: Only 6 rows").click()
    page.get_by_role("button", name="Reject").click()
    page.get_by_label("Reason").fill("half a sentence")
    body = {"command": "approve", "customer": "9e", "reason": "a colleague was quicker"}
    assert httpx.post(f"{fresh_console}/api/v1/commands?wait=10", json=body, trust_env=False).status_code == 200
    page.locator(".r-chip.r-good", has_text="live").wait_for()
    assert page.get_by_label("Reason").input_value() == "half a sentence"


def test_the_verdict_table_has_each_checks_sentence_and_numbers(page: Page, console: str):
    page.goto(f"{console}/?customer=dl")
    page.get_by_role("link", name="sanity: 128 of 128").click()
    row = page.locator("tr", has_text="non finite")
    row.wait_for()
    assert "128 of 128 answers are NaN" in row.inner_text()
    assert row.locator("td.num").first.inner_text() == "128"


def test_the_fleet_shows_each_node_and_a_freeze_asks_why(page: Page, fresh_console: str):
    page.goto(f"{fresh_console}/fleet")
    page.get_by_text("3 of 3 nodes serve it").wait_for()
    page.get_by_role("link", name="ua.default").wait_for()
    page.get_by_role("button", name="Freeze").click()
    page.get_by_label("Reason").fill("change night")
    page.get_by_role("button", name="Freeze").last.click()
    page.get_by_text("freeze done").wait_for()


def test_a_freeze_says_since_when_and_is_ended_where_it_is_told(page: Page, fresh_console: str):
    """It was told without a button: who saw it had to know the command."""
    page.goto(fresh_console)
    told = page.locator(".r-hold", has_text="Nothing of customer b6 is promoted: frozen by maria")
    expect(told).to_contain_text("ago.")
    told.get_by_role("button", name="Thaw").click()
    page.get_by_label("Reason").fill("launched")
    page.get_by_role("button", name="Thaw").last.click()
    page.get_by_text("thaw done").wait_for()
    expect(told).to_have_count(0)


def test_on_a_phone_every_page_and_every_reason_can_be_tapped(page: Page, console: str):
    """Half of the navigation, and the links to the rollouts, lay beyond the edge."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(console)
    reason = page.get_by_role("link", name="version 2 answers on 3 of 3 nodes")
    for link in (reason, page.get_by_role("link", name="Commands"), page.get_by_role("link", name="API")):
        link.wait_for()
        box = link.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


def test_what_a_version_can_be_taken_back_to_is_what_its_pages_offer(page: Page, console: str):
    """The page of a first live version offered a rollback, which the deployer refused."""
    for customer, offered, left_out, says in (
        ("ua", "Roll back", "End serving", "Version 1 answers again at once"),
        ("b6", "End serving", "Roll back", "Nothing of b6.default answers afterwards"),
    ):
        for address in (f"{console}/customers/{customer}", f"{console}/?customer={customer}&show=live"):
            page.goto(address)
            if "show=" in address:
                page.get_by_role("link", name="answers on 3 of 3 nodes").click()
            button = page.get_by_role("button", name=offered)
            button.wait_for()
            expect(page.get_by_role("button", name=left_out)).to_have_count(0)
            button.click()
            page.get_by_role("dialog").get_by_text(says).wait_for()
            page.keyboard.press("Escape")


def test_why_is_a_page_too(page: Page, console: str):
    page.goto(f"{console}/customers/dl")
    page.get_by_text("From event to answer").wait_for()
    page.get_by_text("The newest, version 1, is REJECTED").wait_for()
    assert page.get_by_text('roost train dl --reason "…"').is_visible()


def test_where_nothing_has_happened_the_pages_say_how_to_begin(page: Page, empty_console: str):
    page.goto(empty_console)
    page.get_by_text("roost signup ua").wait_for()
    page.goto(f"{empty_console}/customers/zz")
    page.get_by_text("roost signup zz").wait_for()
    page.goto(f"{empty_console}/rollouts/none")
    page.get_by_text("There is no such rollout").wait_for()
    page.goto(f"{empty_console}/nowhere")
    page.get_by_text("There is nothing at /nowhere").wait_for()
    page.get_by_role("link", name="Rollouts").click()
    page.get_by_text("No rollouts yet").wait_for()
    answer = httpx.get(f"{empty_console}/api/v1/nothing", trust_env=False)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    page.goto(f"{empty_console}/events")
    page.get_by_text("No events yet").wait_for()
    page.goto(f"{empty_console}/commands")
    page.get_by_text("Nobody has asked for anything yet").wait_for()


def test_dark_and_light_are_chosen_and_kept(page: Page, console: str):
    page.emulate_media(color_scheme="light")
    page.goto(f"{console}/fleet")
    page.get_by_label("Switch between dark and light").click()
    page.locator("body.body--dark").wait_for()
    page.goto(f"{console}/events")
    page.locator("body.body--dark").wait_for()


def test_swagger_describes_the_api_without_any_other_machine(page: Page, empty_console: str):
    page.goto(f"{empty_console}/docs")
    page.get_by_text("/api/v1/why/{customer}").wait_for()


def test_without_a_database_no_page_looks_as_if_there_were_nothing(page: Page, console_without_ledger: str):
    """A page was blank while the database was waited for, and then told of what stands below, where nothing stood."""
    for address in ("/", "/customers/ua", "/events"):
        page.goto(console_without_ledger + address)
        told = page.locator(".r-note.r-bad")
        expect(told).to_contain_text("PostgreSQL does not answer")
        expect(told).to_contain_text("Nothing could be read yet")
        expect(page.get_by_text("No rollouts yet")).to_have_count(0)
