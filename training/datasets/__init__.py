"""Where training data come from. `settings.training.dataset` names one as ``module:attribute``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from roost.ports.object_store import ObjectStore
from roost.settings import TrainingSettings
from training.examples import Examples, Schema, Window


class Dataset(Protocol):
    """Labelled rows of customers."""

    def schema(self, customer: str) -> Schema:
        """What the customer's columns are. Raises `TrainingRefused` where the customer has no data."""

    def load(self, customer: str, window: Window | None) -> Examples:
        """The customer's rows, in order of time; all there are where `window` is None.

        Raises:
            TrainingRefused: an unknown customer, or a column is missing or of another type; naming it.
            StorageUnavailable: the data cannot be read now.
        """

    def customers_alike(self, customer: str) -> Sequence[str]:
        """Others whose rows tell something about this customer's, most alike first. May be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSources:
    """What a data set may read from. Opened only when asked for."""

    open_store: Callable[[], ObjectStore]
    settings: TrainingSettings


#: What `settings.training.dataset` names: called once a run.
DatasetFactory = Callable[[DataSources], Dataset]
