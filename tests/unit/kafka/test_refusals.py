"""What a refusal says: the thing and the remedy. The texts are those of OpenSSL and kafka-python, as Apache Kafka 4.1
brought them about; `tests/kafka/test_security_errors.py` brings them about again.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from kafka import errors

from roost.adapters.kafka.connection import client_options, translated
from roost.adapters.kafka.refusals import refusal, silent_end
from roost.contracts.errors import BrokerRefused, SettingsInvalid
from roost.settings import KafkaSettings

SECURE = KafkaSettings(
    bootstrap="kafka:9093",
    security_protocol="SASL_SSL",
    sasl_mechanism="SCRAM-SHA-512",
    sasl_username="roost-deployer",
    sasl_password="secret",  # type: ignore[arg-type]  # pydantic takes the text
    ssl_cafile=Path("/ca.pem"),
)
MUTUAL = SECURE.model_copy(update={"security_protocol": "SSL", "ssl_certfile": Path(__file__)})


def handshake(text: str) -> Exception:
    return errors.KafkaConnectionError(f"Handshake failed: {text}")


@pytest.mark.parametrize(
    ("error", "settings", "said", "remedy"),
    [
        (errors.SaslAuthenticationFailedError("x"), SECURE, "refuses the login of 'roost-deployer'", "_SASL_PASSWORD"),
        (errors.UnsupportedSaslMechanismError(), SECURE, "SASL mechanism SCRAM-SHA-512", "SCRAM-SHA-512"),
        (errors.IllegalSaslStateError(), SECURE, "takes no login on this port", "_SECURITY_PROTOCOL=SSL,"),
        (
            errors.TopicAuthorizationFailedError({"models.ready"}),
            SECURE,
            "does not let roost-deployer do this on a topic (TopicAuthorizationFailedError: models.ready)",
            "roost topics ensure --acls",
        ),
        (errors.GroupAuthorizationFailedError("roost-models"), SECURE, "in a consumer group", "roost topics rights"),
        (errors.ClusterAuthorizationFailedError("an ACL was not made"), MUTUAL, "this client's certificate", "--acls"),
        (
            errors.KafkaError("Unexpected error in InitProducerIdResponse: [Error 31] ClusterAuthorizationFailedError"),
            SECURE,
            "on the cluster",
            "--acls",
        ),
        (errors.DelegationTokenAuthorizationFailedError(), SECURE, "does not let roost-deployer do this", "--acls"),
        (
            errors.InvalidReceiveError("Invalid frame length: 352518912"),
            SECURE.model_copy(update={"security_protocol": "SASL_PLAINTEXT"}),
            "speaks TLS on this port and was asked in plain text (SASL_PLAINTEXT)",
            "ROOST_KAFKA__SECURITY_PROTOCOL=SASL_SSL",
        ),
        (
            handshake(
                "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in certificate "
                "chain (_ssl.c:1006)"
            ),
            SECURE,
            "is not trusted (certificate verify failed: self-signed certificate in certificate chain)",
            "ROOST_KAFKA__SSL_CAFILE (now /ca.pem)",
        ),
        (
            handshake(
                "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, certificate is not "
                "valid for 'kafka'. (_ssl.c:1006)"
            ),
            SECURE,
            "Hostname mismatch",
            "advertised.listeners",
        ),
        (
            handshake("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1)"),
            SECURE,
            "certificate has expired",
            "renew the broker's certificate",
        ),
        (
            handshake("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol (_ssl.c:1006)"),
            SECURE,
            "does not speak TLS on this port",
            "ROOST_KAFKA__BOOTSTRAP",
        ),
        (
            errors.KafkaConnectionError(
                ssl.SSLError(1, "[SSL: SSLV3_ALERT_BAD_CERTIFICATE] sslv3 alert bad certificate (_ssl.c:2580)")
            ),
            MUTUAL,
            "does not take this client's certificate (sslv3 alert bad certificate)",
            "ROOST_KAFKA__SSL_CERTFILE",
        ),
        (
            ssl.SSLError(116, "[X509: KEY_VALUES_MISMATCH] key values mismatch (_ssl.c:3926)"),
            SECURE.model_copy(update={"ssl_cafile": Path(__file__)}),
            "a TLS file of this client cannot be used (key values mismatch)",
            f"ROOST_KAFKA__SSL_CAFILE={__file__}",
        ),
        (FileNotFoundError(2, "No such file or directory"), SECURE, "SSL_CAFILE names /ca.pem", "put the file there"),
    ],
)
def test_a_refusal_names_the_thing_and_the_remedy(
    error: Exception, settings: KafkaSettings, said: str, remedy: str
) -> None:
    found = refusal(error, settings)
    assert found is not None
    assert said in found.said
    assert remedy in found.remedy
    assert str(found) == f"{found.said}: {found.remedy}"
    assert "secret" not in str(found)
    assert isinstance(translated(error, settings, "looking"), BrokerRefused)


@pytest.mark.parametrize(
    ("error", "settings"),
    [
        (errors.KafkaConnectionError("111 ECONNREFUSED"), SECURE),
        (errors.KafkaConnectionError("socket disconnected"), SECURE),
        (errors.KafkaTimeoutError("Unable to bootstrap"), SECURE),
        (errors.InvalidReceiveError("Invalid frame length: -1"), SECURE),
        (errors.InvalidReceiveError("Invalid frame length: 1000000001"), SECURE),
        (handshake("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred (_ssl.c:1006)"), KafkaSettings()),
        (OSError(5, "Input/output error"), SECURE.model_copy(update={"ssl_cafile": Path(__file__)})),
    ],
)
def test_what_only_says_that_nobody_answers_is_no_refusal(error: Exception, settings: KafkaSettings) -> None:
    assert refusal(error, settings) is None
    assert not isinstance(translated(error, settings, "looking"), BrokerRefused)


def test_a_broker_that_ends_each_connection_may_want_a_login() -> None:
    assert "ROOST_KAFKA__SECURITY_PROTOCOL=SASL_SSL" in silent_end(KafkaSettings()).remedy
    assert "CERTFILE" not in silent_end(KafkaSettings()).remedy
    assert "ROOST_KAFKA__SSL_CERTFILE" in silent_end(MUTUAL).remedy


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sasl_mechanism": None}, "ROOST_KAFKA__SASL_MECHANISM is None"),
        ({"sasl_mechanism": "SCRAM-512"}, "SCRAM-SHA-512"),
        ({"sasl_mechanism": "OAUTHBEARER"}, "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        ({"sasl_username": None}, "ROOST_KAFKA__SASL_USERNAME"),
        ({"sasl_password": None}, "ROOST_KAFKA__SASL_PASSWORD"),
    ],
)
def test_a_login_that_the_settings_do_not_tell_is_a_setting_at_fault(change: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsInvalid, match=named):
        client_options(SECURE.model_copy(update=change))
