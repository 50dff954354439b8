"""Several members of a group while partitions go from one to another: the whole history of each customer is compared."""

from __future__ import annotations

import pytest

from roost.adapters.postgres import PostgresLedger
from roost.contracts.events import Topic
from tests.kafka.members import Members
from tests.kafka.people import People, assert_all_taken, more
from tests.kafka.three import ThreeBrokers, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]


def test_members_that_join_leave_die_and_freeze_lose_nothing_turn_nothing_round_and_take_nothing_twice(
    kafka: ThreeBrokers, ledger: PostgresLedger, members: Members
) -> None:
    with People(kafka.settings) as sent:
        first, second = members.join(), members.join()
        until("both poll", lambda: first.ready() and second.ready())
        until("commands are taken", more(ledger))
        third = members.join()
        until("three poll", third.ready)
        first.kill()
        until("two go on", more(ledger))
        second.freeze()
        fourth = members.join()
        until("the others have its partitions", lambda: len({*third.lag(_TOPIC), *fourth.lag(_TOPIC)}) == 6)
        until("they go on", more(ledger))
        second.thaw()
        third.leave()
        gone = kafka.busiest(Topic.DEPLOY_COMMANDS)
        gone.kill()
        kafka.until_led_by_others(Topic.DEPLOY_COMMANDS, gone)
        until("they go on without a broker", more(ledger))
        gone.start()
        until("they go on with all brokers", more(ledger))
    assert_all_taken(sent, ledger)


_TOPIC = Topic.DEPLOY_COMMANDS.value
