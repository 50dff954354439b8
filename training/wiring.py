"""The one place where a training process gets its adapters, its data set and its trainer from the settings."""

from __future__ import annotations

import importlib
from typing import Any

from roost import policy_file
from roost.contracts.errors import SettingsInvalid
from roost.ports.clock import SystemClock
from roost.ports.event_bus import EventPublisher
from roost.ports.object_store import ObjectStore
from roost.settings import Settings
from training.datasets import Dataset, DatasetFactory, DataSources
from training.models import Trainer
from training.run import Workshop


def workshop(settings: Settings) -> Workshop:
    """Everything that a run works with.

    Raises:
        SettingsInvalid: a data set, a trainer or a policy file cannot be used; naming the setting.
        StorageUnavailable: the object store does not answer.
    """
    return Workshop(
        dataset=open_dataset(settings),
        trainer=open_trainer(settings),
        store=open_store(settings),
        policy=policy_file.read(settings.deployer.policy_file),
        settings=settings.training,
        clock=SystemClock(),
    )


def open_dataset(settings: Settings) -> Dataset:
    """What `settings.training.dataset` names."""
    factory: DatasetFactory = _named(settings.training.dataset, "ROOST_TRAINING__DATASET")
    return factory(DataSources(open_store=lambda: open_store(settings), settings=settings.training))


def open_trainer(settings: Settings) -> Trainer:
    """What `settings.training.trainer` names."""
    trainer: Trainer = _named(settings.training.trainer, "ROOST_TRAINING__TRAINER")()
    return trainer


def open_store(settings: Settings) -> ObjectStore:
    """The bucket."""
    from roost.adapters import gcs

    return gcs.open_store(settings.storage)


def open_publisher(settings: Settings) -> EventPublisher:
    """The bus."""
    from roost.adapters import kafka

    return kafka.open_publisher(settings.kafka)


def _named(name: str, setting: str) -> Any:
    module, colon, attribute = name.partition(":")
    if not colon:
        raise SettingsInvalid(f"{setting} is {name!r}: write module:attribute, such as my_models.churn:Trainer")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError as error:
        raise SettingsInvalid(f"{setting} is {name!r}: {module} cannot be imported: {error}") from error
    if not callable(found):
        raise SettingsInvalid(f"{setting} is {name!r}: {module} has no class or function {attribute}")
    return found
