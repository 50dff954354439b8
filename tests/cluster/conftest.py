"""The control plane is started once for all suites of this folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.contracts.rollout import Phase
from tests.cluster import airflow, beside, binaries, control_plane, network, nodes
from tests.cluster.control_plane import Cluster
from tests.cluster.nodes import Node
from tests.cluster.world import PARTS, World, applied


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say once, for every test of this folder, what is missing here."""
    here = Path(__file__).parent
    mine = [item for item in items if here in item.path.parents]
    reason = binaries.missing() or network.missing() if mine else None
    for item in mine:
        item.add_marker(pytest.mark.cluster)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def cluster_directory() -> Iterator[Path]:
    """A short path, since sockets lie below it."""
    directory = Path(tempfile.mkdtemp(prefix="roost-k8s-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster(cluster_directory: Path, pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """A control plane without any node, in a network of its own; the process of the tests is in there, too."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        programs = binaries.ensure()
    with network.entered(cluster_directory), control_plane.started(programs, cluster_directory) as found:
        yield found


@pytest.fixture(scope="session")
def node(cluster: Cluster) -> Iterator[Node]:
    """A node on which pods run."""
    with nodes.joined(cluster) as found:
        yield found


@pytest.fixture(scope="session")
def world(cluster: Cluster, node: Node, cluster_directory: Path) -> Iterator[World]:
    """Roost from the overlay `local`, with everything beside it; every pod of it ready."""
    with (
        beside.started(cluster_directory),
        airflow.started(cluster_directory, PARTS),
        applied(cluster, node) as found,
    ):
        yield found


@pytest.fixture(scope="session")
def bystander(world: World, cluster_directory: Path) -> str:
    """A customer who is served: signed up by an event, trained by Airflow, promoted by nobody but Roost."""
    airflow.awaited(cluster_directory)
    world.publish_signup("ha")
    world.until_phase("ha", Phase.LIVE, Phase.SETTLED, seconds=300)
    return "ha"
