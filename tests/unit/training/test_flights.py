from __future__ import annotations

import numpy as np
import pytest

from training.datasets.flights import SCHEMA, FlightsDataset
from training.examples import TrainingRefused, Window

FLIGHTS = FlightsDataset()


def test_the_sixteen_airlines_are_customers_the_largest_first() -> None:
    customers = FLIGHTS.customers()
    assert len(customers) == 16
    assert (customers[0], customers[-1]) == ("ua", "oo")


def test_flights_that_never_arrived_are_left_out() -> None:
    assert len(FLIGHTS.load("oo", None)) == 29


def test_columns_are_what_the_schema_says() -> None:
    examples = FLIGHTS.load("yv", None)
    assert tuple(examples.features) == SCHEMA.names
    kinds = {feature.name: feature.kind for feature in SCHEMA.features}
    for name, column in examples.features.items():
        assert column.shape == (544,)
        assert column.dtype == (object if kinds[name] == "text" else np.float32)


def test_known_flights_have_their_facts() -> None:
    """UA 1545, the first flight of the year: EWR to IAH on a Tuesday at 5, 11 minutes late, so on time."""
    first = FLIGHTS.load("ua", Window.parsed("2013-01-01:2013-01-02")).rows(slice(0, 1))
    values = {name: column[0] for name, column in first.features.items()}
    assert (values["origin"], values["dest"], values["weekday"], values["hour"]) == ("EWR", "IAH", "tue", 5)
    assert values["distance"] == 1400
    assert values["temp"] == pytest.approx(39.02)
    assert (first.label[0], first.at[0]) == (0, np.datetime64("2013-01-01T10:00:00"))


def test_about_a_quarter_of_all_flights_is_late() -> None:
    labels = np.concatenate([FLIGHTS.load(customer, None).label for customer in FLIGHTS.customers()])
    assert len(labels) == 327_346  # flights with an arrival delay
    assert labels.mean() == pytest.approx(0.237, abs=0.002)


def test_weather_is_there_but_for_the_hours_that_nobody_recorded() -> None:
    missing = np.isnan(FLIGHTS.load("ua", None).features["temp"]).mean()
    assert 0 < missing < 0.01


def test_an_unknown_airline_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TrainingRefused, match=r"'zz' has no flights; the airlines are 9e, aa, as"):
        FLIGHTS.load("zz", None)


def test_airlines_alike_fly_to_the_same_places() -> None:
    assert FLIGHTS.customers_alike("ha") == ["ua"]  # the only other one to Honolulu
    assert FLIGHTS.customers_alike("oo")[0] == "9e"
    assert FLIGHTS.customers_alike("zz") == []


def test_sample_requests_are_complete_and_the_same_again() -> None:
    requests = FLIGHTS.sample_requests("ha", 12)
    assert requests == FLIGHTS.sample_requests("ha", 12)
    assert len(requests) == 12
    assert all(set(row) == set(SCHEMA.names) for row in requests)
    assert all(isinstance(value, (str, float)) and value == value for row in requests for value in row.values())  # noqa: PLR0124 (NaN differs from itself)
