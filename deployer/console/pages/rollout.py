"""One rollout: timeline, verdict, replicas, facts, and what can be done about it."""

from __future__ import annotations

from functools import partial
from typing import Final

from fastapi import Request
from nicegui import ui

from deployer.console.access import Caller
from deployer.console.app import Console
from deployer.console.pages import asking
from deployer.console.pages.frame import frame
from deployer.console.pages.live import Live, Sections
from deployer.console.pages.parts import (
    OUTCOME_TONE,
    PHASE_TONE,
    card,
    cell,
    chip,
    clock,
    empty,
    facts,
    link,
    moment,
    note,
    phase_words,
    table,
    tag,
)
from deployer.console.plain_words import amount, fact_text, megabytes, seconds_text
from deployer.console.views import RolloutDetail, TransitionView
from roost.contracts.errors import NotFound
from roost.contracts.rollout import TERMINAL, Phase
from roost.contracts.verdict import Verdict

#: Phases in which somebody looks for what to do.
_ASKS: Final = {Phase.AWAITING_APPROVAL, Phase.HALTED, Phase.REJECTED}


def mount(console: Console) -> None:
    """The page at ``/rollouts/<id>``; events link to it."""

    @ui.page("/rollouts/{rollout_id}")
    def rollout(request: Request, rollout_id: str) -> None:
        caller: Caller = request.state.caller
        with frame(console, request, f"Rollout {rollout_id}"):

            def read() -> RolloutDetail | str:
                try:
                    return console.reader.rollout(rollout_id)
                except NotFound as error:
                    return str(error)

            def draw(found: RolloutDetail | str, sections: Sections) -> None:
                if isinstance(found, str):
                    empty("There is no such rollout", found, command="roost rollouts")
                else:
                    _draw(console, caller, found, sections)

            Live(console, read, draw, every=2)


def _draw(console: Console, caller: Caller, found: RolloutDetail, sections: Sections) -> None:
    row = found.rollout
    sections.show("head", (row, found.quarantine, found.actions), lambda _: _head(console, caller, found))
    sections.show("body", found, lambda _: _body(found))


def _head(console: Console, caller: Caller, found: RolloutDetail) -> None:
    row = found.rollout
    version = f"version {row.version}" if row.version else "no version yet"
    with ui.row().classes("w-full items-center").style("gap: 12px"):
        tag("h1", f"{row.name}, {version}")
        chip(phase_words(row.phase), PHASE_TONE.get(row.phase, "run"))
        ui.space()
        label = f"{row.name} {version}" if row.version else row.name
        digest = row.digest if found.quarantine is not None else None
        target = asking.Target(label=label, rollout_id=row.id, digest=digest)
        asking.buttons(console, caller, asking.different(found.actions), target)
    with tag("p", classes="q-ma-none"):
        tag("span", f"{row.reason} ")
        if row.phase in _ASKS:
            link("What to do", f"/customers/{row.customer}?model={row.model}")
    if found.quarantine is not None:
        entry = found.quarantine
        said = f"This artifact is quarantined by {entry.actor}: “{entry.reason}”."
        note(f"{said} It is refused until somebody releases it.", "wait")


def _body(found: RolloutDetail) -> None:
    with tag("div", classes="r-two"):
        with ui.column().style("gap: 16px"):
            with card("Timeline"):
                _timeline(found.history, found.rollout.phase)
            with card("Verdict"):
                _verdict(found.verdict, found.rollout.phase)
        with ui.column().style("gap: 16px"):
            with card("Replicas"):
                _replicas(found)
            with card("Facts"):
                _facts(found)


def _timeline(history: tuple[TransitionView, ...], phase: Phase) -> None:
    with tag("ol", classes="r-steps"):
        for line in history:
            last = line is history[-1]
            tone = PHASE_TONE.get(line.after, "good")
            if last and phase not in TERMINAL and phase is not Phase.LIVE:
                tone = {"good": "run"}.get(tone, tone)
            with tag("li"):
                tag("span", classes=f"r-dot {tone}", aria_hidden="true")
                tag("span", phase_words(line.after), "name")
                with tag("span", classes="said"):
                    tag("span", line.reason)
                    if line.actor not in {"deployer", "consumer"}:
                        tag("span", f" by {line.actor}", "r-soft")
                    _numbers(line.facts)
                with tag("span", classes="when"):
                    clock(line.at)
                    if line.seconds is not None:
                        tag("div", f"after {seconds_text(line.seconds)}")


