"""HandleReloadConfigRequest: whole replacement, what is waited for, refusals and what they leave behind."""

import grpc
import pytest

from tests.integration.model_server.bases import Bases
from tests.integration.model_server.conftest import Start
from tests.integration.model_server.running import FAST, RunningServer, config, eventually, reload_request

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

EMPTY = "model_config_list {}"


def test_the_whole_list_is_replaced_and_what_is_left_out_unloads(server: RunningServer, bases: Bases) -> None:
    """The call waits for the models that are new by name, not for those that go."""
    kept, gone = bases.name("kept"), bases.name("gone")
    bases.place(kept, 1, 3)
    bases.place(gone, 2)
    server.reload(bases.config(kept, gone))
    assert (server.scale(kept), server.scale(gone)) == (3, 2)
    server.reload(bases.config(kept))
    eventually(lambda: server.states(gone) == {2: "END"}, "the other unloaded")
    assert server.scale(kept) == 3
    server.reload(EMPTY)
    eventually(lambda: server.states(kept) == {3: "END"}, "all unloaded")
    with pytest.raises(grpc.RpcError, match=rf"Servable not found for request: Latest\({kept}\)"):
        server.scale(kept)
    server.reload(bases.config(kept))
    assert server.scale(kept) == 3


def test_a_known_name_s_new_version_or_path_is_not_waited_for(server: RunningServer, bases: Bases) -> None:
    """OK at once, for what cannot be loaded too; and what serves by the old path is not loaded again from the new."""
    name = bases.name("known")
    bases.place(name, 1)
    server.reload(bases.config(name))
    bases.spoil(name, 2)
    server.reload(bases.config(name))
    eventually(lambda: server.states(name).get(2) == "END", "version 2 failed after the OK")
    elsewhere = bases.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1").symlink_to(bases.saved_models / "scale" / "3")
    server.reload(config({name: elsewhere}))
    assert server.scale(name) == 1
    assert server.states(name) == {2: "END", 1: "AVAILABLE"}


def test_failed_models_are_counted_and_named_and_the_siblings_stay(server: RunningServer, bases: Bases) -> None:
    """UNKNOWN, each with its version and why; sent again the same list is OK, for the names are known by then."""
    bad, worse, good = bases.name("bad"), bases.name("worse"), bases.name("good")
    bases.spoil(bad, 1)
    bases.copy(worse, 2).joinpath("saved_model.pb").write_bytes(b"\xff" * 100)
    bases.place(good, 1)
    text = bases.config(bad, worse, good)
    code, details = server.refuses(text)
    assert code is grpc.StatusCode.UNKNOWN
    assert details.startswith(
        f"2 model(s) did not become available: {{{{{{name: {bad} version: 1}} due to error: NOT_FOUND: "
    )
    assert f"}}, {{{{name: {worse} version: 2}} due to error: " in details
    assert details.endswith("}, }")
    assert server.scale(good) == 1
    server.reload(text)
    assert server.states(bad) == {1: "END"}


REFUSALS = {
    "a name twice": (
        (
            'model_config_list { config { name: "m" base_path: "/a" model_platform: "tensorflow" } '
            'config { name: "m" base_path: "/b" model_platform: "tensorflow" } }'
        ),
        grpc.StatusCode.INVALID_ARGUMENT,
        "Illegal to list model m multiple times in config list",
    ),
    "a relative path": (
        'model_config_list { config { name: "m" base_path: "a/b" model_platform: "tensorflow" } }',
        grpc.StatusCode.INVALID_ARGUMENT,
        "Expected model m to have an absolute path or URI; got base_path()=a/b",
    ),
    "no list": (
        "",
        grpc.StatusCode.INVALID_ARGUMENT,
        "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported",
    ),
    "another kind of config": (
        "custom_model_config {}",
        grpc.StatusCode.INVALID_ARGUMENT,
        "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported",
    ),
    "a changed platform": (
        'model_config_list { config { name: "NAME" base_path: "/a" model_platform: "caffe" } }',
        grpc.StatusCode.INVALID_ARGUMENT,
        "Illegal to change a model's platform. For model NAME platform was tensorflow and new platform requested is caffe",
    ),
    "an unknown platform": (
        'model_config_list { config { name: "caffe" base_path: "/a" model_platform: "caffe" } }',
        grpc.StatusCode.INVALID_ARGUMENT,
        "Model caffe requests unsupported platform caffe",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_list_that_cannot_be_is_refused_and_what_serves_goes_on(
    server: RunningServer, bases: Bases, case: str
) -> None:
    """Each with the official code and text."""
    name = bases.name("serving")
    bases.place(name, 1)
    server.reload(bases.config(name))
    text, code, details = REFUSALS[case]
    assert server.refuses(text.replace("NAME", name)) == (code, details.replace("NAME", name))
    assert server.scale(name) == 1


def test_a_list_without_a_platform_refuses_every_later_one(start: Start, bases: Bases) -> None:
    """It was stored before it was refused, and is what each later list is compared with."""
    name = bases.name("serving")
    bases.place(name, 1)
    server = start(*FAST, models=bases.config(name))
    neither = (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform.",
    )
    assert server.refuses('model_config_list { config { name: "m" base_path: "/a" } }') == neither
    assert server.refuses(bases.config(name)) == neither
    assert server.scale(name) == 1


def test_a_logging_config_is_refused_after_its_model_was_loaded(server: RunningServer, bases: Bases) -> None:
    """The stock binary has no request logger; no rollback."""
    name = bases.name("logged")
    bases.place(name, 1)
    refused = server.refuses(bases.config(name, logged="logging_config { sampling_config { sampling_rate: 1 } }"))
    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "No request-logger-creator provided.")
    assert server.scale(name) == 1


def test_a_reload_that_waits_holds_the_next_one_back_and_predictions_go_on(start: Start, bases: Bases) -> None:
    """A base path that is not there: no limit, and the client's deadline frees nothing. When it appears, all resolves."""
    name, late = bases.name("serving"), bases.name("late")
    bases.place(name, 1)
    server = start(*FAST, models=bases.config(name))
    for text in (bases.config(name, late), bases.config(name)):
        assert server.refuses(text, timeout=1.0)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
        assert server.scale(name) == 1
    bases.place(late, 2)
    eventually(lambda: 2 in server.states(late), "the late model")
    server.reload(bases.config(name, late), timeout=60)
    assert server.scale(name) == 1


def test_a_reload_tells_how_far_the_metrics_it_names_rose(server: RunningServer, bases: Bases) -> None:
    """By TensorFlow's paths; 0 for what is no counter, or nothing at all."""
    name = bases.name("counted")
    bases.place(name, 1)
    request = reload_request(bases.config(name))
    request.metric_names.extend(["/tensorflow/serving/request_latency", "/no/such/metric"])
    answer = server.models.HandleReloadConfigRequest(request, timeout=100)
    assert answer.status.error_code == 0
    assert {each.name: each.int64_value_increase for each in answer.metric} == {
        "/tensorflow/serving/request_latency": 0,
        "/no/such/metric": 0,
    }


def test_a_burst_of_reloads_ends_with_the_last_list(server: RunningServer, bases: Bases) -> None:
    """One at a time, in the order in which they came."""
    names = [bases.name(f"burst{number}") for number in range(4)]
    for name in names:
        bases.place(name, 1)
    for count in (1, 4, 2, 3):
        server.reload(bases.config(*names[:count]))
    assert [bool(server.states(name)) for name in names] == [True] * 4
    eventually(lambda: server.states(names[3]) == {1: "END"}, "the one that is in no list any more")
    assert [server.scale(name) for name in names[:3]] == [1, 1, 1]
