"""How often and how soon a load that failed is tried again."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from serving.model_server.statuses import Code, StatusError

_LOG = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadingPolicy:
    """How loads are run and retried. Zero threads mean: in the deciding thread itself, one after another.

    `tick_seconds` above zero: one load or unload begins in that time, an unload before a load.
    """

    load_threads: int
    unload_threads: int
    max_retries: int
    retry_seconds: float
    tick_seconds: float = 0.0


def with_retries(load: Callable[[], T], what: str, policy: LoadingPolicy, unwanted: threading.Event) -> T:
    """Load, again and again where it fails, until it is no longer wanted. Raises the last try's StatusError."""
    for attempt in range(max(0, policy.max_retries) + 1):
        try:
            return load()
        except StatusError as error:
            _LOG.error("%s failed: %s", what, error)
            if attempt >= policy.max_retries or unwanted.wait(policy.retry_seconds):
                raise
            _LOG.info("Retrying of %s retry: %s", what, attempt + 1)
    raise StatusError(Code.INTERNAL, f"max_num_load_retries is {policy.max_retries}")
