"""Puts the page and its taps together for one node."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from pydantic import ValidationError

from roost.adapters.gcs import open_store
from roost.adapters.recordings import StoredRecordings
from roost.adapters.tf_serving import ModelServerClient
from roost.contracts.errors import ArtifactInvalid
from roost.contracts.manifest import MANIFEST_NAME, ArtifactManifest
from roost.ports.clock import Clock, SystemClock
from roost.settings import Settings
from serving.node.app.catalogue import Catalogue, Key, NodeFacts
from serving.node.app.following import FollowedPolicy
from serving.node.app.predicting import Predictions
from serving.node.app.server import AppServer
from serving.node.app.upstream import ModelServerUpstream
from serving.node.app.web import make_app
from serving.node.layout import Layout
from serving.node.taps.gathering import TapParts
from serving.node.taps.page import with_taps
from serving.node.taps.recorder import Recorder
from serving.node.taps.redaction import Redactor

log = logging.getLogger(__name__)


class Page:
    """The node's own page. Made before the gateway, which asks where it is; started once the node knows itself."""

    def __init__(self, settings: Settings, layout: Layout, node: str) -> None:
        """Read the policy, and take the socket.

        Raises:
            SettingsInvalid: the socket cannot be used.
        """
        self._settings = settings
        self._node = node
        self._policy = FollowedPolicy(settings.deployer.policy_file)
        self._server = AppServer(layout.page_socket)
        self._client = ModelServerClient(f"unix:{layout.model_server_socket}")
        self._recorder: Recorder | None = None

    @property
    def tap_rate(self) -> float:
        """Share of the predictions that the gateway is to copy here, as the policy has it now. 0: none."""
        return self._policy.book.highest_rate

    def start(self, facts: NodeFacts, on_policy: Callable[[], None]) -> None:
        """Begin to answer, and to record. `on_policy` is called after the policy has changed."""
        clock = SystemClock()
        catalogue = Catalogue(facts)
        recorder = Recorder(self._tap_parts(catalogue, clock), flush_seconds=self._settings.serving.tap_flush_seconds)
        service = Predictions(catalogue, ModelServerUpstream(self._client, clock), self._policy.book, recorder)
        page = make_app(service, clock)
        self._server.start(with_taps(page, recorder))
        self._recorder = recorder
        recorder.start()
        self._policy.on_change = on_policy
        self._policy.start(self._settings.serving.poll_seconds)

    def stop(self) -> None:
        """Finish what is under way, and write what was recorded."""
        self._policy.stop()
        self._server.stop()
        if self._recorder is not None:
            self._recorder.stop()
        self._client.close()

    def _tap_parts(self, catalogue: Catalogue, clock: Clock) -> TapParts:
        @cache
        def recordings() -> StoredRecordings:
            return StoredRecordings(open_store(self._settings.storage), clock)

        key = self._settings.serving.tap_hash_key
        return TapParts(
            book=self._policy.book,
            catalogue=catalogue,
            redactor=Redactor(key.get_secret_value().encode() if key else None),
            recordings=recordings,
            clock=clock,
            node=self._node,
            chance=random.random,
        )


def manifests(layout: Layout) -> partial[ArtifactManifest]:
    """What reads the manifest of a version that is in the node's cache."""
    return partial(_manifest, layout.cache)


def _manifest(root: Path, key: Key) -> ArtifactManifest:
    path = root / key[0] / str(key[1]) / MANIFEST_NAME
    try:
        return ArtifactManifest.received(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ArtifactInvalid(f"{path} cannot be read") from error
