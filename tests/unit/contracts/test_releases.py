"""Processes of two releases side by side: what the one before wrote is read, and what the next one adds is passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from roost.contracts import events
from roost.contracts.acks import NodeChange, NodeState
from roost.contracts.desired import DesiredState
from roost.contracts.manifest import ArtifactManifest, Frozen

DOCUMENTS = Path(__file__).parent / "documents"
BETWEEN_PROCESSES: dict[str, type[Frozen]] = {
    kind.__name__: kind for kind in (DesiredState, NodeState, NodeChange, ArtifactManifest)
}
#: Maps by contract, which take any key.
OPEN_MAPS = {"labels", "split", "metrics", "facts"}
RELEASED = sorted(DOCUMENTS.glob("*/*.json"))


def kind_of(path: Path) -> type[BaseModel]:
    return BETWEEN_PROCESSES.get(path.stem) or getattr(events, path.stem)


def read(path: Path, document: Any) -> BaseModel:
    content = json.dumps(document)
    kind = kind_of(path)
    return kind.received(content) if issubclass(kind, Frozen) else kind.model_validate_json(content)


def with_more(document: Any) -> Any:
    """The document as the next release might write it: something new at every depth, but in open maps."""
    if isinstance(document, list):
        return [with_more(one) for one in document]
    if not isinstance(document, dict):
        return document
    grown = {key: value if key in OPEN_MAPS else with_more(value) for key, value in document.items()}
    return {**grown, "of_the_next_release": {"a": 1}}


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_a_release_wrote_is_read_in_full_by_this_one(path: Path) -> None:
    document = json.loads(path.read_text())
    found = json.loads(read(path, document).model_dump_json())
    assert {key: found[key] for key in document} == document


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_the_next_release_adds_is_passed_over_at_every_depth(path: Path) -> None:
    document = json.loads(path.read_text())
    assert read(path, with_more(document)) == read(path, document)


@pytest.mark.parametrize("name", sorted(BETWEEN_PROCESSES))
def test_what_is_made_here_names_no_field_that_there_is_not(name: str) -> None:
    path = next(path for path in RELEASED if path.stem == name)
    document = json.loads(path.read_text())
    with pytest.raises(ValidationError, match="of_the_next_release"):
        BETWEEN_PROCESSES[name].model_validate({**document, "of_the_next_release": 1})


def test_every_kind_of_document_and_event_has_its_example() -> None:
    payloads = {payload.__name__ for payload, _ in events.CATALOGUE.values()}
    assert {path.stem for path in RELEASED} == payloads | set(BETWEEN_PROCESSES)
