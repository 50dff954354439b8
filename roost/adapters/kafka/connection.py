"""What every Kafka client of ours is given, and what Kafka's errors mean to Roost."""

from __future__ import annotations

from typing import Any, Final

from kafka import errors
from kafka.net.compat import KafkaNetClient

from roost.contracts.errors import BrokerUnavailable, Permanent, RoostError, SettingsInvalid
from roost.settings import KafkaSettings

#: How long one request may take before the broker counts as away. Milliseconds.
REQUEST_MS: Final = 10_000


class PlainClient(KafkaNetClient):  # type: ignore[misc]  # the base ships no types
    """The client's own network part, which asks for no topic to be made.

    kafka-python 3.0.12 accepts `allow_auto_create_topics` and does not hand it on, so that a consumer that came
    before `roost topics ensure` made its topic with whatever number of partitions the broker likes.
    """

    def __init__(self, **configs: Any) -> None:
        """As the base, with the flag where metadata requests look for it."""
        super().__init__(**configs)
        self.cluster.config["allow_auto_create_topics"] = False


def client_options(settings: KafkaSettings) -> dict[str, object]:
    """Addresses, security, and a pace of reconnecting that finds a restarted broker within about a second."""
    options: dict[str, object] = {
        "bootstrap_servers": [address.strip() for address in settings.bootstrap.split(",")],
        "client_id": "roost",
        "security_protocol": settings.security_protocol,
        "reconnect_backoff_max_ms": 1_000,
        "metadata_max_age_ms": 30_000,
        "bootstrap_timeout_ms": 5_000,
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.sasl_username,
        "sasl_plain_password": settings.sasl_password.get_secret_value() if settings.sasl_password else None,
    }
    files = {
        "ssl_cafile": settings.ssl_cafile,
        "ssl_certfile": settings.ssl_certfile,
        "ssl_keyfile": settings.ssl_keyfile,
    }
    return options | {name: str(path) for name, path in files.items() if path is not None}


def translated(error: Exception, settings: KafkaSettings, doing: str) -> RoostError:
    """What the error means: wait and try again, unless the message or the settings can never do."""
    text = f"{type(error).__name__}: {' '.join(str(error.args[0] if error.args else '').split())[:300]}"
    if isinstance(error, errors.MessageSizeTooLargeError | errors.RecordListTooLargeError):
        return Permanent(f"Kafka refuses a message for its size ({text}); an event is a small fact")
    if isinstance(error, errors.KafkaConfigurationError):
        return SettingsInvalid(f"a Kafka setting (ROOST_KAFKA__…) cannot be used: {error}")
    if isinstance(error, errors.UnknownTopicOrPartitionError):
        return BrokerUnavailable(f"a topic is missing while {doing} ({text}): run `roost topics ensure`")
    return BrokerUnavailable(f"Kafka at {settings.bootstrap} does not answer while {doing} ({text})")
