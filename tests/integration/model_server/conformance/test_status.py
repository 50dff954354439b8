"""GetModelStatus by gRPC and REST, and the refusals of a request for what is not there."""

from typing import Any

import grpc
import numpy as np
import pytest

from tests.integration.model_server.bases import ALL, Bases
from tests.integration.model_server.running import RunningServer, eventually

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

OK = {"error_code": "OK", "error_message": ""}


def test_versions_come_newest_first_and_a_label_is_not_looked_at(server: RunningServer, bases: Bases) -> None:
    """The same by both APIs; one version where it is named by its number."""
    name = bases.name("status")
    bases.place(name, 1, 3, 2)
    server.reload(bases.config(name, status=ALL))
    eventually(lambda: set(server.states(name).values()) == {"AVAILABLE"}, "all three")
    for spec in ({"name": name}, {"name": name, "version_label": "none such"}):
        found = server.status(**spec).model_version_status
        assert [(each.version, each.state, each.status.error_code) for each in found] == [
            (3, 30, 0),
            (2, 30, 0),
            (1, 30, 0),
        ]
    assert [each.version for each in server.status(name=name, version=2).model_version_status] == [2]
    assert server.get(f"/{name}/versions/2").json == {
        "model_version_status": [{"version": "2", "state": "AVAILABLE", "status": OK}]
    }
    for path in (f"/{name}", f"/{name}/labels/none-such"):
        assert [each["version"] for each in server.get(path).json["model_version_status"]] == ["3", "2", "1"]


def test_versions_that_ended_are_told_for_ever(server: RunningServer, bases: Bases) -> None:
    """OK where they were unloaded; the reason where they failed."""
    name = bases.name("ended")
    bases.place(name, 1)
    server.reload(bases.config(name))
    bases.spoil(name, 2)
    eventually(lambda: server.states(name) == {2: "END", 1: "AVAILABLE"}, "version 2 failed")
    server.reload("model_config_list {}")
    eventually(lambda: server.states(name) == {2: "END", 1: "END"}, "version 1 unloaded")
    failed, unloaded = server.get(f"/{name}").json["model_version_status"]
    assert unloaded == {"version": "1", "state": "END", "status": OK}
    assert failed["status"]["error_code"] == "NOT_FOUND"
    assert failed["status"]["error_message"].startswith(
        f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {bases.path(name)}/2"
    )
    with pytest.raises(grpc.RpcError) as error:
        server.scale(name)
    assert error.value.details() == f"Servable not found for request: Latest({name})"


MISSING: dict[str, tuple[dict[str, Any], grpc.StatusCode, str]] = {
    "no ModelSpec": ({}, grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec"),
    "an unknown model": (
        {"name": "nobody"},
        grpc.StatusCode.NOT_FOUND,
        "Could not find any versions of model nobody",
    ),
    "an unknown model's version": (
        {"name": "nobody", "version": 7},
        grpc.StatusCode.NOT_FOUND,
        "Could not find version 7 of model nobody",
    ),
    "no name": ({"name": ""}, grpc.StatusCode.NOT_FOUND, "Could not find any versions of model "),
}


@pytest.mark.parametrize("case", MISSING)
def test_the_status_of_what_is_not_there_is_refused(server: RunningServer, case: str) -> None:
    """In the official words."""
    spec, code, details = MISSING[case]
    with pytest.raises(grpc.RpcError) as error:
        server.status(**spec)
    assert (error.value.code(), error.value.details()) == (code, details)


REFUSED: dict[str, tuple[dict[str, Any], grpc.StatusCode, str]] = {
    "an unknown model": (
        {"model": "nobody"},
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(nobody)",
    ),
    "an unknown version": (
        {"version": 9},
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Specific(NAME, 9)",
    ),
    "an unknown label": (
        {"label": "l"},
        grpc.StatusCode.INVALID_ARGUMENT,
        "Unrecognized servable version label: l",
    ),
    "an unknown signature": (
        {"signature": "s"},
        grpc.StatusCode.FAILED_PRECONDITION,
        'Serving signature key "s" not found.',
    ),
    "no name": ({"model": ""}, grpc.StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_prediction_by_what_is_not_there_is_refused(server: RunningServer, bases: Bases, case: str) -> None:
    """In the official words, and the next request is answered; the answer says which version gave it."""
    name = bases.name("asked")
    bases.place(name, 2)
    server.reload(bases.config(name))
    spec, code, details = REFUSED[case]
    with pytest.raises(grpc.RpcError) as error:
        server.scale(**{"model": name, **spec})
    assert (error.value.code(), error.value.details()) == (code, details.replace("NAME", name))
    answer = server.predict(name, {"x": np.array([1.0], np.float32)})
    assert (answer.model_spec.name, answer.model_spec.version.value) == (name, 2)
    assert answer.model_spec.signature_name == "serving_default"
    assert list(answer.outputs["y"].float_val) == [2.0]
    assert not answer.outputs["y"].tensor_content
