"""A password that stands in a file is the file's of the moment at which a connection is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kafka.net.sasl import get_sasl_mechanism

from roost.adapters.kafka.connection import client_options
from roost.adapters.kafka.refusals import refusal, unreadable
from roost.contracts.errors import SettingsInvalid
from roost.settings import KafkaSettings


def settings(**changes: Any) -> KafkaSettings:
    given = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": "ann"}
    return KafkaSettings.model_validate(given | changes)


def hello(kafka: KafkaSettings) -> bytes:
    """What the client sends first on a new connection, as it makes its mechanism: PLAIN says the password openly."""
    options = client_options(kafka)
    return bytes(get_sasl_mechanism(options["sasl_mechanism"])(host="kafka", **options).auth_bytes())


def test_the_next_connection_has_the_new_password(tmp_path: Path) -> None:
    file = tmp_path / "password"
    kafka = settings(sasl_password_file=file, sasl_password="of the environment")
    for text, sent in (("first\n", b"first"), ("  second", b"  second"), ("third\r\n", b"third")):
        file.write_text(text)
        assert hello(kafka) == b"ann\0ann\0" + sent


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_scram_reads_it_too(tmp_path: Path, mechanism: str) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    options = client_options(settings(sasl_mechanism=mechanism, sasl_password_file=file))
    assert get_sasl_mechanism(mechanism)(**options)._scram_client.password == b"first"


def test_a_password_of_the_environment_is_sent_as_it_is() -> None:
    assert hello(settings(sasl_password="secret\n")) == b"ann\0ann\0secret\n"


def test_a_file_that_cannot_be_read_is_named_before_anybody_connects(tmp_path: Path) -> None:
    missing = settings(sasl_password_file=tmp_path / "none")
    for found in (unreadable(missing), refusal(FileNotFoundError(2, "none"), missing)):
        assert found is not None
        assert f"ROOST_KAFKA__SASL_PASSWORD_FILE names {tmp_path / 'none'}, which cannot be read" in found.said
    assert unreadable(missing.model_copy(update={"security_protocol": "PLAINTEXT"})) is None


def test_a_login_needs_a_password_from_somewhere() -> None:
    with pytest.raises(SettingsInvalid, match="_SASL_PASSWORD_FILE"):
        client_options(settings())
