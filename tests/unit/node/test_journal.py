"""What changed on a node, and what is left of it after a restart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from roost.adapters.in_memory.clock import START
from roost.contracts.acks import NodeChange
from serving.node.journal import Journal
from tests.unit.node.world import Node

UA = "ua.default"


def change(number: int) -> NodeChange:
    return NodeChange(at="2026-01-01T00:00:00Z", generation=number, what="proven", name=UA, version=1)


def test_a_change_says_what_when_by_which_rollout_and_at_what_cost(node: Node):
    node.put(UA, 1)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    proven = next(one for one in node.engine.journal.since() if one.what == "proven")
    assert (proven.name, proven.version, proven.rollout_id, proven.generation) == (UA, 1, "rollout-1", 1)
    assert proven.at == START
    assert proven.seconds is not None
    assert proven.memory_bytes == 10_000_000


def test_a_failure_is_told_with_its_reason(node: Node):
    node.put(UA, 1)
    node.server.faults.load_errors[UA, 1] = "no such op"
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    failed = node.engine.journal.since()[-1]
    assert (failed.what, failed.name, failed.detail) == ("failed", UA, "no such op")


def test_changes_outlive_the_process(node: Node):
    node.put(UA, 1)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    before = node.engine.journal.since()
    node.restart()
    assert node.engine.journal.since() == before
    node.look()
    node.settle()
    assert node.engine.journal.since()[: len(before)] == before


def test_only_the_last_are_kept_in_memory_and_on_disk(tmp_path: Path):
    file = tmp_path / "changes.jsonl"
    journal = Journal(file, kept=10)
    for number in range(35):
        journal.add([change(number)])
    assert [one.generation for one in journal.since()] == list(range(25, 35))
    assert len(file.read_text().splitlines()) <= 21
    assert [one.generation for one in Journal(file, kept=10).since()] == list(range(25, 35))


@pytest.mark.parametrize("tail", ['{"at": "2026-01-', "\x00\x00\n", '{"what": 1}\n'])
def test_a_line_that_a_crash_cut_costs_that_line_only(tmp_path: Path, tail: str):
    file = tmp_path / "changes.jsonl"
    Journal(file).add([change(1), change(2)])
    with file.open("a") as appended:
        appended.write(tail)
    journal = Journal(file)
    assert [one.generation for one in journal.since()] == [1, 2]
    journal.add([change(3)])
    assert [json.loads(line)["generation"] for line in file.read_text().splitlines()] == [1, 2, 3]


def test_a_disk_that_refuses_costs_the_file_only(tmp_path: Path):
    journal = Journal(tmp_path / "none" / "changes.jsonl")
    journal.add([change(1)])
    assert [one.generation for one in journal.since()] == [1]
    (tmp_path / "directory").mkdir()
    assert Journal(tmp_path / "directory").since() == ()
