"""The memory-debt meter: what unloading did not give back.

The resident set R of a model server is kept apart as

    R = base + charges + debt + the rest

- *base*: the server without any version. Measured when it starts.
- *charge* of a loaded version: by how much R grew while it loaded (shared by size on disk where several loaded at
  once), and what it took out of the debt: memory that an allocator kept is used again, so a version that grew R by
  less than its own files have bytes is charged the difference too, and the debt falls by as much.
- *debt*: the sum over all unloads of charge minus what R fell by. It never exceeds what R leaves unexplained
  (R - base - charges), so whatever comes back later, by itself, lowers it.
- *the rest*: what predictions took. It is no debt: unloading has not caused it.

Source: double-entry book-keeping over `/proc/PID/statm`, as `psutil` reads it; there is no call of TensorFlow Serving
that tells the memory of one version. Limits: R counts pages, and includes clean pages of shared libraries; predictions
that run while a version loads or leaves are counted with it; a version that loads while another leaves is charged what
the one before it under the same name was, or its bytes on disk; the first load after an empty start is charged what
TensorFlow sets up only once, so that its unloading may show a debt of that size.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from serving.node.integrity import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An instant: the resident set, and the sum of all that was booked until then."""

    resident: int
    booked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parting:
    """What an unload of several versions together did. Bytes."""

    before: int
    after: int
    #: By version.
    leaked: Mapping[Key, int]


class MemoryMeter:
    """The books of one model server. All sizes in bytes."""

    def __init__(self) -> None:
        self._base: int | None = None
        self._debt = 0
        self._charges: dict[Key, int] = {}
        #: Growth less what came back, of all that was booked: what happens beside a load or an unload is not its own.
        self._booked = 0

    @property
    def base(self) -> int | None:
        """The server without any version; None before it has started."""
        return self._base

    @property
    def charged(self) -> int | None:
        """What the loaded versions have; None before the server has started."""
        return None if self._base is None else sum(self._charges.values())

    def started(self, resident: int | None, loaded: Mapping[Key, int]) -> None:
        """A fresh server is up with these versions, each with its best-known size."""
        self._charges = dict(loaded)
        self._debt = self._booked = 0
        self._base = None if resident is None else max(0, resident - sum(loaded.values()))

    def mark(self, resident: int | None) -> Mark | None:
        """The instant before a load or an unload; None where the server's size is unknown."""
        return None if resident is None else Mark(resident=resident, booked=self._booked)

    def has(self, key: Key) -> bool:
        """Whether that version is booked as loaded."""
        return key in self._charges

    def loaded(self, mark: Mark | None, resident: int | None, sizes: Mapping[Key, int]) -> dict[Key, int]:
        """Book versions that have come since `mark`, with their bytes on disk. Returns the growth that each brought."""
        if mark is None or resident is None:
            return {}
        growth = max(0, (resident - mark.resident) - (self._booked - mark.booked))
        return self._charge(growth, sizes)

    def loaded_beside(self, sizes: Mapping[Key, int]) -> None:
        """Book versions that came while others were leaving, when nothing could be measured, at their likely size."""
        likely = {key: self._sibling(key) or size for key, size in sizes.items()}
        self._charge(sum(likely.values()), likely)

    def unloaded(self, mark: Mark | None, resident: int | None, keys: Collection[Key]) -> Parting | None:
        """Book versions that have left since `mark`. None where nothing could be measured; then nothing has leaked."""
        charges = {key: self._charges.pop(key, 0) for key in keys}
        charge = sum(charges.values())
        if mark is None or resident is None:
            self._booked -= charge
            return None
        freed = (mark.resident - resident) + (self._booked - mark.booked)
        self._booked -= freed
        self._debt = max(0, self._debt + charge - freed)
        leaked = max(0, charge - freed)
        shares = {key: leaked * size // charge if charge else 0 for key, size in charges.items()}
        return Parting(before=mark.resident, after=resident, leaked=shares)

    def debt(self, resident: int | None) -> int | None:
        """Bytes that unloading did not give back, as of now; None where nothing is known."""
        if resident is None or self._base is None:
            return None
        self._debt = min(self._debt, max(0, resident - self._base - sum(self._charges.values())))
        return self._debt

    def _charge(self, growth: int, sizes: Mapping[Key, int]) -> dict[Key, int]:
        total = sum(sizes.values())
        again = min(self._debt, max(0, total - growth))
        self._debt -= again
        self._booked += growth
        shares = {key: size / total if total else 1 / len(sizes) for key, size in sizes.items()}
        for key, share in shares.items():
            self._charges[key] = int((growth + again) * share)
        return {key: int(growth * share) for key, share in shares.items()}

    def _sibling(self, key: Key) -> int | None:
        name, version = key
        known = [(other, size) for (each, other), size in self._charges.items() if each == name and other != version]
        return max(known)[1] if known else None
