"""What the doctor says of a bucket."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from roost.contracts.errors import StorageUnavailable
from roost.doctor import bucket
from roost.doctor.findings import Level
from roost.ports.object_store import BucketFacts, DeletionRule

ALL = frozenset(f"storage.objects.{verb}" for verb in ("get", "list", "create", "delete"))
GOOD = BucketFacts(
    uri="gs://roost",
    location="EU",
    keeps_former=False,
    soft_delete_seconds=604_800,
    retention_seconds=0,
    holds_new_objects=False,
    uniform_access=True,
    public_access_prevented=True,
    deletions=(DeletionRule(prefixes=("staging/",), said="age 30"),),
    rights=ALL,
)


def test_a_bucket_that_keeps_what_serves_is_well() -> None:
    (found,) = bucket.looked_at(lambda: GOOD)
    assert found.level is Level.WELL


@pytest.mark.parametrize(
    ("change", "level", "said", "remedy"),
    [
        ({"retention_seconds": 3600}, Level.WRONG, "no generation can follow", "--clear-retention-period"),
        ({"holds_new_objects": True}, Level.WRONG, "no generation can follow", "--no-default-event-based-hold"),
        ({"soft_delete_seconds": 0}, Level.DOUBTFUL, "forgets at once", "--soft-delete-duration"),
        ({"uniform_access": False}, Level.DOUBTFUL, "rights of their own", "--uniform-bucket-level-access"),
        ({"public_access_prevented": False}, Level.DOUBTFUL, "to everybody", "--public-access-prevention"),
        ({"rights": frozenset()}, Level.WRONG, "lacks storage.objects.get", "objectViewer"),
    ],
)
def test_what_is_not_well_has_its_remedy(change: dict[str, Any], level: Level, said: str, remedy: str) -> None:
    found = bucket.looked_at(lambda: replace(GOOD, **change))
    assert found[0].level is level
    assert said in found[0].said
    assert remedy in found[0].remedy


@pytest.mark.parametrize(
    ("prefixes", "touches"),
    [((), True), (("models/",), True), (("models/ua/",), True), (("m",), True), (("fleet/default/",), True), (("recorded/",), False)],
)  # fmt: skip
def test_a_rule_that_deletes_served_versions_is_wrong_however_its_prefix_is_cut(
    prefixes: tuple[str, ...], touches: bool
) -> None:
    found = bucket.looked_at(lambda: replace(GOOD, deletions=(DeletionRule(prefixes=prefixes, said="age 30"),)))
    assert [one.level for one in found] == [Level.WRONG if touches else Level.WELL]


def test_an_account_that_only_reads_is_told_for_whom_that_is_right() -> None:
    rights = ALL - {"storage.objects.create", "storage.objects.delete"}
    found = bucket.looked_at(lambda: replace(GOOD, rights=rights))
    assert {one.level for one in found} == {Level.WELL}
    assert "may not write" in found[0].said


def test_versions_kept_are_as_good_as_a_soft_delete() -> None:
    (found,) = bucket.looked_at(lambda: replace(GOOD, keeps_former=True, soft_delete_seconds=None, rights=None))
    assert found.level is Level.WELL


def test_a_bucket_that_may_not_be_looked_at_is_no_fault() -> None:
    def refused() -> BucketFacts:
        raise StorageUnavailable("the store refuses this account (403)")

    (found,) = bucket.looked_at(refused)
    assert found.level is Level.DOUBTFUL
    assert "legacyBucketReader" in found.remedy
