"""When a pod may start on a schema."""

from __future__ import annotations

import pytest

from roost.cli.database import fits


@pytest.mark.parametrize(
    ("found", "at_least", "well"),
    [
        ("0004", False, True),
        ("0003", False, False),
        ("0005", False, False),
        (None, False, False),
        ("0004", True, True),
        ("0003", True, False),
        ("0005", True, True),
        (None, True, False),
    ],
)
def test_a_newer_schema_does_only_while_an_upgrade_is_under_way(
    found: str | None, *, at_least: bool, well: bool
) -> None:
    assert fits(found, "0004", at_least=at_least) is well
