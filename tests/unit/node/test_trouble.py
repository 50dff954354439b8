"""What a node does when its server, its store or its disk fails."""

from __future__ import annotations

from roost.contracts.acks import VersionState
from tests.unit.node.world import Node

UA = "ua.default"
AA = "aa.default"


def serving(node: Node, *versions: int) -> None:
    node.put(UA, *versions)
    node.put(AA, 1)
    node.desire({UA: ([versions[0]], {"stable": versions[0]}), AA: ([1], {"stable": 1})})
    node.settle()


def test_a_crashed_server_is_replaced_and_proved_again_before_the_node_is_ready(node: Node):
    serving(node, 1)
    flipped = node.state.model(UA).flipped_at
    node.server.crash()
    node.engine.step()
    assert not node.state.ready
    assert not node.state.settled
    state = node.settle()
    assert state.serves(UA, 1)
    assert state.restarts == 1
    assert state.model(UA).flipped_at == flipped  # it never moved
    assert node.server.given[-1]


def test_a_server_is_started_on_what_was_last_proved_with_its_labels(node: Node):
    serving(node, 1)
    node.server.crash()
    node.step(2)
    boots = [given for given in node.server.given if given and given[0].labels]
    assert {entry.name: dict(entry.labels) for entry in boots[-1]} == {UA: {"stable": 1}, AA: {"stable": 1}}


def test_a_reload_that_hangs_has_the_server_replaced(node: Node):
    serving(node, 1, 2)
    node.server.faults.hangs = 1
    node.desire({UA: ([1, 2], {"stable": 1}), AA: ([1], {"stable": 1})})
    node.step(2)
    assert not node.state.ready
    assert "wedged: the reload did not return within 60 s" in node.state.error
    state = node.settle()
    assert state.restarts == 1
    assert state.serves(UA, 1)
    assert "hung while this version was loading" in node.version(UA, 2).error


def test_a_version_that_kills_the_server_is_found_and_left_out(node: Node):
    serving(node, 1, 2)
    node.put(AA, 2)
    node.server.faults.crashes_on.add((UA, 2))
    node.desire({UA: ([1, 2], {"stable": 2}), AA: ([1, 2], {"stable": 2})})
    state = node.settle()
    assert state.serves(AA, 2)
    assert state.serves(UA, 1)
    assert "died while this version was loading" in node.version(UA, 2).error
    assert state.restarts == 2  # once with both, once with the guilty one alone


def test_a_boot_that_fails_is_followed_by_one_on_nothing(node: Node):
    serving(node, 1)
    node.server.faults.dies_at_boot = True
    node.server.crash()
    state = node.settle()
    assert state.serves(UA, 1)
    assert state.serves(AA, 1)


def test_a_restarted_node_starts_its_server_on_what_it_had(node: Node):
    serving(node, 1)
    node.server.given.clear()
    node.restart()
    node.look()
    node.settle()
    assert {entry.name for entry in node.server.given[0]} == {UA, AA}
    assert node.state.restarts == 0


def test_a_restarted_node_serves_from_its_disk_while_the_store_is_down(node: Node):
    serving(node, 1)
    node.store.outage = "503"
    node.restart()
    node.look()
    state = node.settle()
    assert state.serves(UA, 1)
    assert state.error == "the object store is down: 503"
    node.store.outage = None
    node.look()
    node.step()
    assert node.state.error is None


def test_a_new_node_without_the_store_is_not_ready(node: Node):
    node.put(UA, 1)
    node.desire({UA: ([1], {"stable": 1})})
    node.store.outage = "503"
    node.quiet(30)
    assert not node.state.ready
    assert node.version(UA, 1).error == "503"
    node.store.outage = None
    assert node.settle().serves(UA, 1)


def test_a_node_that_never_saw_the_desired_state_is_not_ready_while_the_store_is_down(node: Node):
    node.store.outage = "503"
    node.look()
    node.quiet(30)
    assert not node.state.ready
    assert not node.state.settled
    node.store.outage = None
    node.look()
    assert node.settle().converged


def test_an_older_generation_is_refused_also_after_a_restart(node: Node):
    serving(node, 1)
    node.desire({UA: ([1], {"stable": 1})}, generation=7)
    node.settle()
    node.desire({}, generation=3)
    node.step(3)
    assert node.state.generation == 7
    assert "generation 3, older than 7" in node.state.error
    node.restart()
    node.look()
    node.step(3)
    assert node.state.generation == 7
    assert node.state.serves(UA, 1)


def test_another_content_of_the_same_generation_is_refused(node: Node):
    serving(node, 1)
    node.desire({}, generation=1)
    node.step(2)
    assert "another content for generation 1" in node.state.error
    assert node.state.serves(UA, 1)


def test_a_damaged_desired_object_changes_nothing(node: Node):
    serving(node, 1)
    name = "fleet/default/desired.json"
    node.store.write(name, b"{", if_generation=node.store.stat(name).generation)
    node.look()
    node.step()
    assert "is not a desired state" in node.state.error
    assert node.state.serves(UA, 1)


def test_a_missing_desired_object_changes_nothing(node: Node):
    serving(node, 1)
    name = "fleet/default/desired.json"
    node.store.delete(name, if_generation=node.store.stat(name).generation)
    node.look()
    node.step()
    assert "is missing; generation 1 goes on being served" in node.state.error
    assert node.state.ready


