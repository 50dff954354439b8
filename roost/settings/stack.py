"""The local stack."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from roost.settings.section import Section

#: Brokers that the local stack can run.
Bus = Literal["embedded", "apache"]


class StackSettings(Section):
    """The local stack (`roost up`)."""

    bus: Bus = Field(
        default="embedded", description="its broker: a small one in memory, or Apache Kafka (Java 17; `roost up --bus`)"
    )
    #: Name to fixed port; names that are not here get a free one. `roost up --port NAME=NUMBER` does the same.
    ports: dict[str, int] = Field(default_factory=dict)
    cache_dir: Path | None = Field(
        default=None, description="for programs that are fetched once; None is roost in the user's cache directory"
    )
