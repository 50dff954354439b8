"""What every Kafka client of ours is given, and what Kafka's errors mean to Roost."""

from __future__ import annotations

from typing import Final

from kafka import errors

from roost.adapters.kafka.login import MECHANISMS, PasswordFile
from roost.adapters.kafka.refusals import refusal
from roost.contracts.errors import BrokerUnavailable, Permanent, RoostError, SettingsInvalid
from roost.settings import KafkaSettings

#: How long one request may take before the broker counts as away. Milliseconds.
REQUEST_MS: Final = 10_000


def client_options(settings: KafkaSettings) -> dict[str, object]:
    """Addresses, security, and a pace of reconnecting that finds a restarted broker within about a second.

    Raises:
        SettingsInvalid: a login is asked for, and the settings do not say by whom, or how.
    """
    _check_login(settings)
    options: dict[str, object] = {
        "bootstrap_servers": [address.strip() for address in settings.bootstrap.split(",")],
        "client_id": "roost",
        "security_protocol": settings.security_protocol,
        "reconnect_backoff_max_ms": 1_000,
        "metadata_max_age_ms": 30_000,
        "bootstrap_timeout_ms": 5_000,
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.sasl_username,
        "sasl_plain_password": _password(settings),
    }
    files = {
        "ssl_cafile": settings.ssl_cafile,
        "ssl_certfile": settings.ssl_certfile,
        "ssl_keyfile": settings.ssl_keyfile,
    }
    return options | {name: str(path) for name, path in files.items() if path is not None}


def _password(settings: KafkaSettings) -> str | PasswordFile | None:
    if settings.sasl_password_file is not None:
        return PasswordFile(path=settings.sasl_password_file)
    return settings.sasl_password.get_secret_value() if settings.sasl_password else None


def _check_login(settings: KafkaSettings) -> None:
    if not settings.security_protocol.startswith("SASL"):
        return
    asked = f"ROOST_KAFKA__SECURITY_PROTOCOL is {settings.security_protocol}"
    if settings.sasl_mechanism not in MECHANISMS:
        raise SettingsInvalid(
            f"{asked}, and ROOST_KAFKA__SASL_MECHANISM is {settings.sasl_mechanism}: set it to {', '.join(MECHANISMS)}"
        )
    if not settings.sasl_username or _password(settings) is None:
        raise SettingsInvalid(
            f"{asked}: set ROOST_KAFKA__SASL_USERNAME and ROOST_KAFKA__SASL_PASSWORD (or _SASL_PASSWORD_FILE), too"
        )


def translated(error: Exception, settings: KafkaSettings, doing: str) -> RoostError:
    """What the error means: wait and try again, unless the message or the settings can never do."""
    text = f"{type(error).__name__}: {' '.join(str(error.args[0] if error.args else '').split())[:300]}"
    if isinstance(error, errors.MessageSizeTooLargeError | errors.RecordListTooLargeError):
        return Permanent(f"Kafka refuses a message for its size ({text}); an event is a small fact")
    if isinstance(error, errors.KafkaConfigurationError):
        return SettingsInvalid(f"a Kafka setting (ROOST_KAFKA__…) cannot be used: {error}")
    refused = refusal(error, settings)
    if refused is not None:
        return refused
    if isinstance(error, errors.UnknownTopicOrPartitionError):
        return BrokerUnavailable(f"a topic is missing while {doing} ({text}): run `roost topics ensure`")
    return BrokerUnavailable(
        f"Kafka at {settings.bootstrap} does not answer while {doing} ({text}); see ROOST_KAFKA__BOOTSTRAP"
    )
