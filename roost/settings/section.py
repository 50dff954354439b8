"""What all groups of settings have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One group of settings. Unknown names are refused, so that a typing error never passes for a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")
