"""Each alert asks what exists, leads to a page that exists, and is tested both ways."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from roost.telemetry.catalogue import series

ALERTS = Path("manifests/alerts")
RUNBOOKS = Path("docs/runbooks")
NAME = re.compile(r"\b(?:roost[_:][a-zA-Z0-9_:]+|up)\b")


def rules() -> Iterator[dict[str, Any]]:
    for file in sorted(ALERTS.glob("*.rules.yaml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from group["rules"]


RULES = list(rules())
BY_NAME = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}


def names_in(expression: str) -> set[str]:
    """Names of series in a query; what stands in quotes is a label's value."""
    return set(NAME.findall(re.sub(r'"[^"]*"', "", expression)))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_rule_asks_metrics_that_exist(rule: dict[str, Any]) -> None:
    asked = names_in(rule["expr"])
    assert asked
    assert asked - series() - RECORDED == set()


@pytest.mark.parametrize("name", BY_NAME)
def test_every_alert_says_how_urgent_it_is_and_leads_to_a_page_that_names_it(name: str) -> None:
    rule = BY_NAME[name]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    page = Path(rule["annotations"]["runbook"])
    assert page.parent == RUNBOOKS
    assert f"`{name}`" in page.read_text()


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_every_runbook_has_its_alert_and_the_same_form(page: Path) -> None:
    text = page.read_text()
    line = next(line for line in text.splitlines() if line.startswith("**Alert**"))
    alerts = re.findall(r"`(Roost\w+)`", line)
    assert alerts or line.startswith("**Alert**: none of its own; ")
    assert [name for name in alerts if BY_NAME[name]["annotations"]["runbook"] != str(page)] == []
    assert text.startswith("# ")
    # At 3 am: what it means, what to look at and do, how to take that back, when one may sleep again.
    assert [part for part in ("**Undo**: ", "**It is over when** ") if part not in text] == []


@pytest.mark.parametrize("name", BY_NAME)
def test_every_alert_has_a_case_that_fires_and_one_that_does_not(name: str) -> None:
    cases = [
        check
        for file in sorted((ALERTS / "tests").glob("*.test.yaml"))
        for test in yaml.safe_load(file.read_text())["tests"]
        for check in test["alert_rule_test"]
        if check["alertname"] == name
    ]
    assert {bool(case.get("exp_alerts")) for case in cases} == {True, False}


def test_every_query_of_the_buckets_names_a_bound_that_is_one() -> None:
    from roost.telemetry.catalogue import catalogue

    bounds = {f"{metric.name}_bucket": {str(float(one)) for one in metric.buckets} for metric in catalogue()}
    for rule in RULES:
        for name, bound in re.findall(r'(\w+_bucket)\{le="([^"]+)"\}', rule["expr"]):
            assert bound in bounds[name], (name, bound)
