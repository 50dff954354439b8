"""A policy is read strictly: a typing error names its line and never passes for a default."""

from pathlib import Path

import pytest

from roost import policy_file
from roost.contracts.errors import SettingsInvalid
from roost.contracts.policy import Approval, Policy

POLICY = """\
version: 1
rules:
  bake_seconds: 60
  checks:
    load: {seconds: 20}
cohorts:
  small:
    customers: [oo, ha]
    rules:
      approval: always
      checks: {load: {memory_mb: 64}}
customers:
  oo:
    approval: never
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def test_rules_overlay_from_the_general_to_the_particular(file: Path) -> None:
    policy = policy_file.read(file)
    assert policy.rules_for("ua").approval is Approval.INCONCLUSIVE
    assert policy.rules_for("ha").approval is Approval.ALWAYS
    assert policy.rules_for("oo").approval is Approval.NEVER
    assert policy.rules_for("oo").checks.load.seconds == 20
    assert policy.rules_for("oo").checks.load.memory_mb == 64
    assert policy.rules_for("ua").checks.load.memory_mb == 512
    assert policy.rules_for("ua").bake_seconds == 60


def test_whoever_has_rules_of_their_own_or_of_a_cohort_is_named(file: Path) -> None:
    assert policy_file.read(file).named_customers() == {"oo", "ha"}
    assert Policy().named_customers() == frozenset()


def test_no_file_means_the_defaults() -> None:
    assert policy_file.read(None) == Policy()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("bake_seconds", "bake_secnods", r"policy\.yaml:3: rules\.bake_secnods: Extra inputs"),
        ("seconds: 20", "seconds: -1", r"policy\.yaml:5: rules\.checks\.load\.seconds: .*greater than 0"),
        ("approval: always", "approval: sometimes", "approval"),
        ("version: 1", "version: 2", r"policy\.yaml:1: version"),
        ("[oo, ha]", "[OO, ha]", r"policy\.yaml:8: cohorts\.small\.customers\.0"),
        ("version: 1", "version: [", "is not YAML"),
    ],
)
def test_a_fault_is_named_with_its_place(file: Path, before: str, after: str, expected: str) -> None:
    file.write_text(POLICY.replace(before, after, 1))
    with pytest.raises(SettingsInvalid, match=expected):
        policy_file.read(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        policy_file.read(tmp_path / "none.yaml")
