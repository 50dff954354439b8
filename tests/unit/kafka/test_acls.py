"""The ACLs that the accounts' duties need, against those that are there."""

from __future__ import annotations

from dataclasses import replace

from roost.adapters.kafka.acls import Entry, compared, principal, wanted
from roost.contracts.event_rights import DUTIES, Account
from roost.settings import KafkaSettings

SETTINGS = KafkaSettings()
OURS = {principal(SETTINGS, account) for account in Account}


def test_every_right_is_one_acl_under_the_accounts_own_name() -> None:
    entries = wanted(SETTINGS)
    assert len(entries) == len(set(entries)) == sum(len(duty.rights()) for duty in DUTIES.values())
    assert {one.principal for one in entries} == OURS
    assert all(one.host == "*" and one.allows for one in entries)
    assert "User:roost-training may write topic models.ready" in map(str, entries)


def test_accounts_may_have_names_of_their_own() -> None:
    named = KafkaSettings(principal_prefix="eu-", principals={Account.DEPLOYER: "CN=deployer,O=Example"})
    assert principal(named, Account.DEPLOYER) == "User:CN=deployer,O=Example"
    assert principal(named, Account.TRAINING) == "User:eu-training"


def test_where_nothing_is_there_everything_is_missing_and_then_nothing() -> None:
    needed = wanted(SETTINGS)
    first = compared(needed, [], OURS)
    assert (first.created, first.kept) == (needed, ())
    again = compared(needed, needed, OURS)
    assert (again.created, again.kept, again.surplus, again.others) == ((), needed, (), ())


def test_what_our_accounts_have_beyond_their_duty_is_surplus() -> None:
    more = Entry(principal="User:roost-training", operation="write", resource="topic", name="deploy.commands")
    denied = replace(more, name="models.ready", allows=False)
    report = compared(wanted(SETTINGS), [more, denied], OURS)
    assert set(report.surplus) == {more, denied}
    assert str(denied) == "User:roost-training may not write topic models.ready"


def test_a_right_from_one_host_only_is_not_the_right_that_is_needed() -> None:
    needed = wanted(SETTINGS)
    bound = replace(needed[0], host="10.0.0.1")
    report = compared(needed, [bound], OURS)
    assert needed[0] in report.created
    assert str(report.surplus[0]).endswith(" from 10.0.0.1")


def test_of_others_only_what_touches_roosts_topics_and_groups_is_told() -> None:
    crm = Entry(principal="User:crm", operation="write", resource="topic", name="customers")
    told = [crm, replace(crm, name="cust*"), replace(crm, name="*"), replace(crm, resource="group", name="roost-*")]
    silent = [replace(crm, name="orders"), replace(crm, name="ord*"), replace(crm, resource="cluster", name="x")]
    report = compared(wanted(SETTINGS), [*told, *silent], OURS)
    assert set(report.others) == set(told)
    assert report.surplus == ()
