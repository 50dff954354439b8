"""Loading a version: from its directory to a servable that is warm, measured on the way."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from serving.model_server.metrics import Metrics
from serving.model_server.servable import LoadOptions, Servable
from serving.model_server.statuses import StatusError
from serving.model_server.tfrecord import DamagedRecords
from serving.model_server.warmup import WARMUP_FILE, warm_up

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """Loads versions, each the same way. `warmup_iterations` 0: no warm-up."""

    options: LoadOptions
    warmup_iterations: int
    metrics: Metrics

    def load(self, name: str, version: int, directory: Path) -> Servable:
        """Load and warm up one version. Raises StatusError, with nothing left behind."""
        servable = self._timed_load(name, version, directory)
        try:
            self._warm_up(servable)
        except BaseException:
            servable.close()
            raise
        return servable

    def _timed_load(self, name: str, version: int, directory: Path) -> Servable:
        path = str(directory)
        started = time.perf_counter()
        try:
            servable = Servable(name, version, directory, self.options)
        except StatusError:
            self.metrics.load_attempts.add(path, "fail")
            raise
        self.metrics.load_attempts.add(path, "success")
        self.metrics.load_latency.add(path, amount=_microseconds(started))
        return servable

    def _warm_up(self, servable: Servable) -> None:
        if not self.warmup_iterations:
            return
        path = str(servable.directory)
        started = time.perf_counter()
        try:
            count = warm_up(servable, self.warmup_iterations)
        except DamagedRecords as error:
            self.metrics.warmup_latency.add(path, str(error), value=_microseconds(started))
            hint = ". Please verify your warmup data is in TFRecord format."
            raise StatusError(error.code, error.message + hint) from error
        if count is not None:
            elapsed = _microseconds(started)
            self.metrics.warmup_latency.add(path, "OK", value=elapsed)
            _LOG.info(
                "Finished reading warmup data for model at %s. Number of warmup records read: %s. "
                "Elapsed time (microseconds): %s.",
                servable.directory / WARMUP_FILE,
                count,
                elapsed,
            )


def _microseconds(started: float) -> int:
    return int((time.perf_counter() - started) * 1e6)
