"""When the memory of what was unloaded is given back to the system: once for many, not once for each."""

import threading
import time
from collections.abc import Callable


class GivingBack:
    """Calls `give_back` when nothing more is about to be freed, and every `seconds` while more goes on being freed.

    It looks through all of the process's free memory, which took two thirds of the time of unloading thousands of
    models when it was done after each. Safe for threads.
    """

    def __init__(
        self, give_back: Callable[[], None], *, seconds: float = 5.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing waits to be given back yet."""
        self._give_back = give_back
        self._seconds = seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        #: Since when something that was freed waits to be given back.
        self._since: float | None = None

    def freed(self, *, more: bool) -> None:
        """Something has been freed; with `more`, something else is about to be, and this will be called again then."""
        now = self._monotonic()
        with self._lock:
            since = now if self._since is None else self._since
            self._since = since if more and now - since < self._seconds else None
            if self._since is not None:
                return
        self._give_back()

    def settle(self) -> None:
        """Give back what still waits: nothing more is about to be freed, though that was expected."""
        with self._lock:
            waits, self._since = self._since is not None, None
        if waits:
            self._give_back()
