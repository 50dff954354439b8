"""What model servers count: differences, sums, and what they say of how long requests take."""

from roost.contracts.traffic import Answered, together

EARLY = Answered(server=7, ended={"OK": 10}, took=((0.1, 6), (0.2, 4)))
LATE = Answered(server=7, ended={"OK": 110, "INTERNAL": 5}, took=((0.1, 66), (0.2, 34), (0.4, 10)))


def test_what_came_since_an_earlier_look_is_the_difference() -> None:
    rise = LATE.since(EARLY)
    assert rise == Answered(server=7, ended={"OK": 100, "INTERNAL": 5}, took=((0.1, 60), (0.2, 30), (0.4, 10)))
    assert (rise.total, rise.failed, rise.timed) == (105, 5, 100)


def test_counts_of_two_servers_have_no_difference() -> None:
    assert LATE.since(EARLY.model_copy(update={"server": 8})) is None


def test_servers_are_added_up() -> None:
    assert together([EARLY, LATE]) == Answered(ended={"OK": 120, "INTERNAL": 5}, took=((0.1, 72), (0.2, 38), (0.4, 10)))
    assert together([]).total == 0


def test_a_share_is_kept_within_the_least_bound_that_says_so() -> None:
    assert [LATE.within(share) for share in (0.5, 0.6, 0.61, 0.95, 1.0)] == [0.1, 0.1, 0.2, 0.4, 0.4]
    assert Answered().within(0.95) is None


def test_only_what_certainly_took_longer_is_slower() -> None:
    assert [LATE.slower(seconds) for seconds in (0.05, 0.1, 0.15, 0.2, 0.3, 9.0)] == [44, 44, 10, 10, 0, 0]


def test_it_survives_its_own_json() -> None:
    assert Answered.model_validate_json(LATE.model_dump_json()) == LATE
