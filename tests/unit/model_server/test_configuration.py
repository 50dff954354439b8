"""Lists are read and checked as officially; versions and loads are chosen purely."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.model_server.configuration import (
    ModelList,
    VersionPolicy,
    accept,
    check_platform,
    parse_text,
    single_model,
)
from serving.model_server.planning import Phase, choose_versions, plan, version_of
from serving.model_server.serving_map import ModelRequest, ServingVersions, check_labels
from serving.model_server.statuses import Code, StatusError
from serving.model_server.version_states import State, StateBoard, VersionState, failure_text

ENTRY = 'name: "m" base_path: "/m" model_platform: "tensorflow"'


def read(text: str, current: ModelList | None = None) -> ModelList | None:
    """Parse and accept a config's text."""
    return accept(current, parse_text(text))


def one(more: str = "") -> ModelList:
    """A list of one model."""
    accepted = read(f"model_config_list {{ config {{ {ENTRY} {more} }} }}")
    assert accepted is not None
    return accepted


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", VersionPolicy()),
        ("model_version_policy { latest { num_versions: 3 } }", VersionPolicy(count=3)),
        ("model_version_policy { latest {} }", VersionPolicy(count=1)),
        ("model_version_policy { all {} }", VersionPolicy(kind="all")),
        (
            "model_version_policy { specific { versions: 2 versions: 5 } }",
            VersionPolicy(kind="specific", versions=frozenset({2, 5})),
        ),
    ],
)
def test_each_version_policy_is_read(text: str, policy: VersionPolicy) -> None:
    """Without one the latest single version is meant."""
    assert one(text).models["m"].policy == policy


def test_labels_and_the_deprecated_type_are_read() -> None:
    """`model_type: TENSORFLOW` says the same as the platform's name."""
    accepted = read(
        'model_config_list { config { name: "m" base_path: "/m" model_type: TENSORFLOW '
        'version_labels { key: "stable" value: 7 } } }'
    )
    assert accepted is not None
    assert accepted.models["m"].labels == {"stable": 7}
    assert accepted.models["m"].platform == "tensorflow"


def test_an_entry_without_a_platform_is_told_once_it_is_stored_and_then_refuses_every_later_list() -> None:
    """As officially: the bad list is what the next one is compared with."""
    stored = read('model_config_list { config { name: "m" base_path: "/m" } }')
    assert stored is not None
    with pytest.raises(StatusError, match="Illegal setting neither"):
        check_platform(stored.models["m"])
    with pytest.raises(StatusError, match="Illegal setting neither"):
        read(f"model_config_list {{ config {{ {ENTRY} }} }}", stored)
    both = read(f"model_config_list {{ config {{ {ENTRY} model_type: TENSORFLOW }} }}")
    assert both is not None
    with pytest.raises(StatusError, match="Illegal setting both"):
        check_platform(both.models["m"])


def test_an_empty_config_changes_nothing_at_first_and_is_refused_later() -> None:
    """From nothing to nothing is allowed; from a list only a list may follow."""
    assert read("") is None
    with pytest.raises(StatusError, match="Cannot transition") as refused:
        read("", one())
    assert refused.value.code is Code.FAILED_PRECONDITION
    empty = read("model_config_list {}", one())
    assert empty is not None
    assert empty.models == {}


def test_a_text_that_does_not_parse_says_where() -> None:
    """Line, column, and the official beginning of the message."""
    with pytest.raises(StatusError, match=r"Error parsing text-format tensorflow.serving.ModelServerConfig: 2:\d+"):
        parse_text("model_config_list {\n config { name= }")


def test_a_single_model_by_flags_is_a_list_of_one() -> None:
    """Its path must be absolute too."""
    accepted = accept(None, single_model("mine", "/models/mine"))
    assert accepted is not None
    assert list(accepted.models) == ["mine"]
    with pytest.raises(StatusError, match="Expected model mine to have an absolute path or URI"):
        accept(None, single_model("mine", "models/mine"))


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("1", 1),
        ("00001", 1),
        ("0", 0),
        ("a1", None),
        ("-1", -1),
        ("+2 ", 2),
        ("1 2", None),
        ("1.5", None),
        ("٣", None),
        ("9" * 19, None),
    ],
)
def test_a_version_directory_has_a_decimal_name(name: str, version: int | None) -> None:
    """What no int64 holds is no version."""
    assert version_of(name) == version


VERSIONS = st.frozensets(st.integers(0, 20), max_size=8)


@given(VERSIONS, st.integers(1, 4), VERSIONS)
def test_a_policy_chooses_only_what_is_there(found: frozenset[int], count: int, named: frozenset[int]) -> None:
    """The newest so many; all; those named and found."""
    latest = choose_versions(VersionPolicy(count=count), found)
    assert latest <= found
    assert len(latest) == min(count, len(found))
    assert not latest or min(latest) >= max(found - latest, default=-1)
    assert choose_versions(VersionPolicy(kind="all"), found) == found
    assert choose_versions(VersionPolicy(kind="specific", versions=named), found) == found & named


