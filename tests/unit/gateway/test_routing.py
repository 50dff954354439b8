"""Routes that change while a gateway runs, and the front's, against committed files; see `test_render`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from roost.contracts.placement import Placement
from roost.ports.serving import NodeAddress
from roost.settings import GatewaySettings
from serving.gateway.config import GatewayConfig
from serving.gateway.configuration import CLUSTERS, Configuration, clusters_of
from serving.gateway.filters import MODEL_SPEC, script
from serving.gateway.front import FrontConfig, front
from serving.gateway.lua_text import filled, literal
from serving.gateway.render import configuration
from serving.gateway.table import Mirror, RoutingTable

GOLDEN = Path(__file__).parent / "golden"
MIRROR = Mirror(percent=12.5, rest="10.0.0.9:8501", grpc="[fd00::9]:8500")
TABLE = RoutingTable(
    splits={"ua.default": {"previous": 10, "older": 5}, "dl.default": {"previous": 50}}, mirrors={"ua.default": MIRROR}
)


def a_node(name: str, pool: str, host: str) -> NodeAddress:
    return NodeAddress(node=name, pool=pool, control=f"{host}:8600", rest=f"{host}:8501", grpc=f"{host}:8500")


def a_gateway(table: RoutingTable) -> Configuration:
    config = GatewayConfig(
        rest="0.0.0.0:8501",
        grpc="[::]:8500",
        upstream_grpc_socket=Path("/run/roost/model.sock"),
        upstream_rest="127.0.0.1:8601",
        admin_socket=Path("/run/roost/admin.sock"),
        settings=GatewaySettings(),
        work_dir=Path("/run/roost"),
    )
    return configuration(config, table)


def a_front(placement: Placement | None) -> Configuration:
    return front(
        FrontConfig(
            rest="0.0.0.0:8501",
            grpc="0.0.0.0:8500",
            nodes=[a_node("a-1", "default", "10.0.0.1"), a_node("b-1", "large", "10.0.0.2")],
            admin_socket=Path("/run/roost/front.sock"),
            settings=GatewaySettings(),
            placement=placement,
        )
    )


CASES = {
    "shared_out_and_mirrored": a_gateway(TABLE),
    "front_of_one_pool": a_front(None),
    "front_of_two_pools": a_front(Placement(otherwise="default", names={"ua.default": "large"})),
}


@pytest.mark.parametrize("case", CASES)
def test_the_files_that_change_are_the_reviewed_ones(case: str):
    parts = {name: json.loads(part.text)["resources"] for name, part in CASES[case].parts().items()}
    rendered = json.dumps(parts, indent=2, ensure_ascii=False) + "\n"
    for files in (MODEL_SPEC, (*MODEL_SPEC, "placement.lua")):
        # The scripts have tests of their own; what stands before one is the table.
        rendered = rendered.replace(json.dumps(script(*files), ensure_ascii=False)[1:-1], f"[{', '.join(files)}]")
    golden = GOLDEN / f"{case}.json"
    if os.environ.get("ROOST_REGENERATE"):
        golden.write_text(rendered)

    assert rendered == golden.read_text()


@pytest.mark.parametrize("case", CASES)
def test_a_bootstrap_with_the_files_apart_holds_neither_routes_nor_clusters_that_change(case: str):
    document = json.dumps(CASES[case].apart(Path("/run/roost/live")))
    for gone in ("virtual_hosts", "mirror/", "rest/"):
        assert gone not in document.replace('"name": "keys"', "")
    for part in ("rest", "grpc", CLUSTERS):
        assert f'"path": "/run/roost/live/{part}.json"' in document


def test_listeners_and_filters_are_the_same_whatever_the_table_says():
    """So that a change of the table never needs another listener, which would end connections."""
    directory = Path("/run/roost/live")
    assert a_gateway(TABLE).apart(directory) == a_gateway(RoutingTable()).apart(directory)
    few, many = (
        Placement(otherwise="default", names={f"c{n}.default": "large" for n in range(size)}) for size in (1, 99)
    )
    assert a_front(few).apart(directory) == a_front(many).apart(directory)


def test_a_file_is_called_another_version_exactly_when_it_says_something_else():
    before, after = a_gateway(RoutingTable()).parts(), a_gateway(TABLE).parts()
    assert before == a_gateway(RoutingTable()).parts()
    assert {name for name in before if before[name].version != after[name].version} == {"rest", "grpc", CLUSTERS}


def test_between_two_configurations_the_clusters_of_both_are_there():
    other = RoutingTable(mirrors={"dl.default": Mirror(percent=1, rest="10.0.0.8:8501", grpc="10.0.0.8:8500")})
    between = clusters_of([a_gateway(TABLE), a_gateway(other)])
    names = {cluster["name"] for cluster in json.loads(between.text)["resources"]}
    assert names == {f"mirror/{each}" for each in (MIRROR.rest, MIRROR.grpc, "10.0.0.8:8501", "10.0.0.8:8500")}


def test_the_order_in_which_labels_were_written_does_not_move_a_key():
    tables = [
        RoutingTable(splits={"ua.default": split})
        for split in ({"previous": 10, "older": 5}, {"older": 5, "previous": 10})
    ]
    expected = {"ua.default": {"split": [{"label": "older", "below": 5}, {"label": "previous", "below": 15}]}}
    assert [table.entries("rest") for table in tables] == [expected, expected]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ua.default", '"ua.default"'),
        ('"]=1;os.exit()--', '"\\034]\\0611\\059os.exit\\040\\041--"'),
        ("\\\n\0é", '"\\092\\010\\000\\195\\169"'),
        ({"split": [{"label": "previous", "below": 12.5}], "on": True}, None),
        (7, "7"),
    ],
)
def test_a_value_as_lua_source_is_that_value_and_nothing_else(value: object, text: str | None):
    expected = text or '{["split"]={{["label"]="previous",["below"]=12.5}},["on"]=true}'
    assert literal(value) == expected


def test_what_has_no_form_in_lua_is_refused():
    with pytest.raises(TypeError, match="NoneType"):
        filled("NAMES", {"ua.default": None})


def test_a_large_table_is_filled_in_functions_that_the_compiler_takes():
    source = filled("NAMES", {f"c{number}.default": "large" for number in range(12_000)})
    assert source.count("(function(t)") == 3
    assert source.count("\nt[") == 12_000


@pytest.mark.parametrize(
    "document",
    [
        {"otherwise": "default", "names": {"ua": "large"}},
        {"otherwise": "default", "names": {"ua.default": "Large"}},
        {"otherwise": "", "names": {}},
        {"names": {}},
        {"otherwise": "default", "pools": {}},
    ],
)
def test_a_placement_that_cannot_be_is_refused(document: dict[str, object]):
    with pytest.raises(ValidationError):
        Placement.model_validate(document)
