from __future__ import annotations

import pytest

from roost.contracts.errors import SettingsInvalid
from roost.embedded import addresses, ports


@pytest.fixture(autouse=True)
def _any_port_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests look at choices, not at this machine's sockets."""
    monkeypatch.setattr(ports, "is_free", lambda port: port not in TAKEN)
    TAKEN.clear()


TAKEN: set[int] = set()


def test_every_name_gets_a_port_of_its_own() -> None:
    chosen = addresses.choose(None, {})
    assert set(chosen.ports) == set(addresses.PORTS)
    assert len(set(chosen.ports.values())) == len(addresses.PORTS)


def test_what_was_chosen_once_is_kept() -> None:
    first = addresses.choose(None, {})
    again = addresses.choose(first, {})
    assert again == first


def test_a_wanted_port_is_kept_by_later_starts_until_it_is_freed() -> None:
    fixed = addresses.choose(addresses.choose(None, {}), {"console": 8088})
    assert fixed.ports["console"] == 8088
    assert addresses.choose(fixed, {}).ports["console"] == 8088
    freed = addresses.choose(fixed, {"console": 0})
    assert freed.ports["console"] != 8088
    assert freed.fixed == frozenset()


def test_a_wanted_port_that_another_part_had_moves_the_other_part() -> None:
    first = addresses.choose(None, {})
    wanted = first.ports["broker"]
    second = addresses.choose(first, {"console": wanted})
    assert second.ports["console"] == wanted
    assert second.ports["broker"] != wanted


def test_a_taken_port_moves_unless_somebody_asked_for_it() -> None:
    first = addresses.choose(None, {"console": 8088})
    TAKEN.update({8088, first.ports["broker"]})
    moved = addresses.move_aside(first)
    assert moved.ports["broker"] != first.ports["broker"]
    assert moved.ports["console"] == 8088


def test_an_unknown_name_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(SettingsInvalid, match=r"no port is called consle; there are broker, .*console"):
        addresses.choose(None, {"consle": 8088})


def test_one_number_for_two_parts_is_refused() -> None:
    with pytest.raises(SettingsInvalid, match="airflow and console have the same port 8088"):
        addresses.choose(None, {"console": 8088, "airflow": 8088})
