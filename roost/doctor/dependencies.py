"""What each dependency must have. Every function asks a port and answers with findings; errors are the caller's."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from roost.contracts.acks import NodeState
from roost.contracts.desired import DesiredState
from roost.contracts.errors import NodeUnavailable, NotFound, RoostError, StorageUnavailable
from roost.contracts.ids import desired_object
from roost.doctor.findings import Finding, doubtful, or_well, well, wrong
from roost.ports.clock import Clock
from roost.ports.event_bus import TopicSpec
from roost.ports.object_store import ObjectStore
from roost.ports.serving import NodeControl, NodeDirectory

#: Seconds by which clocks may differ: tokens live for minutes, and are checked with 30 s of slack.
_SKEW: Final = 10.0
_ANSWER: Final = 3.0
_TOPICS: Final = "run `roost topics ensure`"


def schema(found: str | None, newest: str) -> Sequence[Finding]:
    """The ledger's schema is the newest that this version knows."""
    if found == newest:
        return (well("database", f"PostgreSQL answers; its schema is at {found}, the newest"),)
    if found is None:
        return (wrong("database", "there is no schema yet", "run `roost database migrate`"),)
    if found > newest:
        said = f"its schema {found} is newer than this version, which knows {newest}"
        return (doubtful("database", said, "a newer Roost has migrated it: finish the upgrade"),)
    said = f"its schema is at {found}; this version knows {newest}"
    return (wrong("database", said, "run `roost database migrate`; old and new code may run side by side"),)


def topics(wanted: Sequence[TopicSpec], there: Mapping[str, TopicSpec]) -> Sequence[Finding]:
    """Every topic is there, as it was specified."""
    return or_well("kafka", f"it answers; {len(wanted)} topics are as they should be", _topics(wanted, there))


def _topics(wanted: Sequence[TopicSpec], there: Mapping[str, TopicSpec]) -> Iterator[Finding]:
    for spec in wanted:
        name, found = spec.name.value, there.get(spec.name.value)
        if found is None:
            yield wrong("kafka", f"topic {name} is not there", _TOPICS)
            continue
        if found.partitions != spec.partitions:
            said = f"topic {name} has {found.partitions} partitions, and {spec.partitions} are asked for"
            more = found.partitions > spec.partitions
            yield doubtful("kafka", said, f"set ROOST_KAFKA__PARTITIONS={found.partitions}" if more else _TOPICS)
        if found.replication < spec.replication:
            said = f"topic {name} has {found.replication} replicas, and {spec.replication} are asked for"
            yield wrong("kafka", said, "reassign its partitions with Kafka's own kafka-reassign-partitions")
        if found.min_in_sync < min(spec.min_in_sync, max(1, found.replication - 1)):
            said = f"topic {name} acknowledges an event that {found.min_in_sync} of {found.replication} replicas have"
            yield wrong("kafka", f"{said}: it may be lost with one broker", _TOPICS)
        if found.retention_ms not in {spec.retention_ms, -1} and found.retention_ms < spec.retention_ms:
            kept, asked = (milliseconds / 86_400_000 for milliseconds in (found.retention_ms, spec.retention_ms))
            yield wrong("kafka", f"topic {name} keeps events for {kept:g} days, not {asked:g}", _TOPICS)


def storage(store: ObjectStore, pools: Sequence[str], *, probe: bool, clock: Clock) -> Sequence[Finding]:
    """Objects can be read; with `probe`, also written, with the precondition kept, and deleted."""
    found = [_desired(store, pool) for pool in pools]
    return (*found, *(_probe(store, clock) if probe else ()))


def _desired(store: ObjectStore, pool: str) -> Finding:
    try:
        state = DesiredState.decoded(store.read(desired_object(pool))[0])
    except NotFound:
        return _no_desired_state(store, pool)
    return well("storage", f"it answers; pool {pool} is desired at generation {state.generation}")


def _no_desired_state(store: ObjectStore, pool: str) -> Finding:
    """An object that is not there looks like a bucket that is not there; a list tells them apart."""
    try:
        next(store.list("fleet/"), None)
    except NotFound:
        said, remedy = (
            "the bucket does not exist",
            "make it, or correct ROOST_STORAGE__BUCKET and ROOST_STORAGE__PROJECT",
        )
        return wrong("storage", f"{store.uri('')}: {said}", remedy)
    except StorageUnavailable as error:
        said = f"pool {pool} has no desired state, and whether the bucket is there cannot be told: {error}"
        return doubtful("storage", said, "nothing, before the first promotion; then the right to list objects")
    return well("storage", f"it answers; pool {pool} has no desired state yet: nothing was promoted there")


def _probe(store: ObjectStore, clock: Clock) -> Iterator[Finding]:
    name = f"doctor/{uuid.uuid4().hex}"
    try:
        written = store.write(name, b"roost doctor", if_generation=0)
        try:
            skew = (clock.now() - written.created_at).total_seconds()
        finally:
            store.delete(name, if_generation=written.generation)
    except RoostError as error:
        remedy = "only the deployer and training write; for them: create and delete objects in the bucket"
        yield wrong("storage", f"an object could not be written and deleted: {error}", remedy)
        return
    yield well("storage", "an object was written and deleted")
    yield from clocks("the object store", skew)


def clocks(whose: str, skew: float) -> Sequence[Finding]:
    """`skew`: seconds that this machine is ahead."""
    if abs(skew) <= _SKEW:
        return (well("clock", f"within {_SKEW:g} s of {whose}"),)
    said = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {whose}"
    return (wrong("clock", said, "let NTP (chrony, systemd-timesyncd) set it: tokens and ages go by it"),)


def clock_against(whose: str, date: Callable[[], datetime], clock: Clock) -> Sequence[Finding]:
    """This machine's clock against what a server says it is."""
    return clocks(whose, (clock.now() - date()).total_seconds())


def nodes(directory: NodeDirectory, control: NodeControl, store: ObjectStore, pool: str) -> Sequence[Finding]:
    """Every node of the pool answers, is ready, and serves the desired generation."""
    known = directory.nodes(pool)
    about = f"pool {pool}"
    if not known:
        remedy = (
            "are its processes up? In Kubernetes: is ROOST_SERVING__NAMESPACE right, and do its pods carry the label "
            "roost/pool?"
        )
        return (wrong(about, "it has no node", remedy),)
    try:
        generation = DesiredState.decoded(store.read(desired_object(pool))[0]).generation
    except NotFound:
        generation = 0

    def look() -> Iterator[Finding]:
        for node in known:
            try:
                yield from _node(about, control.state(node, deadline=_ANSWER), generation)
            except NodeUnavailable as error:
                yield wrong(about, str(error), "docs/runbooks/node-behind.md")

    return or_well(about, f"{len(known)} nodes serve generation {generation}", look())


def _node(about: str, state: NodeState, generation: int) -> Iterator[Finding]:
    if state.generation < generation or not state.converged:
        said = f"{state.node} is at generation {state.generation} of {generation}" + (
            f": {state.error}" if state.error else ""
        )
        yield doubtful(about, said, "docs/runbooks/node-behind.md, if it lasts")
    elif not state.ready:
        yield doubtful(about, f"{state.node} is not ready" + (": it drains" if state.draining else ""), "wait, or look")
