"""The component that turns traces on, rendered into each overlay: who reaches the collector, and who must not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from roost.settings import Settings
from tests.integration.manifests.test_overlays import (
    KUBECTL,
    KUBERNETES,
    MANIFESTS,
    OVERLAYS,
    Object,
    containers,
    literal,
    of,
)

pytestmark = pytest.mark.integration

#: An overlay of somebody's own, as docs/observability.md says.
OWN = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: roost
resources: [../{overlay}]
components: [../../traces]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("traced") / "manifests"
    shutil.copytree(MANIFESTS, copy)
    return copy


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_process_but_the_canary_nodes_hands_its_traces_to_the_collector(folder: Path, overlay: str) -> None:
    own = folder / "overlays" / f"traced-{overlay}"
    own.mkdir()
    (own / "kustomization.yaml").write_text(OWN.format(overlay=overlay))
    done = subprocess.run([KUBECTL, "kustomize", str(own)], capture_output=True, text=True, check=True)
    objects: tuple[Object, ...] = tuple(yaml.safe_load_all(done.stdout))
    [policy] = [one for one in of(objects, "NetworkPolicy") if one["metadata"]["name"] == "roost-traces"]
    kubernetes_validate.validate(policy, KUBERNETES, strict=True)
    chosen = {}
    for where, container in containers(objects):
        if container.get("envFrom"):
            given = {name.lower(): text for name, text in literal(objects, container).items() if "__" in name}
            chosen[where] = given["roost_tracing__exporter"]
            assert given["roost_tracing__endpoint"].startswith("http://roost-collector:4318/")
    assert {where for where, exporter in chosen.items() if exporter == "none"} == {
        where for where in chosen if where.startswith("roost-pool-canary/")
    }
    assert set(chosen.values()) == {"none", "otlp"}


def test_the_components_settings_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    document = yaml.safe_load((MANIFESTS / "traces" / "kustomization.yaml").read_text())
    for name in [name for name in os.environ if name.startswith("ROOST_")]:
        monkeypatch.delenv(name)
    for line in document["configMapGenerator"][0]["literals"]:
        monkeypatch.setenv(*line.split("=", 1))
    assert Settings().tracing.exporter == "otlp"