def _numbers(found: dict[str, object]) -> None:
    if found:
        said = ", ".join(f"{name.replace('_', ' ')} {fact_text(name, value)}" for name, value in found.items())
        tag("div", said, "r-soft r-small")


def _verdict(verdict: Verdict | None, phase: Phase) -> None:
    if verdict is None:
        said = "The checks run when it is loaded on the canary node."
        tag("p", "No check ran: it never came to the canary." if phase in TERMINAL else said, "r-soft q-ma-none")
        return
    with ui.row().classes("items-center").style("gap: 10px"):
        chip(verdict.outcome.value, OUTCOME_TONE[verdict.outcome])
        tag("span", verdict.sentence)
    with table("Check", "Outcome", "What it found", "#Found", "#Bound", "#n", "#Took"):
        for check in verdict.checks:
            with tag("tr"):
                cell(check.check, "tight")
                cell(partial(chip, check.outcome.value, OUTCOME_TONE[check.outcome]))
                with tag("td", classes="wide"):
                    tag("span", check.sentence)
                    if check.statistic:
                        tag("div", check.statistic.replace("_", " "), "r-soft r-small")
                cell(amount(check.estimate), "num")
                cell(amount(check.threshold), "num")
                cell(str(check.n) if check.n is not None else "–", "num")
                cell(seconds_text(check.seconds), "num")


def _replicas(found: RolloutDetail) -> None:
    row = found.rollout
    if found.replicas_error:
        note(found.replicas_error, "bad")
    if not found.replicas:
        tag(
            "p",
            "None holds it." if row.version else "It has no version yet, so no replica knows it.",
            "r-soft q-ma-none",
        )
        return
    with table("Node", "State", "#Stable", "#Loaded in", "#Memory"):
        for replica in found.replicas:
            with tag("tr"):
                cell(replica.node, "tight")
                with tag("td", classes="wide"):
                    if not replica.reachable:
                        chip("unreachable", "bad")
                    elif replica.serves:
                        chip("answers with it", "good")
                    else:
                        chip("does not answer with it", "mute")
                    if replica.error:
                        tag("div", replica.error, "r-small r-soft")
                cell(str(replica.version) if replica.version else "–", "num")
                cell(seconds_text(replica.load_seconds), "num")
                cell(megabytes(replica.memory_bytes), "num")


def _facts(found: RolloutDetail) -> None:
    row = found.rollout
    rows: list[tuple[str, object]] = [
        ("Customer", partial(link, row.customer, f"/customers/{row.customer}?model={row.model}")),
        ("Rollout", partial(tag, "span", row.id, "r-mono")),
        ("Run", partial(tag, "span", row.run_id, "r-mono")),
        ("Trained", partial(moment, row.trained_at)),
        ("Received", partial(moment, row.received_at)),
        ("Digest", partial(tag, "span", row.digest, "r-mono")),
        ("Artifact", partial(tag, "span", found.artifact_uri, "r-mono")),
        ("Pool", row.pool),
        ("Generations", f"load {row.load_generation or '–'}, flip {row.flip_generation or '–'}"),
        ("Skew", f"{amount(row.skew_ms)} ms" if row.skew_ms is not None else "–"),
        ("Version before", row.previous_version or "none"),
    ]
    if row.trace_id:
        page = found.trace_page
        shown = partial(link, row.trace_id, page) if page else partial(tag, "span", row.trace_id, "r-mono")
        rows.append(("Trace", shown))
    if row.approved_by:
        rows.append(("Approved by", row.approved_by))
    if found.expected_at is not None:
        rows.append(("Expected live", partial(clock, found.expected_at)))
    if row.deadline is not None and row.phase not in TERMINAL and row.phase is not Phase.HALTED:
        rows.append(("Phase ends by", partial(clock, row.deadline)))
    for name, value in found.facts.items():
        if isinstance(value, dict):
            rows.extend((str(key).replace("_", " "), fact_text(str(key), inner)) for key, inner in value.items())
        else:
            rows.append((name.replace("_", " "), fact_text(name, value)))
    facts(rows)