@given(VERSIONS, st.dictionaries(st.integers(0, 20), st.sampled_from(Phase)))
def test_a_plan_never_leaves_a_model_without_a_version(wanted: frozenset[int], phases: dict[int, Phase]) -> None:
    """One that serves is kept until a wanted version serves or none is wanted; nothing is done twice."""
    decided = plan(wanted, phases)
    ready = {version for version, phase in phases.items() if phase is Phase.READY}
    assert set(decided.unload) <= ready - wanted
    if wanted and ready:
        assert ready - set(decided.unload)
    if wanted and not ready & wanted and ready:
        assert set(decided.unload) == ready - {max(ready)}
    assert set(decided.load) <= wanted
    assert all(phases.get(version, Phase.NEW) in (Phase.NEW, Phase.GONE) for version in decided.load)
    assert not set(decided.forget) & (wanted | set(decided.unload))


def _state(state: State) -> VersionState:
    return VersionState(state=state)


@pytest.mark.parametrize(
    ("proposed", "state", "allow_unavailable", "fine"),
    [
        ({"stable": 1}, State.AVAILABLE, False, True),
        ({"stable": 1}, State.LOADING, False, False),
        ({"stable": 1}, None, False, False),
        ({"new": 1}, State.LOADING, True, True),
        ({"kept": 1}, State.END, True, True),
        ({"moved": 1}, State.LOADING, True, False),
        ({"moved": 1}, State.AVAILABLE, True, True),
    ],
)
def test_a_label_names_an_available_version(
    proposed: dict[str, int], state: State | None, allow_unavailable: bool, fine: bool
) -> None:
    """With the flag an unused or unchanged one may name any; one that moves never."""
    states = {"m": {1: _state(state)} if state else {}}
    current = {"m": {"kept": 1, "moved": 2}}
    if fine:
        check_labels({"m": proposed}, current=current, states=states, allow_unavailable=allow_unavailable)
        return
    with pytest.raises(StatusError, match="Request to assign label to version 1 of model m"):
        check_labels({"m": proposed}, current=current, states=states, allow_unavailable=allow_unavailable)


def test_requests_find_versions_by_number_label_or_as_the_latest() -> None:
    """A label that outlives its version finds nothing, by the version's number."""
    serving: ServingVersions[str] = ServingVersions()
    serving.add("m", 1, "one")
    serving.add("m", 2, "two")
    serving.labels = {"m": {"stable": 1}}
    assert serving.find(ModelRequest(name="m")) == "two"
    assert serving.find(ModelRequest(name="m", version=1)) == "one"
    assert serving.find(ModelRequest(name="m", label="stable")) == "one"
    serving.remove("m", 1)
    with pytest.raises(StatusError, match=r"Specific\(m, 1\)"):
        serving.find(ModelRequest(name="m", label="stable"))
    serving.remove("m", 2)
    with pytest.raises(StatusError, match=r"Latest\(m\)"):
        serving.find(ModelRequest(name="m"))


def test_the_board_tells_old_news_from_new() -> None:
    """What happened before a reload does not settle it; an orderly end of an earlier life does so only if asked."""
    board = StateBoard()
    board.publish("m", 1, State.AVAILABLE)
    since = board.now()
    error = StatusError(Code.NOT_FOUND, "gone")
    board.publish("m", 1, State.END)
    assert board.wait_until_settled({"m"}, since, any_end=True)["m"][1].error is None
    board.publish("m", 2, State.END, error)
    assert board.wait_until_settled({"m"}, since)["m"][2].error == error
    board.publish("m", 4, State.END)
    assert board.wait_until_settled({"m"}, since)["m"][2].error == error
    board.publish("m", 3, State.AVAILABLE)
    assert board.wait_until_settled({"m"}, since) == {}
    assert list(board.versions("m")) == [4, 3, 2, 1]


def test_the_newest_version_that_ended_settles_its_model() -> None:
    """As officially: a newest one that failed is told although an older one serves."""
    board = StateBoard()
    board.publish("m", 1, State.AVAILABLE)
    board.publish("m", 2, State.END, StatusError(Code.NOT_FOUND, "gone"))
    board.publish("m", 3, State.LOADING)
    assert list(board.wait_until_settled({"m"}, 0)["m"]) == [2]


def test_a_waiter_sees_every_change_even_one_that_is_over_when_it_wakes() -> None:
    """A version that ended and began anew at once was taken for one that had only begun."""
    board = StateBoard()
    found: list[object] = []
    waiter = threading.Thread(target=lambda: found.append(board.wait_until_settled({"m"}, 0, any_end=True)))
    waiter.start()
    while not board._waiting:
        waiter.join(timeout=0.01)
    with board._changed:  # the waiter cannot wake in between
        board.publish("m", 1, State.END)
        board.publish("m", 1, State.START)
    waiter.join(timeout=60)
    assert [list(each) for each in found if isinstance(each, dict)] == [["m"]]


def test_closing_the_board_releases_its_waiters() -> None:
    """A server that stops does not wait for a model that never comes."""
    board = StateBoard()
    board.close()
    with pytest.raises(StatusError) as released:
        board.wait_until_settled({"never"}, 0)
    assert released.value.code is Code.CANCELLED


def test_failed_models_are_told_in_the_official_words() -> None:
    """Each with version and reason."""
    failed = VersionState(state=State.END, error=StatusError(Code.NOT_FOUND, "no file"))
    assert failure_text({"m": {1: failed}}) == (
        "1 model(s) did not become available: {{{name: m version: 1} due to error: NOT_FOUND: no file}, }"
    )
    assert failure_text({"m": {1: VersionState(state=State.END)}}) == (
        "1 model(s) did not become available: {{{name: m version: 1}}, }"
    )
