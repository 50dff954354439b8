"""One customer: `why`, as a page."""

from __future__ import annotations

from fastapi import Request
from nicegui import ui

from deployer.console.access import Caller
from deployer.console.app import Console
from deployer.console.pages import asking
from deployer.console.pages.frame import frame
from deployer.console.pages.live import Live, Sections
from deployer.console.pages.parts import STEP_TONE, card, chip, clock, empty, link, tag
from deployer.console.plain_words import fact_text, seconds_text
from deployer.console.why.answer import StepState, WhyAnswer, WhyStep
from deployer.console.why.evidence import UnknownCustomer
from roost.contracts.ids import DEFAULT_MODEL, InvalidId, check_id


def mount(console: Console) -> None:
    """The page at ``/customers/<id>``."""

    @ui.page("/customers/{customer}")
    def page(request: Request, customer: str, model: str = DEFAULT_MODEL) -> None:
        caller: Caller = request.state.caller
        with frame(console, request, f"Customer {customer}"):
            try:
                check_id(customer, "customer id")
                check_id(model, "model id")
            except InvalidId as error:
                empty("That is not an id", str(error))
                return

            def read() -> WhyAnswer | str:
                try:
                    return console.reader.why(customer, model)
                except UnknownCustomer as error:
                    return str(error)

            def draw(found: WhyAnswer | str, sections: Sections) -> None:
                if isinstance(found, str):
                    said = f"{found[:1].upper()}{found[1:]}. Check the id; if they are new, sign them up:"
                    empty("Nobody of that name", said, command=f"roost signup {customer}")
                else:
                    _draw(console, caller, found, sections)

            Live(console, read, draw, every=2)


def _draw(console: Console, caller: Caller, answer: WhyAnswer, sections: Sections) -> None:
    head = (answer.name, answer.sentence, answer.serving, answer.next, answer.rollout_id, answer.actions)
    sections.show("head", head, lambda _: _head(console, caller, answer))
    sections.show("steps", answer.steps, _steps)


def _head(console: Console, caller: Caller, answer: WhyAnswer) -> None:
    with ui.row().classes("w-full items-center").style("gap: 12px"):
        tag("h1", answer.name)
        chip(*_serving(answer))
        ui.space()
        for action in asking.different(answer.actions):
            target = asking.Target(label=answer.name, rollout_id=action.rollout_id)
            asking.buttons(console, caller, [action], target)
    tag("p", answer.sentence, "q-ma-none")
    with card("What to do"):
        tag("span", answer.next.sentence)
        if answer.next.command:
            with tag("div"):
                tag("code", answer.next.command)
        if answer.next.runbook:
            tag("span", f"Runbook: {answer.next.runbook}", "r-soft r-small")
        with ui.row().style("gap: 18px"):
            if answer.rollout_id:
                link("The newest rollout", f"/rollouts/{answer.rollout_id}")
            link("All its rollouts", f"/?customer={answer.customer}")


def _serving(answer: WhyAnswer) -> tuple[str, str]:
    """In one word, and its tone. A customer in training, or gone, is as they should be."""
    if answer.version is None:
        return "nothing served", "mute"
    return ("serving", "good") if answer.serving else ("not as it should be", "wait")


def _steps(steps: tuple[WhyStep, ...]) -> None:
    with card("From event to answer"), tag("ol", classes="r-steps"):
        for step in steps:
            _step(step)


def _step(step: WhyStep) -> None:
    tone = STEP_TONE[step.state]
    with tag("li"):
        tag("span", classes=f"r-dot {tone}", aria_hidden="true")
        tag("span", step.title, "name" if not step.key.startswith("replica:") else "r-soft")
        with tag("span", classes="said"):
            tag("span", step.sentence)
            if step.state in {StepState.FAILED, StepState.UNKNOWN, StepState.RUNNING}:
                chip(step.state.value, tone).style("margin-left: 8px")
            _facts(step)
        with tag("span", classes="when"):
            if step.at is not None:
                clock(step.at)
            if step.seconds is not None:
                tag("div", f"took {seconds_text(step.seconds)}")


def _facts(step: WhyStep) -> None:
    if step.key == "canary":
        for check, said in step.facts.items():
            tag("div", f"{check}: {said}", "r-soft r-small")
        return
    url = step.facts.get("url")
    shown = {
        name: value
        for name, value in step.facts.items()
        if name not in {"url", "ready"} and value not in (None, "", [])
    }
    if shown:
        tag(
            "div",
            " · ".join(f"{name.replace('_', ' ')} {_short(name, value)}" for name, value in shown.items()),
            "r-soft r-small",
        )
    if isinstance(url, str) and url.startswith(("http://", "https://")):
        link("Open the run in Airflow", url, "r-small").props["rel"] = "noreferrer"


def _short(name: str, value: object) -> str:
    text = fact_text(name, value)
    return f"{text[:19]}…" if text.startswith("sha256:") else text
