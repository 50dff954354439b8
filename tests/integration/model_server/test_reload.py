"""Reload, versions on disk, labels: what the deployer relies on, on a real server process."""

import shutil
import threading
import time
from pathlib import Path

import grpc
import pytest

from tests.integration.model_server.conftest import Start
from tests.integration.model_server.running import RunningServer, config, eventually, reload_request

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

FAST = ("--num_load_threads=2", "--max_num_load_retries=0", "--file_system_poll_wait_seconds=1")
ALL = "model_version_policy { all {} }"


def specific(*versions: int) -> str:
    """A policy that names versions."""
    return f"model_version_policy {{ specific {{ {' '.join(f'versions: {each}' for each in versions)} }} }}"


def labels(**versions: int) -> str:
    """Labels of an entry."""
    return " ".join(f'version_labels {{ key: "{key}" value: {value} }}' for key, value in versions.items())


@pytest.fixture
def base(saved_models: Path, tmp_path: Path) -> Path:
    """A base path of the test's own with version 1 of the model `scale`."""
    place(saved_models, tmp_path / "scale", 1)
    return tmp_path / "scale"


def place(saved_models: Path, base: Path, version: int) -> None:
    """Put a version of `scale` under a base path, whole at once."""
    base.mkdir(exist_ok=True)
    staged = base.parent / f"staged-{version}"
    shutil.copytree(saved_models / "scale" / str(version), staged)
    staged.rename(base / str(version))


def refused(server: RunningServer, text: str) -> tuple[grpc.StatusCode, str]:
    """Reload, expecting a refusal."""
    with pytest.raises(grpc.RpcError) as error:
        server.reload(text)
    return error.value.code(), error.value.details()


def test_an_empty_list_starts_at_once_and_takes_models_later(start: Start, saved_models: Path) -> None:
    """A reload returns when the models that are new by name serve; models left out are unloaded."""
    server = start(*FAST, models="model_config_list {}")
    server.reload(config({"scale": saved_models / "scale", "words": saved_models / "words"}))
    assert server.scale() == 3
    assert server.states("words") == {1: "AVAILABLE"}
    server.reload(config({"scale": saved_models / "scale"}))
    eventually(lambda: server.states("words") == {1: "END"}, "words unloaded")
    assert server.scale() == 3
    server.reload("model_config_list {}")
    eventually(lambda: server.states("scale") == {3: "END"}, "scale unloaded")
    with pytest.raises(grpc.RpcError, match=r"Servable not found for request: Latest\(scale\)"):
        server.scale()


def test_a_model_that_comes_back_is_loaded_again(start: Start, saved_models: Path) -> None:
    """Its name is new then, whatever its versions went through before."""
    text = config({"scale": saved_models / "scale"})
    server = start(*FAST, models=text)
    for _ in range(3):
        server.reload("model_config_list {}")
        server.reload(text)
        assert server.scale() == 3


def test_a_new_version_replaces_the_old_one_without_a_gap(start: Start, saved_models: Path, base: Path) -> None:
    """While it loads and flips, every request is answered, by the one or the other."""
    server = start(*FAST, models=config({"scale": base}))
    seen: list[float] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            seen.append(server.scale())

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    place(saved_models, base, 2)
    eventually(lambda: server.states("scale") == {2: "AVAILABLE", 1: "END"}, "flip to version 2")
    stop.set()
    for thread in asking:
        thread.join()
    assert set(seen) == {1.0, 2.0}


def test_a_version_that_fails_leaves_the_old_one_serving(start: Start, base: Path) -> None:
    """Its status says END with the reason; it is not tried again; the siblings never notice."""
    server = start(*FAST, models=config({"scale": base}))
    (base / "2").mkdir()
    eventually(lambda: server.states("scale").get(2) == "END", "version 2 failed")
    status = server.get("/scale/versions/2").json["model_version_status"][0]
    assert status["status"]["error_code"] == "NOT_FOUND"
    assert (
        f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {base}/2"
        in (status["status"]["error_message"])
    )
    assert server.scale() == 1
    assert server.states("scale") == {2: "END", 1: "AVAILABLE"}


@pytest.mark.parametrize("damage", ["cut", "garbage", "no checkpoint data"])
def test_a_damaged_model_fails_its_reload_and_nothing_else(
    start: Start, saved_models: Path, base: Path, damage: str
) -> None:
    """UNKNOWN with the official text naming model and version; the reload's other models serve; a second try says OK."""
    graph = base / "1" / "saved_model.pb"
    if damage == "cut":
        graph.write_bytes(graph.read_bytes()[:1000])
    elif damage == "garbage":
        graph.write_bytes(b"\xff" * 100)
    else:
        (base / "1" / "variables" / "variables.data-00000-of-00001").unlink()
    server = start(*FAST, models="model_config_list {}")
    text = config({"bad": base, "scale": saved_models / "scale"})
    code, details = refused(server, text)
    assert code is grpc.StatusCode.UNKNOWN
    assert details.startswith("1 model(s) did not become available: {{{name: bad version: 1} due to error: ")
    assert server.scale() == 3
    server.reload(text)  # the name is no longer new: official servers say OK as well
    assert server.states("bad") == {1: "END"}


