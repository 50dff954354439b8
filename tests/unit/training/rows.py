"""Small tables that the unit tests of training share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from training.examples import Examples, Feature, Schema, TrainingRefused, Window

SCHEMA = Schema(
    label="late",
    time="at",
    features=(Feature(name="place", kind="text"), Feature(name="hour", kind="number")),
    labels=("on_time", "late"),
)


def rows(count: int, *, seed: int = 1, label: Sequence[float] | None = None, start: str = "2013-01-01") -> Examples:
    """One row an hour; the label is weakly tied to the hour."""
    chance = np.random.default_rng(seed)
    hour = chance.uniform(0, 24, count).astype(np.float32)
    drawn = (chance.uniform(0, 36, count) < hour).astype(np.float32)
    return Examples(
        features={"place": np.array(["a", "b", "c"], dtype=object)[chance.integers(0, 3, count)], "hour": hour},
        label=drawn if label is None else np.asarray(label, dtype=np.float32),
        at=np.datetime64(start, "s") + np.arange(count) * np.timedelta64(3600, "s"),
    )


class TablesInMemory:
    """A `Dataset` of prepared rows."""

    def __init__(self, tables: Mapping[str, Examples], alike: Sequence[str] = (), schema: Schema = SCHEMA) -> None:
        self._tables, self._alike, self._schema = tables, alike, schema

    def schema(self, customer: str) -> Schema:
        return self._schema

    def load(self, customer: str, window: Window | None) -> Examples:
        if customer not in self._tables:
            raise TrainingRefused(f"{customer} has no rows")
        found = self._tables[customer]
        return found if window is None else found.within(window)

    def customers_alike(self, customer: str) -> Sequence[str]:
        return self._alike
