"""Who may do what on the event bus."""

from __future__ import annotations

import pytest

from roost.contracts.event_rights import DUTIES, Account, Group, Operation, Resource, Right, said
from roost.contracts.events import CATALOGUE, Topic

CHANGING = {Operation.WRITE, Operation.CREATE, Operation.ALTER, Operation.ALTER_CONFIGS}


def writers(topic: Topic) -> set[Account]:
    return {account for account, duty in DUTIES.items() if topic in duty.writes}


def test_every_account_has_a_duty_and_every_duty_a_right() -> None:
    assert DUTIES.keys() == set(Account)
    assert all(duty.rights() for duty in DUTIES.values())


def test_nobody_but_training_and_a_person_who_replays_says_that_a_model_is_ready() -> None:
    assert writers(Topic.MODELS_READY) == {Account.TRAINING, Account.OPERATOR}


def test_only_the_deployer_tells_what_was_deployed() -> None:
    assert writers(Topic.DEPLOY_EVENTS) == {Account.DEPLOYER}


def test_training_and_the_consumers_may_not_command() -> None:
    assert writers(Topic.DEPLOY_COMMANDS) == {Account.OPERATOR}


def test_a_consumer_writes_dead_letters_only() -> None:
    for account in (Account.SIGNUP_CONSUMER, Account.MODEL_CONSUMER):
        assert DUTIES[account].writes == (Topic.DEAD_LETTERS,)


def test_whoever_reads_as_a_group_may_use_that_group_and_no_other() -> None:
    groups = [group for duty in DUTIES.values() for group in duty.groups]
    assert len(groups) == len(set(groups))


def test_whoever_watches_a_group_may_look_and_not_join() -> None:
    for group in Group:
        rights = {one.operation for one in DUTIES[Account.OPERATOR].rights() if one.name == group}
        assert rights == {Operation.DESCRIBE}
        reader = next(duty for duty in DUTIES.values() if group in duty.groups)
        assert group.topic in reader.reads


def test_only_the_set_up_changes_topics_and_rights() -> None:
    for account, duty in DUTIES.items():
        changing = {right for right in duty.rights() if right.operation in CHANGING - {Operation.WRITE}}
        assert bool(changing) == (account is Account.SETUP)
        assert any(right.resource is Resource.CLUSTER for right in duty.rights()) == (account is Account.SETUP)


def test_every_topic_that_carries_events_has_somebody_who_writes_and_somebody_who_reads() -> None:
    for topic in {topic for _, topic in CATALOGUE.values()}:
        assert writers(topic)
        assert any(topic in duty.reads for duty in DUTIES.values())


@pytest.mark.parametrize(
    ("right", "sentence"),
    [
        (Right(resource=Resource.TOPIC, name="customers", operation=Operation.READ), "read topic customers"),
        (Right(resource=Resource.CLUSTER, operation=Operation.ALTER), "alter cluster"),
        (
            Right(resource=Resource.TOPIC, name="customers", operation=Operation.ALTER_CONFIGS),
            "alter the configs of topic customers",
        ),
    ],
)
def test_a_right_is_a_sentence(right: Right, sentence: str) -> None:
    assert str(right) == sentence


def test_operations_that_roost_does_not_give_are_said_too() -> None:
    assert said("delete") == "delete"
