"""What is looked for on the disk, when, and what one bad base path does to the others; and the polling of the config file."""

import grpc
import pytest

from tests.integration.model_server.bases import ALL, Bases, latest, specific
from tests.integration.model_server.conftest import Start
from tests.integration.model_server.running import FAST, RunningServer, eventually

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

AVAILABLE, END = "AVAILABLE", "END"


def test_new_versions_are_found_by_the_policy(server: RunningServer, bases: Bases) -> None:
    """The newest so many, all, or those named and there; `00004` is 4, and what is no number is nothing."""
    two, every, named = bases.name("two"), bases.name("every"), bases.name("named")
    for name in (two, every, named):
        bases.place(name, 1, 2)
        for ignored in ("tmp", "3.5", "x1"):
            (bases.path(name) / ignored).mkdir()
    more = {"two": latest(2), "every": ALL, "named": specific(1, 9)}
    server.reload(bases.config(two, every, named, **more))
    for name in (two, every):
        eventually(lambda name=name: server.states(name) == {2: AVAILABLE, 1: AVAILABLE}, f"{name}: both")
    assert server.states(named) == {1: AVAILABLE}
    for name in (two, every, named):
        bases.place(name, "00003")
    eventually(lambda: server.states(two) == {3: AVAILABLE, 2: AVAILABLE, 1: END}, "the newest two")
    eventually(lambda: server.states(every) == {3: AVAILABLE, 2: AVAILABLE, 1: AVAILABLE}, "all three")
    assert server.states(named) == {1: AVAILABLE}
    assert server.scale(two) == 3
    assert f"Version 9 of servable {named}, which was requested to be served as a 'specific' version" in (
        server.log.read_text()
    )


def test_a_specific_version_that_leaves_the_policy_unloads(server: RunningServer, bases: Bases) -> None:
    """Also where the one named instead is not on disk: what is missing is left out."""
    name = bases.name("m")
    bases.place(name, 1, 3)
    server.reload(bases.config(name, m=specific(1, 3)))
    eventually(lambda: server.states(name) == {3: AVAILABLE, 1: AVAILABLE}, "both")
    assert (server.scale(name, version=1), server.scale(name, version=3), server.scale(name)) == (1, 3, 3)
    server.reload(bases.config(name, m=specific(1, 9)))
    eventually(lambda: server.states(name) == {3: END, 1: AVAILABLE}, "version 3 unloaded")
    assert server.scale(name) == 1


def test_an_existing_but_empty_base_path_unloads_the_model(server: RunningServer, bases: Bases) -> None:
    """No version wanted, none served; and the log says so."""
    name = bases.name("m")
    bases.place(name, 1)
    server.reload(bases.config(name))
    (bases.path(name) / "1").unlink()
    eventually(lambda: server.states(name) == {1: END}, "version 1 unloaded")
    assert f"No versions of servable {name} found under base path {bases.path(name)}" in server.log.read_text()


def test_one_missing_base_path_stalls_the_others_until_it_is_there_but_what_leaves_the_list_leaves(
    server: RunningServer, bases: Bases
) -> None:
    """One look covers all models and ends at the first path that cannot be listed."""
    name, hidden, left = bases.name("m"), bases.name("hidden"), bases.name("left")
    for each in (name, hidden, left):
        bases.place(each, 1)
    server.reload(bases.config(name, hidden, left))
    moved = bases.path(hidden).rename(bases.root / "moved")
    bases.place(name, 2)
    text = f"Could not find base path {bases.path(hidden)} for servable {hidden}"
    eventually(lambda: text in server.log.read_text(), "the failed look")
    server.reload(bases.config(name, hidden))
    eventually(lambda: server.states(left) == {1: END}, "what left the list")
    assert server.states(name) == {1: AVAILABLE}
    assert server.scale(hidden) == 1
    moved.rename(bases.path(hidden))
    eventually(lambda: server.states(name) == {2: AVAILABLE, 1: END}, "version 2 after all")


