"""The buttons of a rollout's page never offer what the transition table forbids."""

from __future__ import annotations

import pytest

from deployer.console.access import MAY, Role
from deployer.console.pages.asking import OFFERS
from deployer.domain.transitions import TABLE
from roost.contracts.events import Command
from roost.contracts.rollout import Phase

#: What a command leads to.
LEADS_TO = {
    Command.APPROVE: {Phase.PROMOTING},
    Command.REJECT: {Phase.CANCELLED},
    Command.ROLLBACK: {Phase.ROLLING_BACK},
    Command.RETRY: {Phase.PROMOTING, Phase.ROLLING_BACK},
}


@pytest.mark.parametrize(("phase", "command"), [(phase, one) for phase, offers in OFFERS.items() for one in offers])
def test_an_offer_leads_somewhere(phase: Phase, command: Command):
    assert TABLE[phase] & LEADS_TO[command]


def test_every_command_may_be_given_by_somebody_on_call_and_none_by_a_viewer():
    assert MAY[Role.ON_CALL] == MAY[Role.ADMIN] == frozenset(Command)
    assert not MAY[Role.VIEWER]
