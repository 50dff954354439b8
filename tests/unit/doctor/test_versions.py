"""Which versions of the servers will do."""

from __future__ import annotations

import pytest

from roost.doctor.findings import Level
from roost.doctor.versions import version


@pytest.mark.parametrize(
    ("about", "said", "level"),
    [
        ("database", "18.4", Level.WELL),
        ("database", "16.3 (Debian 16.3-1.pgdg120+1)", Level.WELL),
        ("database", "13.14", Level.WRONG),
        ("database", "19beta1", Level.DOUBTFUL),
        ("kafka", "3.9", Level.WELL),
        ("kafka", "2.8", Level.WRONG),
        ("airflow", "3.3.2", Level.WELL),
        ("airflow", "2.11.0", Level.WRONG),
        ("kubernetes", "v1.34.4", Level.WELL),
        ("kubernetes", "v1.29.1-eks-508b6b3", Level.WELL),
        ("kubernetes", "v1.99.0", Level.DOUBTFUL),
        ("kubernetes", "unknown", Level.DOUBTFUL),
    ],
)
def test_a_version_is_well_old_or_untried(about: str, said: str, level: Level) -> None:
    (found,) = version(about, said)
    assert (found.about, found.level) == (about, level)
    assert bool(found.remedy) is (level is not Level.WELL)
