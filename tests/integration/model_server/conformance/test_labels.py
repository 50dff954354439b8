"""Labels: what they may name, and when."""

import grpc
import pytest

from tests.integration.model_server.bases import Bases, labels, specific
from tests.integration.model_server.conftest import Start
from tests.integration.model_server.running import FAST, RunningServer, eventually

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]


def unavailable(name: str, version: int) -> tuple[grpc.StatusCode, str]:
    """The refusal of a label."""
    return (
        grpc.StatusCode.FAILED_PRECONDITION,
        f"Request to assign label to version {version} of model {name}, which is not currently available for inference",
    )


def test_a_label_names_an_available_version_and_moves_in_two_reloads(server: RunningServer, bases: Bases) -> None:
    """Load, then label. A refused one changes no label."""
    name = bases.name("m")
    bases.place(name, 1, 2, 3)
    server.reload(bases.config(name, m=specific(1)))
    server.reload(bases.config(name, m=specific(1) + labels(stable=1)))
    assert server.scale(name, label="stable") == 1
    assert server.refuses(bases.config(name, m=specific(1, 2) + labels(stable=2))) == unavailable(name, 2)
    assert server.scale(name, label="stable") == 1
    server.reload(bases.config(name, m=specific(1, 2) + labels(stable=1)))
    eventually(lambda: server.states(name).get(2) == "AVAILABLE", "version 2")
    server.reload(bases.config(name, m=specific(1, 2) + labels(stable=2, old=1)))
    assert (server.scale(name, label="stable"), server.scale(name, label="old")) == (2, 1)
    assert server.post(f"{name}/labels/old:predict", {"instances": [1.0]}).json == {"predictions": [1.0]}
    server.reload(bases.config(name, m=specific(1, 2) + labels(stable=2)))
    with pytest.raises(grpc.RpcError, match="Unrecognized servable version label: old"):
        server.scale(name, label="old")


def test_labels_are_checked_before_anything_is_loaded(server: RunningServer, bases: Bases) -> None:
    """So a label cannot come in one reload with its version, and what else that reload brought is not loaded either."""
    name, other = bases.name("m"), bases.name("other")
    bases.place(name, 1)
    bases.place(other, 1)
    assert server.refuses(bases.config(other, name, m=labels(stable=1))) == unavailable(name, 1)
    assert server.states(name) == server.states(other) == {}
    server.reload(bases.config(other, name))
    server.reload(bases.config(other, name, m=labels(stable=1)))
    assert server.scale(name, label="stable") == 1


def test_a_label_outlives_its_version_and_a_version_that_ended_takes_none(server: RunningServer, bases: Bases) -> None:
    """Then the label's version is not found, by its number."""
    name = bases.name("m")
    bases.place(name, 1, 2)
    server.reload(bases.config(name, m=specific(1, 2)))
    eventually(lambda: server.states(name) == {2: "AVAILABLE", 1: "AVAILABLE"}, "both")
    server.reload(bases.config(name, m=specific(2) + labels(old=1)))
    eventually(lambda: server.states(name) == {2: "AVAILABLE", 1: "END"}, "version 1 unloaded")
    with pytest.raises(grpc.RpcError) as error:
        server.scale(name, label="old")
    assert error.value.details() == f"Servable not found for request: Specific({name}, 1)"
    assert server.refuses(bases.config(name, m=specific(2) + labels(old=1))) == unavailable(name, 1)


def test_with_its_flag_an_unused_or_unchanged_label_names_any_version_and_a_used_one_does_not_move(
    lenient: RunningServer, bases: Bases
) -> None:
    """Moving it to what is available is allowed, with the flag too."""
    name = bases.name("m")
    bases.place(name, 1, 2)
    text = bases.config(name, m=specific(1) + labels(stable=1, later=2))
    lenient.reload(text)
    assert lenient.scale(name, label="stable") == 1
    lenient.reload(text)
    assert lenient.refuses(bases.config(name, m=specific(1) + labels(stable=2, later=2))) == unavailable(name, 2)
    assert lenient.scale(name, label="stable") == 1
    lenient.reload(bases.config(name, m=specific(1, 2) + labels(stable=1, later=2)))
    eventually(lambda: lenient.states(name).get(2) == "AVAILABLE", "version 2")
    assert lenient.scale(name, label="later") == 2
    lenient.reload(bases.config(name, m=specific(1, 2) + labels(stable=2)))
    assert lenient.scale(name, label="stable") == 2


def test_without_its_flag_a_file_with_labels_does_not_start(start: Start, bases: Bases) -> None:
    """Nothing is available before the start; the process ends. Hence the flag."""
    name = bases.name("m")
    bases.place(name, 1)
    text = bases.config(name, m=labels(stable=1))
    refused = start(*FAST, models=text, ready=False)
    assert refused.process.wait(timeout=60) == 255
    assert unavailable(name, 1)[1] in refused.log.read_text()
    assert start(*FAST, "--allow_version_labels_for_unavailable_models", models=text).scale(name, label="stable") == 1
