"""The part of the control port that has requests copied to a candidate, and tells what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI, HTTPException, params
from pydantic import BaseModel, Field

from roost.contracts.errors import ModelServerUnavailable, SettingsInvalid
from roost.contracts.ids import InvalidId, split_served_name
from roost.contracts.traffic import Answered
from serving.gateway.config import Address
from serving.gateway.table import Mirror
from serving.node.engine import Engine

#: Longest that a mirror is kept up for whoever asked for it and is gone. Seconds.
_LONGEST_MIRROR: Final = 3600.0


class MirrorWish(BaseModel):
    """Body of `PUT /mirrors/{name}`: where copies of requests go, how many, and how long."""

    percent: float = Field(gt=0, le=100, description="of the requests that the stable version answers")
    rest: str = Field(description="the candidate's gateway, host:port with an IP address")
    grpc: str
    seconds: float = Field(gt=0, le=_LONGEST_MIRROR, description="then it ends by itself, unless asked for again")


def add_mirrors(app: FastAPI, engine: Engine, guarded: Sequence[params.Depends]) -> None:
    """Add `PUT` and `DELETE /mirrors/{name}`, and `GET /answered/{name}`."""

    @app.put("/mirrors/{name}", status_code=202, dependencies=guarded)
    async def mirror(name: str, wish: MirrorWish) -> None:
        """Copy a share of a served name's requests to a candidate, whose answers are dropped."""
        try:
            split_served_name(name)
            for address in (wish.rest, wish.grpc):
                Address.parse(address, "mirror")
        except (InvalidId, SettingsInvalid) as error:
            raise HTTPException(422, str(error)) from error
        wanted = Mirror(percent=wish.percent, rest=wish.rest, grpc=wish.grpc)
        engine.mirrors.set(name, wanted, seconds=wish.seconds)
        engine.wake()

    @app.get("/answered/{name}", dependencies=guarded, responses={503: {"description": "It has no counts now."}})
    def answered(name: str) -> Answered:
        """What the model server has answered under a served name since it started: how requests ended, how fast."""
        try:
            split_served_name(name)
            return engine.answered(name)
        except InvalidId as error:
            raise HTTPException(422, str(error)) from error
        except ModelServerUnavailable as error:
            raise HTTPException(503, str(error)) from error

    @app.delete("/mirrors/{name}", status_code=202, dependencies=guarded)
    async def unmirror(name: str) -> None:
        """Copy no more of its requests."""
        engine.mirrors.end(name)
        engine.wake()
