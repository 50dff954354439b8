"""Which pool serves which name. Whoever places models writes it; fronts follow it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from roost.contracts.ids import InvalidId, PoolId, split_served_name
from roost.contracts.manifest import Frozen


def _served(name: str) -> str:
    try:
        split_served_name(name)
    except InvalidId as error:
        # So that the file's reader is told where.
        raise ValueError(str(error)) from error
    return name


class Placement(Frozen):
    """One pool a served name. A name that is not listed is looked for in the pool `otherwise`."""

    schema_version: int = Field(default=1, ge=1, le=1)
    otherwise: PoolId
    names: dict[Annotated[str, AfterValidator(_served)], PoolId] = Field(default_factory=dict)

    @property
    def pools(self) -> tuple[str, ...]:
        """Every pool in it, by name."""
        return tuple(sorted({self.otherwise, *self.names.values()}))
