"""Apache Kafka itself on one machine: fetched once with Maven, one process or several, on loopback ports.

`roost up --bus apache` runs it, and the suites in `tests/kafka`. Nothing here knows who uses it.
"""

from __future__ import annotations

from roost.embedded.apache_kafka.brokers import Brokers, Layout
from roost.embedded.apache_kafka.node import Node
from roost.embedded.apache_kafka.program import VERSION, Program, fetched, installed

__all__ = ["VERSION", "Brokers", "Layout", "Node", "Program", "fetched", "installed"]