def test_a_half_copied_version_loads_and_then_fails_its_predictions(server: RunningServer, bases: Bases) -> None:
    """Without an index of variables there is nothing to restore. Hence the proof by a prediction."""
    name = bases.name("m")
    variables = bases.copy(name, 1) / "variables"
    for file in variables.iterdir():
        file.unlink()
    variables.rmdir()
    server.reload(bases.config(name))
    assert server.states(name) == {1: AVAILABLE}
    with pytest.raises(grpc.RpcError) as error:
        server.scale(name)
    assert error.value.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND)


def test_a_file_whose_name_is_a_number_is_a_version_that_fails(server: RunningServer, bases: Bases) -> None:
    """The old one serves on."""
    name = bases.name("m")
    bases.place(name, 1)
    server.reload(bases.config(name))
    (bases.path(name) / "7").write_text("notes")
    eventually(lambda: server.states(name) == {7: END, 1: AVAILABLE}, "the file failed")
    assert server.scale(name) == 1


def test_with_zero_seconds_the_disk_is_looked_at_once(start: Start, bases: Bases) -> None:
    """Models added later never load, and their reload hangs; those that leave leave."""
    name, later = bases.name("m"), bases.name("later")
    bases.place(name, 1)
    bases.place(later, 1)
    server = start(*FAST[:2], "--file_system_poll_wait_seconds=0", models=bases.config(name))
    bases.place(name, 2)
    assert server.refuses(bases.config(name, later), timeout=1.5)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    assert server.states(name) == {1: AVAILABLE}
    assert server.states(later) == {}


@pytest.mark.parametrize("seconds", [1, -1])
def test_a_start_waits_for_a_version_and_with_negative_seconds_for_ever(
    start: Start, bases: Bases, seconds: int
) -> None:
    """No port is open until then; SIGTERM ends the wait."""
    name = bases.name("m")
    bases.path(name).mkdir()
    server = start(*FAST[:2], f"--file_system_poll_wait_seconds={seconds}", models=bases.config(name), ready=False)
    if seconds > 0:
        eventually(lambda: "No versions of servable" in server.log.read_text(), "the server waits")
        assert not server.open()
        bases.place(name, 3)
        assert server.wait_until_ready().scale(name) == 3
        return
    eventually(lambda: "Adding/updating models." in server.log.read_text(), "the server waits")
    bases.place(name, 3)
    with pytest.raises(AssertionError, match="not within"):
        eventually(server.open, "no port", 2.0)
    server.process.terminate()
    assert server.process.wait(timeout=100) in (0, -15)


def test_the_config_file_is_polled_whole_and_reverts_a_reload(start: Start, bases: Bases) -> None:
    """Each poll applies it, changed or not; one that does not parse, or is of another kind, changes nothing."""
    name, pushed = bases.name("m"), bases.name("pushed")
    bases.place(name, 3)
    bases.place(pushed, 1)
    server = start(*FAST, "--model_config_file_poll_wait_seconds=1", models="model_config_list {}")
    file = server.log.parent / "models.config"
    file.write_text(bases.config(name))
    eventually(lambda: server.states(name) == {3: AVAILABLE}, "the file's model")
    server.reload(bases.config(pushed))
    eventually(lambda: server.states(name) == {3: AVAILABLE} and server.states(pushed) == {1: END}, "reverted")
    for text, said in (
        ("model_config_list { oops", "Failed to read ModelServerConfig file: Invalid protobuf file: "),
        ("custom_model_config {}", "It is only legal to transition from one ModelConfigList to another."),
    ):
        file.write_text(text)
        eventually(lambda said=said: said in server.log.read_text(), said)
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in server.log.read_text()
    assert server.scale(name) == 3


def test_a_config_file_without_a_config_starts_a_server_that_takes_its_first_list_by_reload(
    start: Start, bases: Bases
) -> None:
    """No kind of config at all is not an empty list. A file of no bytes, on the other hand, does not start."""
    name = bases.name("m")
    bases.place(name, 2)
    server = start(*FAST, models="# nothing yet")
    server.reload(bases.config(name))
    assert server.scale(name) == 2
