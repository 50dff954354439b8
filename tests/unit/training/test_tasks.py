from __future__ import annotations

import pytest

from roost.contracts.errors import Permanent
from roost.contracts.ids import RUN_ID_PATTERN, check_run_id
from training import tasks


def test_a_run_id_that_fits_is_kept() -> None:
    assert tasks.training_run_id("signup__ua__1a2b3c") == "signup__ua__1a2b3c"


@pytest.mark.parametrize(
    "airflow",
    ["manual__2026-11-22T00:53:14.186678+00:00", "scheduled__2026-11-22T00:00:00+00:00", "~odd:one", "x" * 250, ":::"],
)
def test_any_run_id_of_airflow_gives_one_that_a_path_can_hold(airflow: str) -> None:
    found = tasks.training_run_id(airflow)
    assert check_run_id(found) == found == tasks.training_run_id(airflow)
    # Room for the number of an attempt.
    assert check_run_id(f"{found}~99")


def test_run_ids_that_differ_only_in_what_is_replaced_stay_apart() -> None:
    assert tasks.training_run_id("a:b") != tasks.training_run_id("a.b") != tasks.training_run_id("a:b:")
    assert RUN_ID_PATTERN


def test_params_become_an_order() -> None:
    order = tasks.prepare({"customer_id": "ua", "reason": "why", "data_window": None, "wave_id": None}, "signup__ua__1")
    assert order == {
        "customer_id": "ua",
        "run_id": "signup__ua__1",
        "model": "default",
        "reason": "why",
        "wave_id": None,
        "data_window": None,
    }


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"customer_id": "../etc"}, "Param customer_id is '../etc'"),
        ({"customer_id": "UA"}, "Param customer_id is 'UA'"),
        ({}, "Param customer_id"),
        ({"customer_id": "ua", "model": "a/b"}, "Param model is 'a/b'"),
        ({"customer_id": "ua", "data_window": "june"}, "data window 'june'"),
        ({"customer_id": "ua", "colour": "red"}, "Param colour"),
    ],
)
def test_a_wrong_param_is_final_and_named(params: dict[str, object], named: str) -> None:
    with pytest.raises(Permanent, match=named):
        tasks.prepare(params, "r")
