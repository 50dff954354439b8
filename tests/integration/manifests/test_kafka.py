"""Kafka in the manifests: an account for each process, from a secret of its own; TLS and logins on Google Cloud."""

from __future__ import annotations

import pytest
import yaml

from roost.contracts.event_rights import Account
from tests.integration.manifests.test_overlays import (
    MANIFESTS,
    OVERLAYS,
    WORKLOADS,
    Object,
    containers,
    literal,
    of,
    rendered,
    template,
)

pytestmark = pytest.mark.integration

SECURED = [name for name in OVERLAYS if name.startswith("gcp")]
#: Who logs in, by workload and container.
LOGINS = {
    "roost-deployer/deployer": Account.DEPLOYER,
    "roost-signup-consumer/signup-consumer": Account.SIGNUP_CONSUMER,
    "roost-model-consumer/model-consumer": Account.MODEL_CONSUMER,
    "roost-topics-0-1-0/topics": Account.SETUP,
}


def login(container: Object) -> dict[str, Object]:
    """The container's references to secrets, by setting."""
    return {
        entry["name"]: entry["valueFrom"]["secretKeyRef"]
        for entry in container.get("env", ())
        if entry["name"].startswith("ROOST_KAFKA__SASL_") and "valueFrom" in entry
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_process_that_talks_to_kafka_has_an_account_of_its_own(overlay: str) -> None:
    found = {where: login(container) for where, container in containers(rendered(overlay)) if login(container)}
    assert found.keys() == LOGINS.keys()
    for where, given in found.items():
        assert {one["name"] for one in given.values()} == {f"roost-kafka-{LOGINS[where]}"}
        keys = {name: one["key"] for name, one in given.items()}
        assert keys.pop("ROOST_KAFKA__SASL_USERNAME") == "username"
        # Where it stands in a file instead, see below.
        assert keys in ({"ROOST_KAFKA__SASL_PASSWORD": "password"}, {})


@pytest.mark.parametrize("overlay", SECURED)
def test_on_google_cloud_kafka_is_encrypted_and_asks_who_it_is(overlay: str) -> None:
    objects = rendered(overlay)
    found = dict(containers(objects))
    for where in LOGINS:
        settings = literal(objects, found[where])
        assert settings["ROOST_KAFKA__SECURITY_PROTOCOL"] == "SASL_SSL"
        assert settings["ROOST_KAFKA__SASL_MECHANISM"] == "SCRAM-SHA-512"
        assert not any(one["optional"] for one in login(found[where]).values())
        [mount] = [one for one in found[where]["volumeMounts"] if one["name"] == "kafka-ca"]
        # A file that is mounted by subPath is never renewed.
        assert "subPath" not in mount
        assert settings["ROOST_KAFKA__SSL_CAFILE"] == f"{mount['mountPath']}/ca.crt"


@pytest.mark.parametrize("overlay", SECURED)
def test_who_stays_reads_its_password_from_a_file_that_follows_the_secret(overlay: str) -> None:
    for workload in of(rendered(overlay), "Deployment"):
        spec = template(workload)["spec"]
        for container in spec["containers"]:
            where = f"{workload['metadata']['name']}/{container['name']}"
            if where not in LOGINS:
                continue
            given = {entry["name"]: entry.get("value") for entry in container["env"]}
            assert "ROOST_KAFKA__SASL_PASSWORD" not in given
            [mount] = [one for one in container["volumeMounts"] if one["name"] == "kafka-login"]
            assert "subPath" not in mount
            [volume] = [one["secret"] for one in spec["volumes"] if one["name"] == "kafka-login"]
            assert volume["secretName"] == f"roost-kafka-{LOGINS[where]}"
            assert given["ROOST_KAFKA__SASL_PASSWORD_FILE"] == f"{mount['mountPath']}/{volume['items'][0]['path']}"


@pytest.mark.parametrize("overlay", SECURED)
def test_whoever_does_not_talk_to_kafka_gets_none_of_its_files(overlay: str) -> None:
    for workload in of(rendered(overlay), *WORKLOADS):
        spec = template(workload)["spec"]
        holds = any(volume["name"] == "kafka-ca" for volume in spec["volumes"])
        logs_in = any(login(container) for container in spec["containers"])
        assert holds == logs_in, workload["metadata"]["name"]


@pytest.mark.parametrize("overlay", SECURED)
def test_the_set_up_gives_rights_where_there_are_any(overlay: str) -> None:
    assert dict(containers(rendered(overlay)))["roost-topics-0-1-0/topics"]["command"][-1] == "--acls"


def test_training_has_an_account_of_its_own_too() -> None:
    pod = yaml.safe_load((MANIFESTS / "airflow" / "pod-template.yaml").read_text())
    (base,) = pod["spec"]["containers"]
    assert {one["name"] for one in login(base).values()} == {f"roost-kafka-{Account.TRAINING}"}