def test_a_half_copied_version_loads_and_then_fails_its_predictions(start: Start, base: Path) -> None:
    """As officially: without an index of variables there is nothing to restore. Hence the proof by a prediction."""
    shutil.rmtree(base / "1" / "variables")
    server = start(*FAST, models=config({"scale": base}))
    assert server.states("scale") == {1: "AVAILABLE"}
    with pytest.raises(grpc.RpcError) as error:
        server.scale()
    assert error.value.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND)


def test_specific_versions_are_served_and_only_those(start: Start, saved_models: Path) -> None:
    """Two at once, then one: the other is unloaded. One that is missing on disk is left out."""
    path = saved_models / "scale"
    server = start(*FAST, models=config({"scale": path}, scale=specific(1, 3)))
    eventually(lambda: server.states("scale") == {3: "AVAILABLE", 1: "AVAILABLE"}, "versions 1 and 3")
    assert (server.scale(version=1), server.scale(version=3), server.scale()) == (1, 3, 3)
    server.reload(config({"scale": path}, scale=specific(1, 9)))
    eventually(lambda: server.states("scale") == {3: "END", 1: "AVAILABLE"}, "version 3 unloaded")
    assert server.scale() == 1


def test_a_known_name_s_new_version_is_not_waited_for_but_starts_at_once(start: Start, saved_models: Path) -> None:
    """OK at once; the version loads without waiting for the next look at the disk."""
    path = saved_models / "scale"
    server = start(*FAST[:2], "--file_system_poll_wait_seconds=3600", models=config({"scale": path}, scale=specific(1)))
    server.reload(config({"scale": path}, scale=specific(1, 2)))
    eventually(lambda: server.states("scale").get(2) == "AVAILABLE", "version 2")
    assert server.scale(version=1) == 1


def test_labels_name_available_versions_only_and_move_in_two_reloads(start: Start, saved_models: Path) -> None:
    """Load, then label; a refused label changes no label."""
    path = saved_models / "scale"
    server = start(*FAST, models=config({"scale": path}, scale=specific(1)))
    server.reload(config({"scale": path}, scale=f"{specific(1)} {labels(stable=1)}"))
    assert server.scale(label="stable") == 1
    code, details = refused(server, config({"scale": path}, scale=f"{specific(1)} {labels(stable=3)}"))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert details == (
        "Request to assign label to version 3 of model scale, which is not currently available for inference"
    )
    assert server.scale(label="stable") == 1
    server.reload(config({"scale": path}, scale=f"{specific(1, 2)} {labels(stable=1)}"))
    eventually(lambda: server.states("scale").get(2) == "AVAILABLE", "version 2")
    server.reload(config({"scale": path}, scale=f"{specific(1, 2)} {labels(stable=2, old=1)}"))
    assert (server.scale(label="stable"), server.scale(label="old")) == (2, 1)
    server.reload(config({"scale": path}, scale=f"{specific(1, 2)} {labels(stable=2)}"))
    with pytest.raises(grpc.RpcError, match="Unrecognized servable version label: old"):
        server.scale(label="old")


def test_with_its_flag_an_unused_label_may_come_first_but_a_used_one_may_not_move(
    start: Start, saved_models: Path
) -> None:
    """`--allow_version_labels_for_unavailable_models` is needed to start with labels in the file."""
    path = saved_models / "scale"
    flag = "--allow_version_labels_for_unavailable_models=true"
    server = start(*FAST, flag, models=config({"scale": path}, scale=f"{specific(1)} {labels(stable=1, next=2)}"))
    assert server.scale(label="stable") == 1
    code, _ = refused(server, config({"scale": path}, scale=f"{specific(1)} {labels(stable=3)}"))
    assert code is grpc.StatusCode.FAILED_PRECONDITION


REFUSALS = {
    "twice": (
        config({"m": "/a"}).removesuffix("}\n") + config({"m": "/b"}).removeprefix("model_config_list {"),
        grpc.StatusCode.INVALID_ARGUMENT,
        "Illegal to list model m multiple times in config list",
    ),
    "relative": (
        'model_config_list { config { name: "m" base_path: "a/b" model_platform: "tensorflow" } }',
        grpc.StatusCode.INVALID_ARGUMENT,
        "Expected model m to have an absolute path or URI; got base_path()=a/b",
    ),
    "no list": ("", grpc.StatusCode.INVALID_ARGUMENT, "Only ModelConfigList is currently supported"),
    "no platform": (
        'model_config_list { config { name: "m" base_path: "/a" } }',
        grpc.StatusCode.INVALID_ARGUMENT,
        "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform.",
    ),
    "other platform": (
        'model_config_list { config { name: "scale" base_path: "/a" model_platform: "caffe" } }',
        grpc.StatusCode.INVALID_ARGUMENT,
        "For model scale platform was tensorflow and new platform requested is caffe",
    ),
}


