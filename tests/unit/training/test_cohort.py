from __future__ import annotations

import pytest

from roost.contracts.policy import Policy
from tests.unit.training.rows import TablesInMemory, rows
from training.cohort import gather
from training.examples import TrainingRefused, Window

TABLES = {"big": rows(600), "tiny": rows(29, seed=2), "kin": rows(480, seed=3), "far": rows(500, seed=4)}


def policy(**training: object) -> Policy:
    return Policy.model_validate({"rules": {"training": {"minimum_rows": 500, **training}}})


def test_enough_own_rows_stay_alone() -> None:
    gathered = gather(TablesInMemory(TABLES, ["kin"]), policy(), "big", None)
    assert (gathered.scope, gathered.cohort, len(gathered.examples)) == ("own", (), 600)


def test_too_few_rows_are_pooled_with_as_many_customers_alike_as_needed() -> None:
    gathered = gather(TablesInMemory(TABLES, ["kin", "far"]), policy(), "tiny", None)
    assert (gathered.scope, gathered.cohort, len(gathered.examples)) == ("cohort", ("tiny", "kin"), 509)


def test_the_cohort_of_the_policy_comes_before_what_the_data_say() -> None:
    listed = Policy.model_validate({**policy().model_dump(), "cohorts": {"small": {"customers": ["far", "tiny"]}}})
    assert gather(TablesInMemory(TABLES, ["kin"]), listed, "tiny", None).cohort == ("tiny", "far")


def test_a_policy_may_refuse_small_customers() -> None:
    with pytest.raises(TrainingRefused, match="tiny has 29 rows and the policy asks for 500"):
        gather(TablesInMemory(TABLES, ["kin"]), policy(too_few="refuse"), "tiny", None)


def test_a_customer_like_nobody_is_refused_with_the_remedy() -> None:
    with pytest.raises(TrainingRefused, match="list customers alike"):
        gather(TablesInMemory(TABLES), policy(), "tiny", None)


def test_a_cohort_that_is_too_small_as_well_is_refused_with_its_size() -> None:
    with pytest.raises(TrainingRefused, match=r"with kin: 509"):
        gather(TablesInMemory(TABLES, ["kin"]), policy(minimum_rows=2000), "tiny", None)


def test_an_empty_window_is_refused_naming_it() -> None:
    window = Window.parsed("2014-01-01:2014-02-01")
    with pytest.raises(TrainingRefused, match="0 rows from 2014-01-01 to 2014-02-01"):
        gather(TablesInMemory(TABLES, ["kin"]), policy(), "tiny", window)


def test_a_cohorts_default_learns_from_all_who_are_listed_and_have_it() -> None:
    listed = Policy.model_validate(
        {
            "rules": {"predictions": {"cohort_default": "everyone"}},
            "cohorts": {"all": {"customers": ["big", "kin", "far"]}},
            "customers": {"far": {"predictions": {"cohort_default": None}}},
        }
    )

    gathered = gather(TablesInMemory(TABLES), listed, "everyone", None)

    assert (gathered.scope, gathered.cohort, len(gathered.examples)) == ("cohort", ("big", "kin"), 1080)
    assert gathered.schema_of == "big"
    assert gather(TablesInMemory(TABLES), listed, "big", None).scope == "own"


def test_a_default_of_nobody_is_an_unknown_customer() -> None:
    unlisted = Policy.model_validate({"rules": {"predictions": {"cohort_default": "everyone"}}})

    with pytest.raises(TrainingRefused, match="everyone has no rows"):
        gather(TablesInMemory(TABLES), unlisted, "everyone", None)
