"""Settings: the only reader of the environment.

Every field is an environment variable ``ROOST_<SECTION>__<FIELD>``; a file named by ``ROOST_SETTINGS_FILE`` (YAML, the
same names nested) stands below the environment; defaults stand below both. `roost up` writes such a file for its own
processes, so that production and one machine differ in addresses only.
"""

from roost.settings.dependencies import AirflowSettings, DatabaseSettings, KafkaSettings, StorageSettings
from roost.settings.environment import Settings, adopt_local_stack, cache_dir, load, without_ours
from roost.settings.listing import DescribedSetting, described
from roost.settings.processes import ConsoleSettings, DeployerSettings, TrainingSettings
from roost.settings.section import Section
from roost.settings.serving import GatewaySettings, ServingSettings, TokenIssuer
from roost.settings.stack import Bus, StackSettings
from roost.settings.tracing import TracingSettings

__all__ = (
    "AirflowSettings",
    "Bus",
    "ConsoleSettings",
    "DatabaseSettings",
    "DeployerSettings",
    "DescribedSetting",
    "GatewaySettings",
    "KafkaSettings",
    "Section",
    "ServingSettings",
    "Settings",
    "StackSettings",
    "StorageSettings",
    "TokenIssuer",
    "TracingSettings",
    "TrainingSettings",
    "adopt_local_stack",
    "cache_dir",
    "described",
    "load",
    "without_ours",
)
