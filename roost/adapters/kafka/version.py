"""Which version of Kafka the brokers speak."""

from __future__ import annotations

from roost.adapters.kafka.admin import admin_client
from roost.settings import KafkaSettings


def oldest_broker(settings: KafkaSettings) -> str:
    """Of all brokers, the oldest version, such as ``4.1``, as their API versions tell. Raises `BrokerUnavailable`."""
    with admin_client(settings) as client:
        brokers = [one["broker_id"] for one in client.describe_cluster()["brokers"]]
        versions = [tuple(client.get_broker_version_data(broker).broker_version) for broker in brokers]
    return ".".join(map(str, min(versions, default=())))
