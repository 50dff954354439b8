"""The main way on real parts: an event in, an answer from every replica out, and faults in between."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from datetime import UTC, datetime

import pytest

from roost.contracts.cloudevents import Message, encode
from roost.contracts.events import Topic
from roost.contracts.rollout import Phase
from roost.embedded.demo.load import Load
from tests.e2e.world import STAND_IN, World
from tests.signups import signed_up
from training.datasets.flights import FlightsDataset

pytestmark = [pytest.mark.e2e, pytest.mark.tensorflow, pytest.mark.timeout(600)]


@pytest.mark.bus
def test_a_signup_event_becomes_an_answer_from_every_replica_with_nobody_involved(world: World) -> None:
    live = world.signed_up("ha")
    assert world.until("every replica answers", lambda: world.answers_everywhere("ha", live.version), 180)
    why = world.run("why", "ha")
    assert "answers on 3 of 3 replicas" in why

    def told() -> Counter[str]:
        lines = world.run("events", "--json").splitlines()
        return Counter(json.loads(line)["type"] for line in lines if '"ha"' in line)

    # The event is relayed after the row is written, so it may come after the answers.
    world.until("the event that it is live", lambda: told()["roost.rollout.live.v1"], 180)
    assert told()["roost.rollout.live.v1"] == 1


@pytest.mark.timeout(900)
def test_a_small_customer_is_answered_by_the_default_and_then_by_a_model_that_their_cohort_has_taught(
    world: World,
) -> None:
    """Both models come by the whole way: a signup, Airflow, the canary, the promotion."""
    row = FlightsDataset().sample_requests("oo", 1)[0]
    default = world.signed_up(STAND_IN)
    facts = world.rollout(default.id).facts
    assert (facts["scope"], facts["cohort"]) == ("cohort", ["as", "vx"])
    who = {"name": f"{STAND_IN}.default", "version": default.version, "own": False, "cohort": STAND_IN}
    assert world.until("the default answers on the page", lambda: world.answered_by("oo", row, who), 180)

    world.run("signup", "oo")
    live = world.until("oo is live", lambda: (found := world.customer("oo")) and found.live, seconds=240)
    facts = world.rollout(live.id).facts
    assert facts["scope"] == "cohort"
    assert "oo" in facts["cohort"]
    assert world.until("every replica answers", lambda: world.answers_everywhere("oo", live.version), 180)
    own = {"name": "oo.default", "version": live.version, "own": True, "cohort": None, "trained_on": "cohort"}
    assert world.until("their own answers on the page", lambda: world.answered_by("oo", row, own), 180)
    # Whoever has none still has the default.
    assert world.answered_by("just-signed-up", row, who)


def test_a_deployer_killed_in_the_middle_goes_on_where_it_was_with_one_version(world: World) -> None:
    world.stage("yv", "killed-in-the-middle")
    world.publish("yv", "killed-in-the-middle")
    on_its_way = (Phase.STORED, Phase.VETTED, Phase.CANARY, Phase.PROMOTING)
    world.until_phase("yv", "killed-in-the-middle", *on_its_way, Phase.LIVE, seconds=180)
    before = world.kill("deployer")
    world.until_restarted("deployer", before)
    live = world.until_phase("yv", "killed-in-the-middle", Phase.LIVE, Phase.SETTLED)
    assert world.until("every replica answers", lambda: world.answers_everywhere("yv", live.version), 180)
    entered = Counter(line.after for line in world.rollout(live.id).history)
    assert max(entered.values()) == 1
    assert len(world.rollouts("yv")) == 1


def test_an_event_that_comes_ten_times_is_one_rollout(world: World) -> None:
    world.stage("f9", "ten-times")
    world.send(Topic.MODELS_READY, *[_ready(world, "f9", "ten-times")] * 10)
    world.until_phase("f9", "ten-times", Phase.LIVE, Phase.SETTLED)
    assert len(world.rollouts("f9")) == 1


def test_what_nobody_can_handle_becomes_a_dead_letter_with_its_reason_and_the_next_event_is_handled(
    world: World,
) -> None:
    good = signed_up("garbage-neighbour")
    headers = dict(good.headers)
    cases = {
        "not JSON": Message(key=b"x", value=b"\xff\x00garbage", headers=good.headers),
        "has no type": Message(
            key=b"x", value=good.value, headers=tuple(pair for pair in good.headers if pair[0] != "ce_type")
        ),
        "is not known": Message(
            key=b"x", value=good.value, headers=tuple({**headers, "ce_type": b"roost.nonsense.v1"}.items())
        ),
        "customer": Message(key=b"../etc", value=b'{"customer": "../etc"}', headers=good.headers),
    }
    world.send(Topic.CUSTOMERS, *cases.values(), good)
    world.until("the good one is taken", lambda: world.customer("garbage-neighbour"), 180)
    letters = json.loads(world.run("dead-letters", "list", "--topic", "customers", "--json"))
    reasons = "\n".join(letter["reason"] for letter in letters)
    assert all(text in reasons for text in cases), reasons


def test_an_artifact_outside_its_staging_prefix_is_a_dead_letter(world: World) -> None:
    world.stage("as", "outside", window="2013-01-01:2013-03-01")
    uri = f"gs://{_bucket(world)}/models/ua/default/1/"
    staged = f"gs://{_bucket(world)}/staging/as/default/outside/"
    message = _ready(world, "as", "outside")
    world.send(
        Topic.MODELS_READY,
        Message(key=message.key, value=message.value.replace(staged.encode(), uri.encode()), headers=message.headers),
    )

    def refused() -> bool:
        letters = json.loads(world.run("dead-letters", "list", "--topic", "models.ready", "--json"))
        return any("staging" in letter["reason"] for letter in letters)

    assert world.until("the dead letter names the prefix", refused, 180)
    assert not world.rollouts("as")


def test_a_digest_that_does_not_match_is_refused_by_name(world: World) -> None:
    world.stage("wn", "altered", window="2013-01-01:2013-02-01")
    message = _ready(world, "wn", "altered")
    wrong = json.loads(message.value) | {"artifact_digest": "sha256:" + "0" * 64}
    world.send(Topic.MODELS_READY, Message(key=message.key, value=json.dumps(wrong).encode(), headers=message.headers))
    refused = world.until_phase("wn", "altered", Phase.REJECTED, seconds=180)
    assert "digest" in refused.reason


@pytest.mark.bus
@pytest.mark.lasting_bus
def test_a_broker_that_is_killed_takes_nothing_with_it_not_even_what_nobody_has_read(world: World) -> None:
    world.send(Topic.CUSTOMERS, signed_up("before-the-broker-died"))
    world.until("it is taken", lambda: world.customer("before-the-broker-died"), 180)
    consumer = world.pid("signup-consumer")
    os.kill(consumer, signal.SIGSTOP)
    world.send(Topic.CUSTOMERS, signed_up("not-yet-read"))
    before = world.kill("broker")
    world.until_restarted("broker", before)
    os.kill(consumer, signal.SIGCONT)
    world.until("what was sent before is taken", lambda: world.customer("not-yet-read"), 120)
    world.send(Topic.CUSTOMERS, signed_up("after-it-came-back"))
    world.until("a new event is taken", lambda: world.customer("after-it-came-back"), 180)
    world.until("nothing waits", lambda: "\n0 events behind" in world.run("topics", "lag", check=False), 180)


@pytest.mark.forgetful_bus
def test_a_broker_that_forgets_everything_loses_nothing_that_was_accepted(world: World) -> None:
    world.stage("fl", "before-the-broker-died", window="2013-01-01:2013-06-01")
    world.publish("fl", "before-the-broker-died")
    world.until("accepted", lambda: world.rollouts("fl"), 180)
    before = world.kill("broker")
    world.until_restarted("broker", before)
    world.until_phase("fl", "before-the-broker-died", Phase.LIVE, Phase.SETTLED)
    world.send(Topic.CUSTOMERS, signed_up("after-the-broker-died"))
    world.until("a new event is taken", lambda: world.customer("after-the-broker-died"), 180)


def test_a_customer_who_left_is_no_longer_served_and_their_artifacts_go(world: World) -> None:
    world.run("signup", "us")
    live = world.until("us is live", lambda: (found := world.customer("us")) and found.live, seconds=240)
    world.until("every replica answers", lambda: world.answers_everywhere("us", live.version), 180)
    world.run("offboard", "us", "--reason", "contract ended")
    world.until(
        "us is gone",
        lambda: (found := world.customer("us")) and found.onboarding and found.onboarding.stage == "gone",
        seconds=120,
    )
    assert world.until("no replica answers", lambda: not world.answers_everywhere("us", live.version), 180)


def test_a_rolling_restart_fails_no_request_and_says_what_it_did(world: World) -> None:
    world.stage("mq", "restarted", window="2013-01-01:2013-02-01")
    world.publish("mq", "restarted")
    live = world.until_phase("mq", "restarted", Phase.LIVE, Phase.SETTLED)
    before = world.model_servers()
    rows = FlightsDataset().sample_requests("mq", 5)
    serving = world.settings["serving"]
    with Load(serving["rest"], serving["grpc"], "mq.default", rows, per_second=40) as load:
        world.run("restart", "--pool", "default", "--always", "--reason", "a test", seconds=280)
    assert load.report.failures == []
    assert load.report.total > 100
    after = world.model_servers()
    assert all(after[name] != before[name] for name in before), (before, after)
    assert world.answers_everywhere("mq", live.version)
    told = [json.loads(line) for line in world.run("events", "--json").splitlines()]
    assert {"restart.started", "restart.finished"} <= {event["data"].get("what") for event in told}


def test_bad_ids_and_unknown_customers_are_named_by_the_command(world: World) -> None:
    assert "'../etc' is not valid" in world.run("signup", "../etc", check=False)
    assert "nobody" in world.run("why", "nobody", check=False)
    assert "nobody" in world.run("train", "nobody", check=False)


def _bucket(world: World) -> str:
    return str(world.settings.get("storage", {}).get("bucket", "roost"))


def _ready(world: World, customer: str, run_id: str) -> Message:
    """The event that training would publish for what is staged."""
    from roost.adapters.gcs import open_store
    from roost.contracts.ids import staging_prefix
    from roost.settings import StorageSettings
    from training.publishing import ready_event
    from training.staging import staged

    found = staged(
        open_store(StorageSettings(**world.settings["storage"])), staging_prefix(customer, "default", run_id)
    )
    assert found is not None
    return encode(ready_event(found, at=datetime.now(UTC)))
