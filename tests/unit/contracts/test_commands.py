from __future__ import annotations

import pytest
from pydantic import ValidationError

from roost.contracts.events import Command, DeployCommand

FLEET_WIDE = {Command.FREEZE, Command.THAW, Command.PAUSE, Command.RESUME}
DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize("command", list(Command))
def test_a_command_names_what_it_is_about_unless_it_is_for_the_fleet(command: Command) -> None:
    asked = {"command": command, "actor": "ann", "reason": "because"}
    if command in FLEET_WIDE:
        assert DeployCommand.model_validate(asked).customer is None
        return
    with pytest.raises(ValidationError, match="needs a rollout_id, a customer or a digest"):
        DeployCommand.model_validate(asked)
    assert DeployCommand.model_validate({**asked, "customer": "ua", "digest": DIGEST}).customer == "ua"


def test_a_release_names_the_digest() -> None:
    with pytest.raises(ValidationError, match="release needs the digest that is quarantined"):
        DeployCommand(command=Command.RELEASE, actor="ann", reason="mended", customer="ua")