def test_a_list_that_cannot_be_is_refused_and_changes_nothing(start: Start, saved_models: Path) -> None:
    """Each with the official code and text; what served goes on."""
    server = start(*FAST, models=config({"scale": saved_models / "scale"}))
    for text, code, details in REFUSALS.values():
        found = refused(server, text)
        assert found[0] is code
        assert details in found[1]
        assert server.scale() == 3


def test_a_reload_that_waits_holds_the_next_one_back_and_predictions_go_on(
    start: Start, saved_models: Path, base: Path
) -> None:
    """A base path that is not there: the reload waits without limit, the client's deadline does not free it.

    One that waits behind it and whose client gives up is dropped. When the path appears, all resolves.
    """
    server = start(*FAST, models=config({"scale": saved_models / "scale"}))
    missing = base.parent / "late"
    text = config({"scale": saved_models / "scale", "late": missing})
    for each in (text, config({"words": saved_models / "words"})):
        with pytest.raises(grpc.RpcError) as error:
            server.reload(each, timeout=1)
        assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert server.scale() == 3
    place(saved_models, missing, 2)
    eventually(lambda: server.states("late") == {2: "AVAILABLE"}, "the late model")
    server.reload(text)
    assert server.scale() == 3
    assert server.states("words") == {}


def test_one_missing_base_path_stalls_the_others_until_it_is_there(
    start: Start, saved_models: Path, base: Path
) -> None:
    """As officially: one look covers all models and ends at the first path that cannot be listed."""
    server = start(*FAST, models=config({"scale": base}))
    hidden = base.parent / "hidden"
    place(saved_models, hidden, 1)
    server.reload(config({"scale": base, "hidden": hidden}))
    moved = hidden.rename(base.parent / "moved")
    place(saved_models, base, 2)
    eventually(lambda: "Could not find base path" in server.log.read_text(), "the failed look")
    assert server.states("scale") == {1: "AVAILABLE"}
    moved.rename(hidden)
    eventually(lambda: server.states("scale") == {2: "AVAILABLE", 1: "END"}, "version 2 after all")


def test_an_existing_but_empty_base_path_unloads_the_model(start: Start, base: Path) -> None:
    """No version wanted, none served."""
    server = start(*FAST, models=config({"scale": base}))
    (base / "1").rename(base.parent / "gone")
    eventually(lambda: server.states("scale") == {1: "END"}, "version 1 unloaded")


def test_the_config_file_is_polled_and_reverts_a_reload(start: Start, saved_models: Path) -> None:
    """Each poll applies the file whole, changed or not; a file that does not parse changes nothing."""
    server = start(*FAST, "--model_config_file_poll_wait_seconds=1", models="model_config_list {}")
    file = server.log.parent / "models.config"
    file.write_text(config({"scale": saved_models / "scale"}))
    eventually(lambda: server.states("scale") == {3: "AVAILABLE"}, "scale from the file")
    server.reload(config({"words": saved_models / "words"}))
    eventually(lambda: server.states("scale") == {3: "AVAILABLE"} and server.states("words") == {1: "END"}, "reverted")
    file.write_text("model_config_list { oops")
    eventually(lambda: "Error parsing text-format" in server.log.read_text(), "the parse error in the log")
    assert server.scale() == 3


def test_retries_of_a_failed_load_end_when_the_version_is_no_longer_wanted(start: Start, base: Path) -> None:
    """With a minute between tries the server still lets go at once."""
    (base / "1" / "saved_model.pb").unlink()
    server = start("--num_load_threads=1", "--max_num_load_retries=5", models="model_config_list {}")
    waiting = server.models.HandleReloadConfigRequest.future(reload_request(config({"bad": base})), timeout=60)
    eventually(lambda: "Loading servable: {name: bad version: 1} failed" in server.log.read_text(), "a first failure")
    assert server.states("bad") == {1: "LOADING"}
    began = time.monotonic()
    (base / "1").rename(base.parent / "away")
    with pytest.raises(grpc.RpcError) as error:
        waiting.result()
    assert error.value.code() is grpc.StatusCode.UNKNOWN
    assert time.monotonic() - began < 30


def test_warm_up_that_fails_fails_the_load_and_can_be_switched_off(start: Start, saved_models: Path) -> None:
    """A warm-up request for a signature that is not there ends the version in error."""
    server = start(*FAST, models="model_config_list {}")
    code, details = refused(server, config({"cold": saved_models / "cold"}))
    assert code is grpc.StatusCode.UNKNOWN
    assert 'Serving signature key "no_such_signature" not found.' in details
    unwarmed = start(*FAST, "--enable_model_warmup=false", models=config({"cold": saved_models / "cold"}))
    assert unwarmed.scale("cold") == 1
