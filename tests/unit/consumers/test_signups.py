"""Customers' events to onboarding rows."""

from __future__ import annotations

import threading
from datetime import timedelta

from roost.contracts.events import CustomerOffboarded, CustomerSignedUp
from roost.contracts.ids import check_run_id
from roost.ports.ledger import OnboardingStage
from tests.unit.consumers.conftest import T0, World, an_event

STOP = threading.Event()


def test_the_same_event_gives_the_same_run(world: World) -> None:
    event = an_event(CustomerSignedUp(customer="acme"))
    for _ in range(10):
        world.publisher.publish(event)
    world.loop().step(STOP)
    [row] = world.ledger.customers()
    assert row.airflow_run_id.startswith("signup__acme__")
    assert check_run_id(row.airflow_run_id)


def test_equal_ids_of_two_producers_are_two_events(world: World) -> None:
    world.publisher.publish(an_event(CustomerSignedUp(customer="acme"), "1", source="crm"))
    world.publisher.publish(an_event(CustomerSignedUp(customer="other"), "1", source="shop"))
    world.loop().step(STOP)
    assert [row.customer for row in world.ledger.customers()] == ["acme", "other"]


def test_no_word_of_ours_is_refused_as_a_customers_id(world: World) -> None:
    words = ["canary", "customer", "default", "everybody", "fleet", "paused", "rollout", "stable"]
    for word in words:
        world.publisher.publish(an_event(CustomerSignedUp(customer=word), word))
    world.loop().step(STOP)
    assert ([row.customer for row in world.ledger.customers()], world.dead()) == (words, [])


def test_who_leaves_before_the_run_started_is_retired(world: World) -> None:
    world.publisher.publish(an_event(CustomerSignedUp(customer="acme"), "1"))
    world.publisher.publish(an_event(CustomerOffboarded(customer="acme", reason="moved"), "2"))
    world.loop().step(STOP)
    [row] = world.ledger.customers()
    assert (row.stage, row.reason) == (OnboardingStage.LEAVING, "moved")


def test_an_unknown_customer_who_leaves_changes_nothing(world: World) -> None:
    world.publisher.publish(an_event(CustomerOffboarded(customer="nobody")))
    world.loop().step(STOP)
    assert (world.ledger.customers(), world.dead()) == ([], [])


def test_a_producers_clock_ahead_of_ours_signs_nobody_up_in_the_future(world: World) -> None:
    world.publisher.publish(an_event(CustomerSignedUp(customer="acme"), time=T0 + timedelta(hours=1)))
    world.loop().step(STOP)
    assert world.ledger.customers()[0].signed_up_at == T0