def test_a_damaged_file_is_named_and_the_old_version_goes_on(node: Node):
    serving(node, 1, 2)
    damaged = "models/ua/default/2/saved_model.pb"
    whole = node.store.read(damaged)[0]
    node.store.corrupt(damaged, b"x" * len(whole))
    node.desire({UA: ([1, 2], {"stable": 2}), AA: ([1], {"stable": 1})})
    state = node.settle()
    assert damaged in node.version(UA, 2).error
    assert "sha256" in node.version(UA, 2).error
    assert state.serves(UA, 1)
    assert not list(node.layout.incoming.iterdir())
    node.store.corrupt(damaged, whole)
    node.quiet(5)
    assert node.state.serves(UA, 2)


def test_a_truncated_file_is_named(node: Node):
    serving(node, 1, 2)
    node.store.corrupt("models/ua/default/2/variables/variables.index", b"in")
    node.desire({UA: ([1, 2], {"stable": 1}), AA: ([1], {"stable": 1})})
    node.settle()
    assert "variables/variables.index has 2 bytes, its manifest says 5" in node.version(UA, 2).error


def test_a_manifest_of_another_digest_is_refused(node: Node):
    serving(node, 1)
    node.put(UA, 2)
    node.digests[UA, 2] = "sha256:" + "1" * 64
    node.desire({UA: ([1, 2], {"stable": 1}), AA: ([1], {"stable": 1})})
    node.settle()
    assert "the desired state says sha256:1111" in node.version(UA, 2).error
    assert node.version(UA, 2).state is VersionState.FAILED


def test_a_missing_object_is_named(node: Node):
    serving(node, 1)
    node.desire({UA: ([1, 9], {"stable": 1}), AA: ([1], {"stable": 1})})
    node.settle()
    assert "models/ua/default/9/MANIFEST.json does not exist" in node.version(UA, 9).error


def test_a_manifest_of_another_customer_is_refused(node: Node):
    serving(node, 1)
    digest = node.digests[AA, 1]
    for stored in list(node.store.list("models/aa/default/1/")):
        target = stored.name.replace("models/aa/default/1/", "models/ua/default/5/")
        node.store.copy(stored.name, target, if_generation=0)
    node.digests[UA, 5] = digest
    node.desire({UA: ([1, 5], {"stable": 1}), AA: ([1], {"stable": 1})})
    node.settle()
    assert "belongs to aa.default, not to ua.default" in node.version(UA, 5).error


def test_a_disk_that_refuses_leaves_the_old_state_serving(node: Node):
    serving(node, 1, 2)
    node.layout.incoming.rmdir()
    node.desire({UA: ([1, 2], {"stable": 2}), AA: ([1], {"stable": 1})})
    state = node.quiet(20)
    assert "cannot be kept in" in node.version(UA, 2).error
    assert state.serves(UA, 1)
    node.layout.incoming.mkdir()
    node.quiet(30)
    assert node.state.serves(UA, 2)


def test_a_server_that_stops_answering_is_replaced_though_nobody_asked_for_a_change(node: Node):
    serving(node, 1)
    node.server.faults.deaf = True
    node.quiet(30)
    assert node.state.restarts == 1
    assert node.settle().serves(UA, 1)


def test_a_server_whose_rest_api_alone_has_died_is_replaced(node: Node):
    """Regression: gRPC's answers passed for the server's, and clients of REST got nothing for ever."""
    serving(node, 1)
    node.server.faults.rest_is_dead = True
    node.quiet(30)
    assert node.state.restarts == 1
    assert node.settle().serves(UA, 1)


def test_a_server_whose_rest_api_does_not_come_up_serves_nobody_says_so_and_is_replaced_with_its_models(node: Node):
    serving(node, 1)
    node.server.faults.starts_without_rest = 2
    node.server.crash()
    state = node.quiet(8)
    assert state.error == "starting: its REST port does not answer"
    assert not state.ready
    state = node.settle()
    assert (state.serves(UA, 1), state.serves(AA, 1), state.error) == (True, True, None)
    assert state.restarts == 3  # the crash, and two starts without REST
    assert all(node.server.given[1:])


def test_a_version_lost_while_nothing_changes_is_found_and_loaded_again(node: Node):
    serving(node, 1)
    node.server.lose((UA, 1))
    node.quiet(20)
    assert (UA, 1) in node.server.loaded
    assert node.state.serves(UA, 1)
    assert node.state.restarts == 0


def test_an_idle_server_is_asked_too(node: Node):
    node.look()
    node.settle()
    node.server.faults.deaf = True
    node.quiet(30)
    assert node.state.restarts == 1


def test_a_generation_that_cannot_be_kept_is_not_taken_up(node: Node):
    serving(node, 1)
    node.layout.desired.unlink()
    node.layout.desired.mkdir()
    node.desire({UA: ([1], {"stable": 1})}, generation=5)
    node.step(2)
    assert node.state.generation == 1
    assert "generation 5 cannot be kept" in node.state.error
    node.layout.desired.rmdir()
    node.look()
    node.step(2)
    assert node.state.generation == 5


def test_one_missing_artifact_does_not_keep_a_new_node_from_serving_the_others(node: Node):
    node.put(UA, 1)
    node.desire({UA: ([1], {"stable": 1}), AA: ([9], {"stable": 9})})
    assert node.settle().serves(UA, 1)
    assert node.state.ready


def test_a_child_that_cannot_be_started_is_tried_again(node: Node):
    node.put(UA, 1)
    node.server.faults.cannot_start = 3
    node.desire({UA: ([1], {"stable": 1})})
    node.step()
    assert "not_started: no space left" in node.state.error
    assert node.settle().serves(UA, 1)
    assert node.state.restarts == 3
