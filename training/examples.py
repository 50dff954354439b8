"""Labelled rows and what their columns are. Pure: numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from roost.contracts.errors import Permanent
from roost.contracts.manifest import Frozen

Array = NDArray[Any]


class TrainingRefused(Permanent):
    """The data, or what was learnt from them, cannot give a model. The text names the fault and the remedy."""


class Feature(Frozen):
    """One input of the model, by the name that requests use."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")
    #: ``text`` is a string, ``number`` a float (missing ones are NaN), ``vector`` a list of `size` floats.
    kind: Literal["text", "number", "vector"]
    size: int | None = Field(default=None, ge=1)
    #: For the developers who send it.
    description: str = Field(default="", max_length=300)


class Schema(Frozen):
    """What the columns of a data set are."""

    #: Column of the label: 0 or 1 for a classification, any number for a regression.
    label: str
    #: Column of the instant at which a row's features were known.
    time: str
    features: tuple[Feature, ...] = Field(min_length=1)
    task: Literal["classification", "regression"] = "classification"
    #: What label 0 and label 1 mean.
    labels: tuple[str, ...] = ("no", "yes")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in order."""
        return tuple(feature.name for feature in self.features)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Instants from `start` up to `end`, which is left out."""

    start: datetime
    end: datetime

    @classmethod
    def parsed(cls, text: str) -> Window:
        """``2013-01-01:2013-07-01``, dates in UTC, the last left out.

        Raises:
            TrainingRefused: naming the text and the form.
        """
        try:
            first, last = (date.fromisoformat(part) for part in text.split(":"))
        except ValueError as error:
            raise TrainingRefused(
                f"data window {text!r} is not valid: write two dates, as 2013-01-01:2013-07-01"
            ) from error
        if first >= last:
            raise TrainingRefused(f"data window {text!r} is empty: its end must be after its start")
        return cls(
            start=datetime(first.year, first.month, first.day, tzinfo=UTC),
            end=datetime(last.year, last.month, last.day, tzinfo=UTC),
        )

    def isoformat(self) -> tuple[str, str]:
        """Both ends in ISO 8601."""
        return self.start.isoformat(), self.end.isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Rows in order of time. All columns have one entry a row."""

    #: Feature name to strings (dtype object), floats (float32), or vectors (float32, two dimensions).
    features: Mapping[str, Array]
    #: float32.
    label: Array
    #: datetime64[s], UTC, ascending.
    at: Array

    def __len__(self) -> int:
        return len(self.label)

    def rows(self, chosen: Array | slice) -> Examples:
        """The rows of a mask, a slice or a list of positions."""
        return Examples(
            features={name: column[chosen] for name, column in self.features.items()},
            label=self.label[chosen],
            at=self.at[chosen],
        )

    def within(self, window: Window) -> Examples:
        """The rows of that window."""
        low, high = (np.searchsorted(self.at, instant(end)) for end in (window.start, window.end))
        return self.rows(slice(int(low), int(high)))

    @property
    def complete(self) -> Array:
        """Which rows have all their numbers, as a mask. Only those can be sent as JSON, which knows no NaN."""
        whole = np.ones(len(self), dtype=bool)
        for column in self.features.values():
            if column.dtype != object:
                whole &= np.isfinite(column).reshape(len(self), -1).all(axis=1)
        return whole

    @property
    def window(self) -> Window:
        """From the first row to just after the last. Raises `TrainingRefused` where there is none."""
        if not len(self):
            raise TrainingRefused("there are no rows")
        last = self.at[-1] + np.timedelta64(1, "s")
        return Window(start=_aware(self.at[0]), end=_aware(last))

    @classmethod
    def merged(cls, parts: Sequence[Examples]) -> Examples:
        """All rows of `parts`, which have the same features, in order of time."""
        at = np.concatenate([part.at for part in parts])
        order = np.argsort(at, kind="stable")
        names = list(parts[0].features)
        features = {name: np.concatenate([part.features[name] for part in parts])[order] for name in names}
        return cls(features=features, label=np.concatenate([part.label for part in parts])[order], at=at[order])


def instant(moment: datetime) -> np.datetime64:
    """The moment as numpy keeps it: UTC, seconds."""
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "s")


def _aware(stamp: np.datetime64) -> datetime:
    return datetime.fromtimestamp(int(stamp.astype("datetime64[s]").astype(np.int64)), tz=UTC)
