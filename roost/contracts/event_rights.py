"""Who may do what on the event bus: one account for each process, with the least that its code needs.

This is the one place. The broker's ACLs are made from it, `roost doctor` asks whether they are kept, and the suite on
Apache Kafka tries everything that is not in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from roost.contracts.events import Topic


class Account(StrEnum):
    """Who talks to the event bus. The console, the nodes and the restart do not."""

    #: Your own system that tells of customers who came and left.
    SIGNUP_SOURCE = "signup-source"
    #: `roost consume signups`.
    SIGNUP_CONSUMER = "signup-consumer"
    #: `roost consume models`: the models that are ready, and people's commands.
    MODEL_CONSUMER = "model-consumer"
    #: `roost deployer`: its outbox.
    DEPLOYER = "deployer"
    #: Airflow's training tasks, and `python -m training publish`.
    TRAINING = "training"
    #: A person with the command `roost`: signs customers up, looks at lags and dead letters, and replays these.
    OPERATOR = "operator"
    #: Your own systems that follow deploy events: chat, audit.
    EVENT_READER = "event-reader"
    #: `roost topics ensure --acls`.
    SETUP = "setup"


class Group(StrEnum):
    """The consumer groups of Roost's own processes."""

    SIGNUPS = "roost-signups"
    MODELS = "roost-models"
    COMMANDS = "roost-commands"

    @property
    def topic(self) -> Topic:
        """What it reads."""
        return _READ_BY[self]


_READ_BY: Final[Mapping[Group, Topic]] = {
    Group.SIGNUPS: Topic.CUSTOMERS,
    Group.MODELS: Topic.MODELS_READY,
    Group.COMMANDS: Topic.DEPLOY_COMMANDS,
}


class Resource(StrEnum):
    """What a right is about."""

    TOPIC = "topic"
    GROUP = "group"
    CLUSTER = "cluster"


class Operation(StrEnum):
    """What may be done, in the broker's words. Reading, writing and altering include describing."""

    READ = "read"
    WRITE = "write"
    CREATE = "create"
    ALTER = "alter"
    DESCRIBE = "describe"
    DESCRIBE_CONFIGS = "describe_configs"
    ALTER_CONFIGS = "alter_configs"


def said(operation: str) -> str:
    """An operation in a sentence."""
    return operation.replace("_configs", " the configs of")


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """One thing that an account may do."""

    resource: Resource
    #: Of the topic or group; a group's may end with ``*`` and then stands for all that begin so. Empty for the cluster.
    name: str = ""
    operation: Operation

    def __str__(self) -> str:
        return f"{said(self.operation)} {self.resource} {self.name}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """What an account is for, by topic."""

    reads: tuple[Topic, ...] = ()
    writes: tuple[Topic, ...] = ()
    groups: tuple[str, ...] = ()
    #: Groups of others whose lag it looks at.
    watches: tuple[str, ...] = ()
    #: Makes topics and brings them to their specification, and says who may do what. Whoever may do that may do
    #: everything in the end: an account for a job that runs once a version.
    sets_up: bool = False

    @property
    def topics(self) -> tuple[Topic, ...]:
        """The topics it has to do with, in the order of the catalogue."""
        return tuple(topic for topic in Topic if self.sets_up or topic in {*self.reads, *self.writes})

    def rights(self) -> tuple[Right, ...]:
        """Every right that follows. To look at a topic's settings, as `roost doctor` does, goes with using it.

        Writing idempotently needs no right of its own: whoever may write to any topic may (KIP-679, Kafka 3.0).
        """
        return tuple(self._rights())

    def _rights(self) -> Iterator[Right]:
        for topic in self.topics:
            for operation in self._operations(topic):
                yield Right(resource=Resource.TOPIC, name=topic.value, operation=operation)
        for group in self.groups:
            yield Right(resource=Resource.GROUP, name=group, operation=Operation.READ)
        for group in self.watches:
            yield Right(resource=Resource.GROUP, name=group, operation=Operation.DESCRIBE)
        if self.sets_up:
            for operation in (Operation.DESCRIBE, Operation.ALTER):
                yield Right(resource=Resource.CLUSTER, operation=operation)

    def _operations(self, topic: Topic) -> Iterator[Operation]:
        if topic in self.reads:
            yield Operation.READ
        if topic in self.writes:
            yield Operation.WRITE
        if self.sets_up:
            yield from (Operation.CREATE, Operation.ALTER, Operation.ALTER_CONFIGS)
        yield Operation.DESCRIBE_CONFIGS


DUTIES: Final[Mapping[Account, Duty]] = {
    Account.SIGNUP_SOURCE: Duty(writes=(Topic.CUSTOMERS,)),
    Account.SIGNUP_CONSUMER: Duty(reads=(Topic.CUSTOMERS,), writes=(Topic.DEAD_LETTERS,), groups=(Group.SIGNUPS,)),
    Account.MODEL_CONSUMER: Duty(
        reads=(Topic.MODELS_READY, Topic.DEPLOY_COMMANDS),
        writes=(Topic.DEAD_LETTERS,),
        groups=(Group.MODELS, Group.COMMANDS),
    ),
    Account.DEPLOYER: Duty(writes=(Topic.DEPLOY_EVENTS,)),
    Account.TRAINING: Duty(writes=(Topic.MODELS_READY,)),
    Account.OPERATOR: Duty(
        reads=(Topic.DEAD_LETTERS,),
        writes=(Topic.CUSTOMERS, Topic.MODELS_READY, Topic.DEPLOY_COMMANDS),
        watches=tuple(Group),
    ),
    Account.EVENT_READER: Duty(reads=(Topic.DEPLOY_EVENTS,), groups=("roost-events-*",)),
    Account.SETUP: Duty(sets_up=True),
}
