from __future__ import annotations

from roost.contracts.links import LONGEST_NOTE, rollouts_of_run, run_note


def test_the_page_of_a_run_is_the_consoles() -> None:
    page = rollouts_of_run("http://console:8088/", "manual__1+00~2")
    assert page == "http://console:8088/rollouts?run_id=manual__1%2B00~2"


def test_a_runs_note_says_why_and_links_to_its_rollout() -> None:
    note = run_note("Acme signed up.", "http://console:8088", "signup__acme__1")
    assert note == "Acme signed up.\n\n[Its rollout](http://console:8088/rollouts?run_id=signup__acme__1)"


def test_without_a_console_there_is_nothing_to_link_to() -> None:
    assert run_note("Acme signed up.", "", "r") == "Acme signed up."


def test_a_note_is_never_longer_than_airflow_takes() -> None:
    """A run whose reason had more than 850 characters was refused for its link."""
    note = run_note("x" * 2000, "http://console:8088", "r")
    assert len(note) == LONGEST_NOTE
    assert note.endswith("x…\n\n[Its rollout](http://console:8088/rollouts?run_id=r)")
