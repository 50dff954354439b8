"""Which versions of the servers Roost is made for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from roost.doctor.findings import Finding, doubtful, well, wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Supported:
    """A server's versions: below the first nothing is promised, above the last nothing was tried."""

    name: str
    oldest: tuple[int, ...]
    newest: tuple[int, ...]


#: What the suites run on is the newest of each (CONTRIBUTING.md); the oldest has what the code asks for.
SUPPORTED: Final[Mapping[str, Supported]] = {
    # Statement-level triggers on TRUNCATE, generated identities, SKIP LOCKED; 14 is the oldest that is maintained.
    "database": Supported(name="PostgreSQL", oldest=(14,), newest=(18,)),
    # Idempotent producers by default, and ACLs in the metadata quorum.
    "kafka": Supported(name="of the API of Apache Kafka", oldest=(3, 0), newest=(4, 1)),
    # The REST API v2 and the task SDK are of Airflow 3.
    "airflow": Supported(name="Airflow", oldest=(3, 0), newest=(3, 3)),
    # Validating admission, server-side apply and pod security by label are all stable since 1.25.
    "kubernetes": Supported(name="Kubernetes", oldest=(1, 25), newest=(1, 34)),
}


def version(about: str, said: str) -> Sequence[Finding]:
    """Whether that version is one of those. `said` is what the server says of itself, such as ``18.4``."""
    known = SUPPORTED[about]
    found = _numbers(said)
    oldest, newest = _text(known.oldest), _text(known.newest)
    if not found:
        remedy = f"is it {known.name} {oldest} to {newest}?"
        return (doubtful(about, f"its version {said!r} cannot be read", remedy),)
    if found[: len(known.oldest)] < known.oldest:
        return (wrong(about, f"it is {known.name} {said}", f"upgrade it: Roost needs {oldest} or newer"),)
    if found[: len(known.newest)] > known.newest:
        remedy = f"nothing, if all is well: Roost was tried up to {newest}"
        return (doubtful(about, f"it is {known.name} {said}, newer than what Roost was tried with", remedy),)
    return (well(about, f"it is {known.name} {said}"),)


def _numbers(said: str) -> tuple[int, ...]:
    """The leading numbers: of ``v1.34.4`` and ``18.4 (Debian 18.4-1)`` alike."""
    numbers: list[int] = []
    for part in said.strip().removeprefix("v").split(" ")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def _text(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
