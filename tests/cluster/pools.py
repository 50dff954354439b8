"""What tests do to a pool: a load of which nothing may fail, restarts and what they told, entries of its desired state."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from pydantic import SecretStr

from roost.adapters.node_control import HttpNodeControl
from roost.contracts.acks import VersionState
from roost.contracts.desired import DesiredModel, DesiredState, DesiredVersion
from roost.contracts.events import OperationReported
from roost.contracts.ids import desired_object, version_prefix
from roost.contracts.manifest import MANIFEST_NAME, ArtifactManifest
from roost.ports.serving import NodeAddress
from tests.cluster.world import World, storage

#: As the overlay's secret has it.
_CONTROL: Final = SecretStr("local-only")


@contextmanager
def no_failure(world: World, bystander: str) -> Iterator[None]:
    """A load through the Service, of which nothing may fail; and every replica answers with the live version after."""
    live = world.rollout(bystander)
    assert live is not None
    with world.load(bystander) as load:
        world.until("the load is on", lambda: load.report.total >= 20, 180)
        yield
        world.until("every replica answers", lambda: world.answers_everywhere(bystander, live.version), 180)
    assert load.report.failures == []


def ended(world: World, name: str, seconds: float = 400) -> Any:
    """The Job once it has ended."""

    def look() -> Any:
        job = world.get("job", name)
        kinds = {one["type"] for one in job["status"].get("conditions", ()) if one["status"] == "True"}
        return job if kinds & {"Complete", "Failed"} else None

    return world.until(f"{name} has ended", look, seconds)


def told(world: World, since: float) -> list[tuple[str, str]]:
    """(what, reason) of the pool's operations since then, oldest first."""
    found = [event for event in world.events() if isinstance(event.data, OperationReported)]
    data = [event.data for event in found if event.time.timestamp() >= since]
    return [(one.what, one.reason) for one in data if isinstance(one, OperationReported) and one.pool == "default"]


def refused_in_a_row(world: World) -> float | None:
    """Restarts of the serving pool that came to nothing since the last that was finished, as Prometheus would see it."""
    address = min(world.pods("roost-deployer", None).values())
    with urllib.request.urlopen(f"http://{address}:8080/metrics", timeout=10) as answer:
        said = answer.read().decode()
    found = re.search(r'^roost_pool_restarts_refused_count{pool="default"} (\S+)$', said, re.MULTILINE)
    return float(found[1]) if found else None


@contextmanager
def missing_entry(world: World) -> Iterator[None]:
    """A version in the desired state whose files were never there; taken out again at the end."""
    version = DesiredVersion(version=1, digest="sha256:" + "0" * 64, rollout_id="none")
    with _listed(world, DesiredModel(name="zz-bad.default", versions=(version,))):
        yield


@contextmanager
def lost_entry(world: World, like: str) -> Iterator[None]:
    """A version that every replica serves, whose files then go from the bucket: who has it keeps it, nobody else gets it.

    Its files are those of the customer `like`. Taken out of the desired state again at the end.
    """
    live, store = world.rollout(like), storage()
    assert live is not None
    source, place = version_prefix(like, "default", live.version), version_prefix("zz-lost", "default", 1)
    manifest = ArtifactManifest.model_validate_json(store.read(source + MANIFEST_NAME)[0])
    manifest = manifest.model_copy(update={"customer": "zz-lost"})
    for file in manifest.files:
        store.write(place + file.path, store.read(source + file.path)[0], if_generation=0)
    store.write(place + MANIFEST_NAME, manifest.encoded(), if_generation=0)
    version = DesiredVersion(version=1, digest=manifest.digest, rollout_id="none")
    with _listed(world, DesiredModel(name="zz-lost.default", versions=(version,))):
        world.until("every replica has it", lambda: _has(world, "zz-lost.default"), 120)
        for found in list(store.list(place)):
            store.delete(found.name, if_generation=found.generation)
        yield


def _has(world: World, name: str) -> bool:
    control = HttpNodeControl(_CONTROL)
    try:
        for node, address in world.pods().items():
            at = NodeAddress(node=node, pool="default", control=f"{address}:8502", rest="", grpc="")
            model = control.state(at, deadline=5).model(name)
            entry = model.state_of(1) if model else None
            if entry is None or entry.state is not VersionState.PROVEN:
                return False
    finally:
        control.close()
    return True


@contextmanager
def _listed(world: World, entry: DesiredModel) -> Iterator[None]:
    _rewrite(world, lambda models: (*models, entry))
    try:
        yield
    finally:
        _rewrite(world, lambda models: tuple(model for model in models if model.name != entry.name))


def _rewrite(world: World, change: Callable[[tuple[DesiredModel, ...]], tuple[DesiredModel, ...]]) -> None:
    store, name = storage(), desired_object("default")
    content, stored = store.read(name)
    now = DesiredState.decoded(content)
    models = tuple(sorted(change(now.models), key=lambda model: model.name))
    after = DesiredState(pool="default", generation=now.generation + 1, models=models, reason="a test")
    world.ledger.reserve_generation("default", after.generation)
    store.write(name, after.encoded(), if_generation=stored.generation, metadata=stored.metadata)
