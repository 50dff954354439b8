"""Where the deployer meets its adapters: opened here, closed here, and nowhere else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from deployer.loops import Deployer, Serving
from deployer.rollout.parts import Parts
from roost.adapters.gcs import open_store
from roost.adapters.grpc_tls import ClientTls
from roost.adapters.kafka import open_publisher
from roost.adapters.node_control import HttpNodeControl
from roost.adapters.node_directory import open_directory
from roost.adapters.postgres import open_ledger, open_wakeups
from roost.adapters.tf_serving import TfServingPredictor
from roost.contracts.errors import Retryable
from roost.policy_file import PolicyInForce
from roost.ports.clock import Clock, SystemClock
from roost.ports.object_store import ObjectStore
from roost.settings import Settings

log = logging.getLogger(__name__)

#: Between two tries of a dependency that is not there yet.
_PATIENCE: Final = 1.0


@contextmanager
def wired(settings: Settings, stop: threading.Event) -> Iterator[Deployer | None]:
    """The deployer over the real parts, closed at the end; None where `stop` came before the object store answered.

    Raises:
        SettingsInvalid: a setting or the policy file cannot be used.
    """
    policy, clock = PolicyInForce(settings.deployer.policy_file), SystemClock()
    with ExitStack() as stack:
        ledger = open_ledger(settings.database, clock)
        wakeups = open_wakeups(settings.database)
        publisher = open_publisher(settings.kafka)
        serving = _serving(settings, stack)
        for part in (ledger, wakeups, publisher):
            stack.callback(part.close)
        store = _patiently(lambda: open_store(settings.storage), stop, clock)
        if store is None:
            yield None
            return
        parts = Parts(ledger=ledger, store=store, policy=policy, clock=clock, console_url=settings.console.url)
        yield Deployer(settings, parts, serving=serving, publisher=publisher, wakeups=wakeups)


def _serving(settings: Settings, stack: ExitStack) -> Serving:
    control = HttpNodeControl(settings.serving.control_token)
    predictor = TfServingPredictor(settings.serving.predict_token, ClientTls.of(settings.serving))
    for part in (control, predictor):
        stack.callback(part.close)
    return Serving(directory=open_directory(settings.serving), control=control, predictor=predictor)


def _patiently(opened: Callable[[], ObjectStore], stop: threading.Event, clock: Clock) -> ObjectStore | None:
    """What `opened` gives once its dependency answers; None where `stop` came first."""
    told = False
    while not stop.is_set():
        try:
            return opened()
        except Retryable as error:
            if not told:
                log.warning("waits before it starts: %s", error, extra={"action": "waits"})
            told = True
            clock.wait(_PATIENCE, stop)
    return None
