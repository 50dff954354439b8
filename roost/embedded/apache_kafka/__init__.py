"""Apache Kafka itself on one machine: fetched once with Maven, one process or several, on loopback ports.

`roost up --bus apache` runs it, and the suites in `tests/kafka`. Nothing here knows who uses it.
"""

from __future__ import annotations

from pathlib import Path

from roost.embedded.apache_kafka.archive import quickened
from roost.embedded.apache_kafka.brokers import Brokers, Layout
from roost.embedded.apache_kafka.node import Node
from roost.embedded.apache_kafka.program import VERSION, Program, Say, provided

__all__ = ["VERSION", "Brokers", "Layout", "Node", "Program", "installed"]


def installed(cache: Path, say: Say) -> Program:
    """Apache Kafka, ready to run: what `cache` has not is fetched and made first (half a minute, once).

    Raises:
        SettingsInvalid: no Java of 17 or newer, no Maven where there is something to fetch, Maven failed, or what came
            is not what this release was made with. The text gives the remedy.
    """
    return quickened(provided(cache, say), say)
