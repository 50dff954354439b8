"""What the doctor says of an account's rights on the event bus."""

from __future__ import annotations

import pytest

from roost.adapters.kafka.allowed import Allowed, account_of
from roost.contracts.errors import BrokerRefused
from roost.contracts.event_rights import DUTIES, Account, Group, Resource
from roost.contracts.events import Topic
from roost.doctor.event_rights import rights
from roost.doctor.findings import Check, Level
from roost.settings import KafkaSettings

ALL = frozenset({"read", "write", "create", "delete", "alter", "describe", "describe_configs", "alter_configs"})
#: What having it includes, as the broker says it.
IMPLIED = {"read": {"describe"}, "write": {"describe"}, "alter": {"describe"}, "alter_configs": {"describe_configs"}}


def exactly(account: Account) -> Allowed:
    """As the broker answers an account that has its rights and no others."""
    topics: dict[str, set[str]] = {topic.value: set() for topic in Topic}
    groups: dict[str, set[str]] = {group.value: set() for group in Group}
    cluster: set[str] = set()
    for right in DUTIES[account].rights():
        held = {right.operation.value} | IMPLIED.get(right.operation.value, set())
        if right.resource is Resource.CLUSTER:
            cluster |= held
        else:
            (topics if right.resource is Resource.TOPIC else groups).setdefault(right.name, set()).update(held)
    return Allowed(
        topics={name: frozenset(held) for name, held in topics.items()},
        groups={name: frozenset(held) for name, held in groups.items()},
        cluster=frozenset(cluster),
    )


EVERYTHING = Allowed(
    topics={topic.value: ALL for topic in Topic}, groups={group.value: ALL for group in Group}, cluster=ALL
)


@pytest.mark.parametrize("account", list(Account))
def test_an_account_with_its_rights_and_no_others_is_well(account: Account) -> None:
    (finding,) = rights("roost-x", account, exactly(account))
    assert (finding.level, finding.remedy) == (Level.WELL, "")


@pytest.mark.parametrize("account", list(Account))
def test_an_account_without_rights_is_wrong_and_the_remedy_sets_them_up(account: Account) -> None:
    nothing = Allowed(
        topics={topic.value: frozenset() for topic in Topic},
        groups={group.value: frozenset() for group in Group},
        cluster=frozenset(),
    )
    (finding,) = rights("roost-x", account, nothing)
    assert finding.level is Level.WRONG
    assert "roost topics ensure --acls" in finding.remedy
    for topic in DUTIES[account].topics:
        assert topic.value in finding.said


def test_a_right_beyond_the_duty_is_named() -> None:
    may = exactly(Account.TRAINING)
    more = may.topics | {"deploy.commands": frozenset({"write", "describe"})}
    (finding,) = rights("roost-training", Account.TRAINING, Allowed(topics=more, groups={}, cluster=frozenset()))
    assert finding.level is Level.DOUBTFUL
    assert finding.said == "roost-training may also write topic deploy.commands: training does not need it"


def test_a_consumer_in_anothers_group_is_named() -> None:
    may = exactly(Account.SIGNUP_CONSUMER)
    groups = may.groups | {"roost-models": frozenset({"read", "describe"})}
    (finding,) = rights("x", Account.SIGNUP_CONSUMER, Allowed(topics=may.topics, groups=groups, cluster=may.cluster))
    assert "read group roost-models" in finding.said


def test_of_topics_and_groups_that_are_not_there_yet_nobody_can_tell() -> None:
    (finding,) = rights("x", Account.DEPLOYER, Allowed(topics={}, groups={}, cluster=frozenset()))
    assert finding.level is Level.WELL


def test_a_name_that_is_none_of_roosts_is_judged_by_what_it_may_do() -> None:
    (finding,) = rights("CN=x", None, exactly(Account.DEPLOYER))
    assert (finding.level, finding.said) == (Level.WELL, "CN=x may do the work of deployer")
    nothing = Allowed(topics={topic.value: frozenset() for topic in Topic}, groups={}, cluster=frozenset())
    (finding,) = rights("CN=x", None, nothing)
    assert finding.level is Level.WRONG
    assert "ROOST_KAFKA__PRINCIPALS" in finding.remedy


def test_a_super_user_is_no_login_for_a_process() -> None:
    (finding,) = rights("admin", None, EVERYTHING)
    assert (finding.level, "super user" in finding.said) == (Level.DOUBTFUL, True)


def test_the_account_is_known_by_its_login() -> None:
    login = KafkaSettings(security_protocol="SASL_SSL", sasl_username="roost-deployer")
    assert account_of(login) is Account.DEPLOYER
    assert account_of(login.model_copy(update={"sasl_username": "ann"})) is None
    mapped = login.model_copy(update={"sasl_username": "ann", "principals": {Account.OPERATOR: "ann"}})
    assert account_of(mapped) is Account.OPERATOR
    assert account_of(KafkaSettings(sasl_username="roost-deployer")) is None


def test_a_refusal_brings_its_own_remedy() -> None:
    def look() -> tuple[()]:
        raise BrokerRefused("Kafka refuses", "do this")

    (finding,) = Check(about="kafka", look=look, remedy="is it up?").run()
    assert (finding.said, finding.remedy) == ("Kafka refuses", "do this")
