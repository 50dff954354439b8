from __future__ import annotations

from datetime import UTC, datetime

from roost.contracts.cloudevents import decode, encode
from roost.contracts.events import ModelReady, Topic
from tests.unit.training.artifacts import manifest
from training.publishing import ready_event
from training.staging import Staged

STAGED = Staged(uri="gs://roost/staging/ua/default/run-1/", manifest=manifest())
AT = datetime(2026, 1, 2, tzinfo=UTC)


def test_the_event_says_what_was_staged_and_whose_rows_it_learnt_from() -> None:
    event = ready_event(STAGED, at=AT, wave_id="w1")
    payload = event.data
    assert isinstance(payload, ModelReady)
    assert (event.topic, event.subject) == (Topic.MODELS_READY, "ua")
    assert payload.artifact_digest == STAGED.manifest.digest
    assert (payload.scope, payload.cohort, payload.wave_id) == ("cohort", ("ua", "dl"), "w1")
    assert payload.metrics == {"auc": 0.7}


def test_the_event_survives_the_bus() -> None:
    event = ready_event(STAGED, at=AT)
    message = encode(event)
    assert decode(message.value, message.headers) == event


def test_publishing_again_is_a_duplicate_and_another_run_is_not() -> None:
    later = datetime(2026, 1, 3, tzinfo=UTC)
    assert ready_event(STAGED, at=AT).id == ready_event(STAGED, at=later).id
    other = Staged(uri="gs://roost/staging/ua/default/run-2/", manifest=manifest(run_id="run-2"))
    assert ready_event(other, at=AT).id != ready_event(STAGED, at=AT).id
