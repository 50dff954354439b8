"""Old and new members of one group, beside each other, as the rolling update of a Deployment with several replicas has them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from roost.adapters.kafka import open_publisher
from roost.adapters.postgres import PostgresLedger
from roost.contracts.cloudevents import Event
from roost.contracts.events import CUSTOMER_SIGNED_UP, CustomerSignedUp
from roost.ports.ledger import OnboardingStage
from tests.contract.airflow_stand_in import AirflowStandIn, served
from tests.integration.upgrade.earlier import code_before
from tests.kafka.members import Member, Members
from tests.kafka.people import People, assert_all_taken, more
from tests.kafka.three import ThreeBrokers, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The code of before the traces; the schema is today's."""
    return code_before("v0005_traces", tmp_path / "earlier")


def both_poll(*members: Member) -> None:
    for member in members:
        until(f"{member.name} polls", member.ready)


def test_old_and_new_members_of_one_group_take_every_command_once_and_in_order(
    kafka: ThreeBrokers, ledger: PostgresLedger, members: Members, old: Path
) -> None:
    with People(kafka.settings) as sent:
        first, newer = members.join(code=old), members.join()
        both_poll(first, newer)
        until("both releases take commands", more(ledger))
        # Back, in the midst of it: what one leaves, the other takes over, of whichever release.
        older = members.join(code=old)
        both_poll(older)
        first.leave()
        newer.kill()
        until("the old one goes on", more(ledger))
        last = members.join()
        both_poll(last)
        older.leave()
        until("the new one goes on alone", more(ledger))
    assert_all_taken(sent, ledger)


def test_old_and_new_members_of_one_group_start_one_run_for_each_signup(
    kafka: ThreeBrokers, ledger: PostgresLedger, members: Members, old: Path
) -> None:
    airflow, publisher = AirflowStandIn(), open_publisher(kafka.settings)

    def sign_up(wave: str) -> None:
        customers = [f"{wave}{number}" for number in range(20)]
        publisher.publish_all([_signup(customer) for customer in [*customers, *customers]])
        until(f"{wave} is in training", lambda: set(customers) <= in_training())

    def in_training() -> set[str]:
        return {row.customer for row in ledger.customers(OnboardingStage.TRAINING)}

    with served(airflow) as url:
        members.know(
            ROOST_AIRFLOW__URL=url,
            ROOST_AIRFLOW__USERNAME="ann",
            ROOST_AIRFLOW__PASSWORD="secret",
        )
        first = members.join("signups", code=old)
        newer = members.join("signups")
        both_poll(first, newer)
        sign_up("both")
        newer.kill()
        sign_up("old")
        both_poll(members.join("signups"))
        first.leave()
        sign_up("new")
    publisher.close()
    started = Counter(dict(run["conf"])["customer_id"] for run in airflow.runs.values())  # type: ignore[call-overload]  # a document
    assert set(started.values()) == {1}
    assert set(started) == {row.customer for row in ledger.customers()}


def _signup(customer: str) -> Event:
    data = CustomerSignedUp(customer=customer)
    return Event(
        id=customer, type=CUSTOMER_SIGNED_UP, source="tests", subject=customer, time=datetime.now(UTC), data=data
    )
