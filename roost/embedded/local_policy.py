"""The policy that a new local stack begins with: everything as in production, only the bake is short."""

from __future__ import annotations

from typing import Final

from roost.embedded.state_dir import StateDir, write_private

_BAKE_SECONDS: Final = 60

_TEXT: Final = f"""\
# The policy of this local stack; edit it, check it with `roost policy check {{path}}`, then restart with `roost up`.
# What is not named here has its default: see docs/ and `roost policy check {{path}} --customer CUSTOMER`.
version: 1
rules:
  # How long the previous version stays loaded for an instant rollback (production: 600).
  bake_seconds: {_BAKE_SECONDS}
"""


def write_once(state: StateDir) -> None:
    """Write the policy unless people have one here already."""
    if not state.policy.exists():
        write_private(state.policy, _TEXT.replace("{path}", str(state.policy)))
