"""How `roost customers` prints: each stage in words for a stranger, and what to do about it. No decisions here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from roost.cli.wording import screen
from roost.ports.ledger import Onboarding, OnboardingStage

_AGAIN: Final = 'Mend it, then `roost train {customer} --reason "…"`.'
#: Stage to its name, its colour, and what is to know or to do.
_WORDS: Final = {
    OnboardingStage.SIGNED_UP: ("signed up", "cyan", "Waits for its training run, which is started by itself."),
    OnboardingStage.TRAINING: ("training", "cyan", "Its training run {run} is under way."),
    OnboardingStage.TRAINED: ("trained", "green", "`roost why {customer}` says what became of the model."),
    OnboardingStage.FAILED: ("training failed", "red", f"{_AGAIN} `roost why {{customer}}` says what answers now."),
    OnboardingStage.REFUSED: ("refused", "red", f"Airflow took no run. {_AGAIN}"),
    OnboardingStage.LEAVING: ("leaving", "yellow", "Their models are being retired."),
    OnboardingStage.GONE: ("gone", "dim", "Their models are deleted; `roost signup {customer}` begins anew."),
}


def table(rows: Sequence[Onboarding]) -> None:
    """One line a customer, by customer."""
    found = Table(box=None, pad_edge=False)
    for name in ("customer", "name", "stage", "signed up"):
        found.add_column(name, no_wrap=True)
    found.add_column("what is to know")
    for row in rows:
        words, colour, then = _WORDS[row.stage]
        customer = row.customer if row.model == "default" else f"{row.customer}.{row.model}"
        at = row.signed_up_at.astimezone().strftime("%Y-%m-%d %H:%M")
        found.add_row(customer, row.name or "–", Text(words, style=colour), at, Text(_said(row, then)))
    screen().print(found)


def _said(row: Onboarding, then: str) -> str:
    advice = then.format(customer=row.customer, run=row.airflow_run_id)
    error = (row.error or "").strip()
    return f"{error}{'' if error.endswith(('.', '?', '!')) else '.'} {advice}" if error else advice
