"""Images by our own rules: pinned, unprivileged, labelled, checked, and made of what is there. A linter's rules: see integration."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from docker import prove
from serving.gateway.binary import command
from tests.unit.manifests.known import complaint, variables

DOCKER = Path("docker")
FILES = sorted(DOCKER.glob("*.Dockerfile"))
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
#: What a pinned image looks like: a tag with a number of at least two parts, never the newest.
PINNED = re.compile(r"^[a-z0-9./-]+:v?\d+\.\d+[\w.-]*$")


def lines(file: Path, keyword: str) -> list[str]:
    """The arguments of each instruction of that name, its continuations joined."""
    text = re.sub(r"\\\n\s*", "", file.read_text())
    return [line.split(None, 1)[1] for line in text.splitlines() if line.startswith(f"{keyword} ")]


def arguments(file: Path) -> dict[str, str]:
    return {name: value for name, _, value in (line.partition("=") for line in lines(file, "ARG"))}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
class TestEachImage:
    def test_is_built_on_pinned_images_in_several_stages(self, file: Path) -> None:
        stages = lines(file, "FROM")
        values, names = arguments(file), {line.split(" AS ")[1] for line in stages if " AS " in line}
        bases = [line.split(" AS ")[0] for line in stages]
        asked = [values[base[2:-1]] if base.startswith("${") else base for base in bases if base not in names]
        assert [image for image in asked if not PINNED.match(image)] == []
        assert len(stages) > 1

    def test_runs_as_a_number_that_is_not_root(self, file: Path) -> None:
        user = lines(file, "USER")[-1]
        assert re.fullmatch(r"[1-9]\d+:\d+", user), user

    def test_says_what_it_is_and_how_to_see_that_it_is_well(self, file: Path) -> None:
        final = file.read_text().rsplit("\nFROM ", 1)[1]
        for label in ("title", "description", "version", "revision", "licenses"):
            assert f"org.opencontainers.image.{label}=" in final
        assert "HEALTHCHECK" in final

    def test_copies_only_what_is_there_and_reaches_the_build(self, file: Path) -> None:
        ignored = [line[1:] for line in Path(".dockerignore").read_text().splitlines() if line.startswith("!")]
        for sources in (line.split()[:-1] for line in lines(file, "COPY") if not line.startswith("--from")):
            for source in (one for one in sources if not one.startswith("--")):
                assert Path(source).exists(), source
                assert any(fnmatch(source, pattern) for pattern in ignored), source

    def test_is_proved_by_its_own_steps(self, file: Path) -> None:
        image = next(image for image in prove.IMAGES if image.dockerfile.name == file.name)
        found = prove.steps(image.dockerfile)
        assert [step.split()[1] for step in found].count("third-party") == 1
        assert found[-1].split()[1] == "roost"

    def test_sets_only_settings_that_there_are(self, file: Path) -> None:
        final = file.read_text().rsplit("\nFROM ", 1)[1]
        assert set(re.findall(r"\bROOST_[A-Z_]+", final)) - variables() == set()


@pytest.mark.parametrize("name", COMPOSE["services"])
class TestEachServiceOfCompose:
    def test_is_pinned_and_unprivileged(self, name: str) -> None:
        service = COMPOSE["services"][name]
        assert PINNED.match(service["image"]), service["image"]
        if service["image"].startswith("roost-"):
            assert service["cap_drop"] == ["ALL"]

    def test_sets_only_settings_that_there_are(self, name: str) -> None:
        names = COMPOSE["services"][name].get("environment", {})
        assert {one for one in names if one.startswith("ROOST_")} - variables() == set()

    def test_runs_a_command_that_there_is(self, name: str) -> None:
        service = COMPOSE["services"][name]
        before = {"roost-services": [], "roost-serving": ["node"]}.get(service["image"].partition(":")[0])
        if before is not None:
            assert complaint([*before, *service["command"]]) is None

    def test_waits_only_for_services_that_there_are(self, name: str) -> None:
        assert COMPOSE["services"][name].get("depends_on", {}).keys() <= COMPOSE["services"].keys()


@pytest.mark.parametrize("node", ["node-1", "node-2", "canary-1"])
def test_a_node_of_compose_ends_before_its_gateway_and_both_share_a_network_and_a_directory(node: str) -> None:
    services = COMPOSE["services"]
    gateway, holder = services[f"{node}-gateway"], services[f"{node}-network"]
    # Compose ends what depends on another one first.
    assert f"{node}-gateway" in services[node]["depends_on"]
    assert gateway["depends_on"].keys() == {f"{node}-network"}
    assert services[node]["network_mode"] == gateway["network_mode"] == f"service:{node}-network"
    assert holder["networks"]["default"]["aliases"] == [node]
    assert services[node]["volumes"] == gateway["volumes"] == [f"{node}:/var/lib/roost"]
    assert gateway["environment"] == {"NODE": node}
    # The pods' own command line, once its file is there.
    shell, _, *options = gateway["entrypoint"][2:]
    assert "/var/lib/roost/nodes/$$NODE/gateway/envoy.json" in shell
    assert 'until [ -e "$$file" ]' in shell
    assert command(Path("envoy"), Path("file"))[3:] == options


def test_every_secret_of_compose_is_in_the_example_and_has_no_default() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+)", (DOCKER / "compose.yaml").read_text()))
    example = dict(
        line.split("=", 1)
        for line in (DOCKER / "compose.env.example").read_text().splitlines()
        if "=" in line and line[0] != "#"
    )
    assert example.keys() == asked
    assert set(example.values()) == {""}


@pytest.mark.parametrize("words", [["nonsense"], ["node", "--nonsense"], ["consume"], ["restart", "--every", "often"]])
def test_a_command_that_there_is_not_is_named(words: list[str]) -> None:
    assert complaint(words)
