"""An existing world over real PostgreSQL, object store and broker; its loops run in the test's thread, time by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from consumers import models, signups
from consumers.loop import opened
from consumers.models import Place
from deployer.rollout.relay import Relay
from roost.adapters.gcs import open_store
from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.kafka import open_admin, open_publisher, open_reader
from roost.adapters.postgres import open_ledger
from roost.contracts.cloudevents import Event
from roost.contracts.events import (
    CUSTOMER_OFFBOARDED,
    CUSTOMER_SIGNED_UP,
    DEPLOY_COMMAND,
    MODEL_READY,
    Command,
    CustomerOffboarded,
    CustomerSignedUp,
    DeployCommand,
    ModelReady,
    Payload,
    Topic,
)
from roost.contracts.ids import rollout_id, staging_prefix
from roost.contracts.policy import Policy
from roost.ports.event_bus import TopicSpec
from roost.rebuild.plan import Plan, Remains
from roost.rebuild.wiring import Rebuild
from roost.settings import DatabaseSettings, KafkaSettings, StorageSettings
from tests.unit.deployer.world import World


class Life:
    """What happens in it goes the main way: an event on a topic, its consumer's handler, the deployer's loops, the relay."""

    def __init__(self, storage: StorageSettings, database: DatabaseSettings, kafka: KafkaSettings) -> None:
        self.storage, self.database, self.kafka = storage, database, kafka
        open_admin(kafka).ensure([TopicSpec(name=topic, partitions=2, retention_ms=-1) for topic in Topic])
        # The broker stamps events by the machine's clock: it must not look as if they came before they happened.
        self.clock = ManualClock(datetime.now(UTC) - timedelta(hours=12))
        self.publisher, self.reader = open_publisher(kafka), open_reader(kafka)
        self.published = 0
        #: Published, and not yet consumed.
        self.waiting: list[Event] = []
        self.ledger = open_ledger(database, self.clock)
        self.world = World(Policy(), store=open_store(storage), clock=self.clock, ledger=self.ledger)

    def close(self) -> None:
        self.world.threads.shutdown()
        self.ledger.close()
        self.publisher.close()

    def publish(self, kind: str, payload: Payload, subject: str) -> Event:
        self.published += 1
        event = Event(
            id=f"e{self.published}", type=kind, source="test", subject=subject, time=self.clock.now(), data=payload
        )
        self.publisher.publish(event)
        self.waiting.append(event)
        return event

    def sign_up(self, *customers: str) -> None:
        for customer in customers:
            self.publish(CUSTOMER_SIGNED_UP, CustomerSignedUp(customer=customer, name=customer.upper()), customer)

    def offboard(self, customer: str) -> None:
        self.publish(CUSTOMER_OFFBOARDED, CustomerOffboarded(customer=customer, reason="left"), customer)

    def announce(self, customer: str, run: str) -> str:
        """Training staged a model. Returns its rollout's id."""
        self.clock.advance(60)
        manifest = self.world.stage(customer, run)
        ready = ModelReady(
            customer=customer,
            artifact_uri=self.world.store.uri(staging_prefix(customer, "default", run)),
            artifact_digest=manifest.digest,
            run_id=run,
            trained_at=manifest.run.trained_at,
            data_window=manifest.run.data_window,
            metrics={"log_loss": 0.25},
            code_version="test",
        )
        self.publish(MODEL_READY, ready, customer)
        return rollout_id(customer, "default", manifest.digest)

    def ask(self, command: Command, **target: Any) -> None:
        asked = DeployCommand.model_validate({"command": command, "actor": "ann", "reason": "because", **target})
        self.publish(DEPLOY_COMMAND, asked, asked.customer or "fleet")

    def take_in(self, event: Event) -> bool:
        """What the event's consumer does. Returns whether it was new."""
        place = Place(bucket=self.storage.bucket, pool="default")
        handlers = {
            Topic.CUSTOMERS: signups.handler(self.ledger, self.clock),
            Topic.MODELS_READY: models.ready_handler(self.ledger, self.ledger, place, self.clock),
            Topic.DEPLOY_COMMANDS: models.command_handler(self.ledger, self.clock),
        }
        return handlers[event.topic](event)

    def replay(self) -> int:
        """Everything again, as consumers that have lost their place do. Returns how much was new."""
        topics = (Topic.CUSTOMERS, Topic.MODELS_READY, Topic.DEPLOY_COMMANDS)
        return sum(self.take_in(opened(one)) for topic in topics for one in self.reader.read(topic))

    def go_on(self, *, relay: bool = True) -> None:
        """Take in what was published, let every loop come to rest, publish."""
        while self.waiting:
            self.take_in(self.waiting.pop(0))
        self.world.run()
        while relay and Relay(self.world.parts, self.publisher).step():
            pass

    def bake(self) -> None:
        """Let every bake be over."""
        self.clock.advance(3600)
        self.go_on()

    def lose_the_database(self, template: str) -> None:
        """DROP DATABASE under the feet of everybody; an empty one with the newest schema takes its place."""
        name = sql.Identifier(str(conninfo_to_dict(self.url)["dbname"]))
        with psycopg.connect(make_conninfo(self.url, dbname="postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(template)))
        self.start_again()

    def start_again(self) -> None:
        """Fresh processes over whatever the database holds now."""
        self.ledger.close()
        self.ledger = open_ledger(self.database, self.clock)
        self.world.ledger = self.ledger
        self.world.parts = type(self.world.parts)(
            ledger=self.ledger, store=self.world.store, policy=Policy(), clock=self.clock
        )
        self.world.start_deployer()

    @property
    def url(self) -> str:
        return self.database.url.get_secret_value()

    def rebuilt(self, *, onto: bool) -> Plan:
        """What the command does, in this process and by this clock."""
        place = Place(bucket=self.storage.bucket, pool="default")
        remains = Remains(
            store=self.world.store,
            reader=self.reader,
            policy=Policy(),
            place=place,
            canary_pool="canary",
            clock=self.clock,
        )
        work = Rebuild(ledger=self.ledger, remains=remains)
        plan = work.plan(print, onto=onto)
        work.write(plan, onto=onto)
        return plan

    def roost(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command, in a process of its own."""
        environment = os.environ | {
            "ROOST_STORAGE__ENDPOINT": str(self.storage.endpoint),
            "ROOST_STORAGE__BUCKET": self.storage.bucket,
            "ROOST_DATABASE__URL": self.url,
            "ROOST_KAFKA__BOOTSTRAP": self.kafka.bootstrap,
            "ROOST_STATE_DIR": "/nonexistent",
        }
        return subprocess.run(
            [sys.executable, "-m", "roost", *arguments], env=environment, capture_output=True, text=True, check=False
        )

    def rebuild(self, *options: str) -> dict[str, Any]:
        """`roost rebuild`, and what it said."""
        done = self.roost("rebuild", "--json", *options)
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def fleet(self) -> dict[str, tuple[int, bytes]]:
        """Every object of the fleet: the store's generation and the bytes."""
        store = self.world.store
        return {one.name: (one.generation, store.read(one.name)[0]) for one in store.list("fleet/")}

    def answers(self) -> dict[str, int | None]:
        return {model.name.partition(".")[0]: model.stable for model in self.world.desired().models}
