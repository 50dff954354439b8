"""Addresses of the console's pages, for whoever points there: events, notes of runs, operator links. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from roost.contracts.wording import keepable

#: Characters of a run's note. Airflow refuses a run for a longer one.
LONGEST_NOTE: Final = 1000


def rollouts_of_run(console: str, run_id: str) -> str:
    """Page of the rollouts that a training run led to."""
    return f"{console.rstrip('/')}/rollouts?{urlencode({'run_id': run_id})}"


def run_note(text: str, console: str, run_id: str) -> str:
    """What stands at a training run in the workflow engine: why it runs, and where its rollout is to be seen.

    The page's address follows from the run's id, so that it can be given before there is a rollout.
    """
    link = f"\n\n[Its rollout]({rollouts_of_run(console, run_id)})" if console else ""
    return keepable(text, LONGEST_NOTE - len(link)) + link


def trace_page(template: str | None, trace_id: str | None) -> str | None:
    """The page of a trace in the tracing tool, whose address says ``{trace_id}``; None where either is not known."""
    return template.replace("{trace_id}", trace_id) if template and trace_id else None
