"""The policy file, looked at now and then while the node runs: what it says is what the page and the taps go by."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from roost.contracts.policy import Policy
from roost.policy_file import PolicyInForce
from serving.node.app.rules import RuleBook

log = logging.getLogger(__name__)


class FollowedPolicy:
    """Holds the book that follows the file.

    A typing error, or a field that only newer nodes know, must not keep a node that restarts from serving: then the
    defaults are in force, with nothing recorded and nobody's default, until the file can be used. Later, one that
    cannot be used leaves the one before in force.
    """

    def __init__(self, file: Path | None) -> None:
        """Read it."""
        self._policy = PolicyInForce(file, at_first=Policy())
        if self._policy.fault is not None:
            log.error(
                "this node serves without a policy, records nothing and knows no cohort's default: %s",
                self._policy.fault,
                extra={"action": "policy_refused"},
            )
        self.book = RuleBook(self._policy.policy)
        #: Called, from another thread, after a change came into force.
        self.on_change: Callable[[], None] = lambda: None
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """One look at the file."""
        found = self._policy.refresh()
        if found is None:
            return
        if found.fault is not None:
            said = "the policy file has changed and cannot be used; the one before stays in force: %s"
            log.error(said, found.fault, extra={"action": "policy_refused"})
            return
        self.book.use(self._policy.policy)
        log.info("the policy has changed", extra={"action": "policy"})
        self.on_change()

    def start(self, seconds: float) -> None:
        """Look every so many seconds, in a thread that never keeps the process from ending."""

        def follow() -> None:
            while not self._ending.wait(seconds):
                self.look()

        self._thread = threading.Thread(target=follow, name="policy", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
