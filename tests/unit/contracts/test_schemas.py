"""Generated schemas describe what the payloads accept, and a change that breaks somebody is named."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from roost import contract_docs
from roost.contracts.events import CATALOGUE, Command, CustomerSignedUp, DeployCommand, ModelReady, Payload
from roost.contracts.rollout import Phase

T0 = datetime(2026, 1, 1, tzinfo=UTC)
EXAMPLES: list[Payload] = [
    CustomerSignedUp(customer="acme", name="Acme"),
    DeployCommand(command=Command.ROLLBACK, actor="ann", reason="wrong", customer="acme"),
    ModelReady(
        customer="acme", artifact_uri="gs://roost/staging/acme/default/r/", artifact_digest="sha256:" + "a" * 64,
        run_id="r", trained_at=T0, data_window=("a", "b"), code_version="1",
    ),
]  # fmt: skip


class Small(BaseModel):
    one: str
    two: int = 2
    when: datetime | None = None
    phase: Phase | None = None
    numbers: dict[str, float] = {}


def changed(**changes: object) -> list[str]:
    old = Small.model_json_schema()
    new = json.loads(json.dumps(old))
    for name, value in changes.items():
        if value is None:
            del new["properties"][name]
        else:
            new["properties"][name] = value
    return list(contract_docs.broken(old, new))


@pytest.mark.parametrize("payload", EXAMPLES, ids=lambda one: type(one).__name__)
def test_what_is_published_fits_the_schema(payload: Payload) -> None:
    schema = contract_docs.schema_of(type(payload))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(payload.model_dump_json()), schema)


@pytest.mark.parametrize("customer", ["../etc", "UPPER", "", "a" * 64, "a/b"])
def test_a_bad_id_does_not_fit_the_schema(customer: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"customer": customer}, contract_docs.schema_of(CustomerSignedUp))


def test_every_event_type_is_in_the_asyncapi_document_once() -> None:
    document = contract_docs.asyncapi()
    listed = [kind for channel in document["channels"].values() for kind in channel["messages"]]  # type: ignore[attr-defined]
    assert sorted(listed) == sorted(CATALOGUE)


def test_every_reference_of_the_asyncapi_document_leads_somewhere(tmp_path: Path) -> None:
    contract_docs.write(tmp_path)
    document = yaml.safe_load((tmp_path / "asyncapi.yaml").read_text())
    references = [one for one in _walk(document) if one]
    assert references
    for reference in references:
        if reference.startswith("#/"):
            target = document
            for part in reference[2:].split("/"):
                target = target[part]
        else:
            assert (tmp_path / reference).is_file(), reference


def _walk(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [one for inner in value.values() for one in _walk(inner)]
    return [one for inner in value for one in _walk(inner)] if isinstance(value, list) else []


def test_the_committed_documents_are_up_to_date_and_compatible() -> None:
    docs = Path(__file__).parents[3] / "docs"
    assert contract_docs.breaking(docs) + contract_docs.outdated(docs) == []


def test_nothing_changed_breaks_nothing() -> None:
    assert changed() == []


def test_a_new_optional_field_breaks_nothing() -> None:
    assert changed(three={"type": "string", "default": ""}) == []


def test_allowing_more_breaks_nothing() -> None:
    assert changed(two={"anyOf": [{"type": "integer"}, {"type": "null"}]}, one={}) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"two": None}, "two vanished"),
        ({"two": {"type": "string"}}, "two. is no longer allowed to be integer"),
        ({"when": {"type": "string", "format": "date-time"}}, "when. is no longer allowed to be null"),
        ({"when": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, "string (date-time)"),
        ({"numbers": {"type": "object", "additionalProperties": {"type": "string"}}}, "numbers.[]. is no longer"),
        ({"phase": {"anyOf": [{"type": "string", "enum": ["LIVE"]}, {"type": "null"}]}}, "no longer allows"),
    ],
)
def test_what_breaks_somebody_is_named(changes: dict[str, object], says: str) -> None:
    [sentence] = changed(**changes)
    assert says in sentence


def test_a_field_that_becomes_required_is_named() -> None:
    old = Small.model_json_schema()
    assert list(contract_docs.broken(old, old | {"required": ["one", "two"]})) == ["two became required"]


def test_a_break_is_not_overwritten_by_writing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contract_docs.write(tmp_path)
    file = tmp_path / "schemas" / "CustomerSignedUp.json"
    schema = json.loads(file.read_text())
    schema["properties"]["gone_tomorrow"] = {"type": "string"}
    file.write_text(json.dumps(schema))
    assert contract_docs.main(["--docs", str(tmp_path)]) == 1
    assert "gone_tomorrow vanished" in capsys.readouterr().err
    assert "gone_tomorrow" in file.read_text()


def test_an_outdated_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contract_docs.write(tmp_path)
    (tmp_path / "asyncapi.yaml").write_text("old")
    assert contract_docs.main(["--check", "--docs", str(tmp_path)]) == 1
    assert "asyncapi.yaml is not up to date" in capsys.readouterr().err
