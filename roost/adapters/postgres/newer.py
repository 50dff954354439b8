"""Rows that a newer release wrote while this one still runs: a phase, a stage, a command that this one does not know.

They are left alone, and that is said once each: the newer processes handle them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TypeVar

from psycopg.rows import DictRow
from pydantic import ValidationError

from roost.contracts.errors import Retryable

log = logging.getLogger(__name__)

_KEPT = 10_000
Value = TypeVar("Value")


class NewerRow(Retryable):
    """A row says something that this release does not know. A newer one wrote it, and handles it."""


def read(what: str, made: Callable[[], Value]) -> Value:
    """What `made` gives of the row. `what` names it.

    Raises:
        NewerRow: this release does not know what it says.
    """
    try:
        return made()
    except (KeyError, ValueError, ValidationError) as error:
        fault = _fault(error)
        raise NewerRow(f"{what} is of a newer Roost ({fault}) and is left alone: finish the upgrade") from error


def known(rows: Iterable[DictRow], of: Callable[[DictRow], Value]) -> list[Value]:
    """Those rows that this release knows."""
    found = []
    for row in rows:
        try:
            found.append(of(row))
        except NewerRow as error:
            _tell(str(error))
    return found


@lru_cache(maxsize=_KEPT)
def _tell(said: str) -> None:
    # Cached: lists are read every second.
    log.warning("%s", said, extra={"action": "newer_row"})


def _fault(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {str(first.get('input'))[:80]!r}"
    return str(error)[:120]
