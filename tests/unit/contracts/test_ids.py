"""Ids are the only thing that paths are built from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from roost.contracts import ids
from roost.contracts.ids import InvalidId

valid_ids = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)


@given(valid_ids, valid_ids)
def test_a_served_name_splits_into_what_it_was_made_of(customer: str, model: str) -> None:
    assert ids.split_served_name(ids.served_name(customer, model)) == (customer, model)


@given(st.text(max_size=80))
def test_whatever_passes_as_an_id_stays_inside_its_folder(text: str) -> None:
    try:
        prefix = ids.version_prefix(text, "default", 1)
    except InvalidId:
        return
    assert prefix.split("/") == ["models", text, "default", "1", ""]
    assert not set(text) & set("./\\ \n\0")


@pytest.mark.parametrize("text", ["", "../etc", "a/b", "UA", "-ua", "ua\n", "a" * 64, "ünited", ".", "a.b", "a\0"])
def test_a_bad_customer_id_is_refused_by_value_and_rule(text: str) -> None:
    with pytest.raises(InvalidId, match="is not valid: use 1 to 63"):
        ids.check_id(text)


@pytest.mark.parametrize("text", ["", "..", "a/../b", "a b", "x" * 201, "a\n", "-a", ".hidden"])
def test_a_bad_run_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidId):
        ids.staging_prefix("ua", "default", text)


@pytest.mark.parametrize("run_id", ["signup__ua__1f", "manual__2026-01-01T00.00.00+00.00", "a~b"])
def test_airflow_run_ids_fit_in_a_path(run_id: str) -> None:
    assert ids.staging_prefix("ua", "default", run_id) == f"staging/ua/default/{run_id}/"


@pytest.mark.parametrize("version", [0, -1, 2**63])
def test_a_version_is_a_positive_int64(version: int) -> None:
    with pytest.raises(InvalidId):
        ids.version_prefix("ua", "default", version)


@pytest.mark.parametrize("name", ["ua", "ua.", ".default", "ua.a.b"])
def test_a_bad_served_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidId):
        ids.split_served_name(name)


def test_recorded_requests_lie_under_their_customer_and_model() -> None:
    assert ids.recorded_prefix("ua", "default") == "recorded/ua/default/"
    with pytest.raises(InvalidId):
        ids.recorded_prefix("../ua", "default")


def test_a_pool_has_one_desired_object_and_one_config_beside_it() -> None:
    assert ids.desired_object("default") == "fleet/default/desired.json"
    assert ids.config_object("default") == "fleet/default/models.config"


@pytest.mark.parametrize("kind", [ids.CustomerId, ids.RunId, ids.Digest])
def test_an_id_in_a_payload_holds_no_line_break(kind: object) -> None:
    text = "sha256:" + "a" * 64 if kind is ids.Digest else "ua"
    adapter = TypeAdapter(kind)
    assert adapter.validate_python(text) == text
    with pytest.raises(ValidationError):
        adapter.validate_python(f"{text}\n")


def test_what_no_pattern_catches_is_caught_after_it() -> None:
    """Where a pattern's end also matches before a last line break, only this stands between it and a path."""
    with pytest.raises(ValueError, match="line break"):
        ids._no_newline("ua\n")
