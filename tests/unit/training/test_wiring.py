from __future__ import annotations

import pytest

from roost.contracts.errors import SettingsInvalid
from roost.settings import Settings, TrainingSettings
from training.datasets.flights import FlightsDataset
from training.models.tabular import TabularClassifier
from training.wiring import open_dataset, open_trainer


def test_the_defaults_are_the_bundled_ones() -> None:
    assert isinstance(open_dataset(Settings()), FlightsDataset)
    assert isinstance(open_trainer(Settings()), TabularClassifier)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("no_colon", "write module:attribute"),
        ("no_such_module_here:Trainer", "no_such_module_here cannot be imported"),
        ("training.models.tabular:Missing", "has no class or function Missing"),
        ("training.models.tabular:OUTPUT", "has no class or function OUTPUT"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_naming_the_setting(name: str, remedy: str) -> None:
    settings = Settings(training=TrainingSettings(trainer=name))
    with pytest.raises(SettingsInvalid, match=f"ROOST_TRAINING__TRAINER is '{name}': .*{remedy}"):
        open_trainer(settings)
