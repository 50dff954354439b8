"""When a rollout that is under way should be live: by the median of those that lately went all the way. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from deployer.domain.approval import BY_POLICY
from roost.contracts.rollout import Phase, Rollout

#: Goes on by itself towards LIVE.
_UNDER_WAY: Final = frozenset({Phase.RECEIVED, Phase.STORED, Phase.VETTED, Phase.CANARY, Phase.PROMOTING})


def expected_at(rollout: Rollout, live: Sequence[Rollout]) -> datetime | None:
    """When it should be LIVE; None where it waits, has ended, or nothing like it went live lately.

    `live` are rollouts in LIVE. Those that waited for a person say nothing of one that need not.
    """
    seconds = [
        (row.entered_at - row.received_at).total_seconds()
        for row in live
        if row.phase is Phase.LIVE and row.approved_by in {None, BY_POLICY}
    ]
    if rollout.phase not in _UNDER_WAY or not seconds:
        return None
    return rollout.received_at + timedelta(seconds=statistics.median(seconds))
