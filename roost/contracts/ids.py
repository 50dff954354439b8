"""Identifiers. Every path, name and query is built from these validated values only."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints

from roost.contracts.errors import Permanent

#: Customer and model ids: what a DNS label allows, so that they fit in hosts, labels and paths.
ID_PATTERN: Final = r"^[a-z0-9][a-z0-9-]{0,62}$"
#: Airflow's own rule for run ids, less the characters that a path would need to escape.
RUN_ID_PATTERN: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.~+-]{0,199}$"
#: So often a run may stage, each time beside what it left unfinished before.
MOST_ATTEMPTS: Final = 100
DIGEST_PATTERN: Final = r"^sha256:[0-9a-f]{64}$"
#: TensorFlow Serving keeps versions as int64.
MAX_VERSION: Final = 2**63 - 1

_ID = re.compile(ID_PATTERN)
_RUN_ID = re.compile(RUN_ID_PATTERN)


class InvalidId(Permanent):
    """An identifier breaks its pattern."""


def _no_newline(value: str) -> str:
    # `$` also matches before a final newline in some engines; an id never holds one.
    if "\n" in value:
        raise ValueError("must not contain a line break")
    return value


CustomerId = Annotated[str, StringConstraints(pattern=ID_PATTERN), AfterValidator(_no_newline)]
ModelId = Annotated[str, StringConstraints(pattern=ID_PATTERN), AfterValidator(_no_newline)]
PoolId = Annotated[str, StringConstraints(pattern=ID_PATTERN), AfterValidator(_no_newline)]
RunId = Annotated[str, StringConstraints(pattern=RUN_ID_PATTERN), AfterValidator(_no_newline)]
Digest = Annotated[str, StringConstraints(pattern=DIGEST_PATTERN)]

#: The model that a customer gets when nobody names one.
DEFAULT_MODEL: Final = "default"


def check_id(value: str, what: str = "id") -> str:
    """Return `value` if it is a customer, model or pool id.

    Raises:
        InvalidId: naming `what`, the value and the rule.
    """
    if not _ID.fullmatch(value):
        raise InvalidId(
            f"{what} {value[:80]!r} is not valid: use 1 to 63 of a-z, 0-9 and '-', starting with a letter or digit"
        )
    return value


def check_run_id(value: str) -> str:
    """Return `value` if it is a training run id.

    Raises:
        InvalidId: naming the value and the rule.
    """
    if not _RUN_ID.fullmatch(value):
        raise InvalidId(f"run id {value[:80]!r} is not valid: use 1 to 200 of A-Z, a-z, 0-9, '_', '.', '~', '+', '-'")
    return value


def served_name(customer: str, model: str) -> str:
    """Name under which the model server knows a customer's model: ``<customer>.<model>``."""
    return f"{check_id(customer, 'customer id')}.{check_id(model, 'model id')}"


def split_served_name(name: str) -> tuple[str, str]:
    """Customer and model of a served name.

    Raises:
        InvalidId: if `name` is not of the form ``<customer>.<model>``.
    """
    customer, dot, model = name.partition(".")
    if not dot:
        raise InvalidId(f"served name {name[:80]!r} is not valid: expected <customer>.<model>")
    return check_id(customer, "customer id"), check_id(model, "model id")


def rollout_id(customer: str, model: str, digest: str) -> str:
    """Identity of the rollout of one artifact: 16 hexadecimal digits that anybody can compute from the event."""
    return hashlib.sha256(f"{served_name(customer, model)} {digest}".encode()).hexdigest()[:16]


def attempts_of(run_id: str) -> tuple[str, ...]:
    """Every id under which a run may stage: its own, and ``<run_id>~2`` and so on where attempts died half-way."""
    return (run_id, *(f"{run_id}~{attempt}" for attempt in range(2, MOST_ATTEMPTS + 1)))


def run_of(attempt: str) -> str:
    """The run that an attempt is of: the engine knows no other id."""
    run_id, _, number = attempt.rpartition("~")
    return run_id if run_id and number.isdecimal() else attempt


def staging_prefix(customer: str, model: str, run_id: str) -> str:
    """Object-store prefix, ending in a slash, under which training writes one run's artifact."""
    name = served_name(customer, model)
    customer, model = split_served_name(name)
    return f"staging/{customer}/{model}/{check_run_id(run_id)}/"


def version_prefix(customer: str, model: str, version: int) -> str:
    """Object-store prefix, ending in a slash, of one deployed version. Written once, by the deployer."""
    if not 0 < version <= MAX_VERSION:
        raise InvalidId(f"version {version} is not valid: expected 1 to {MAX_VERSION}")
    check_id(customer, "customer id")
    check_id(model, "model id")
    return f"models/{customer}/{model}/{version}/"


def recorded_prefix(customer: str, model: str) -> str:
    """Object-store prefix, ending in a slash, of requests recorded for the canary. Written by serving nodes."""
    return f"recorded/{check_id(customer, 'customer id')}/{check_id(model, 'model id')}/"


def desired_object(pool: str) -> str:
    """Object name of a pool's desired state."""
    return f"fleet/{check_id(pool, 'pool id')}/desired.json"


def config_object(pool: str) -> str:
    """Object name of the same in TensorFlow Serving's text format, for a stock model server."""
    return f"fleet/{check_id(pool, 'pool id')}/models.config"
