"""The local stack as a whole: which parts, prepared and under a supervisor."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Callable, Iterator, Mapping, Sequence

import yaml
from pydantic import BaseModel, ConfigDict

from roost import settings
from roost.contracts.errors import Conflict, SettingsInvalid
from roost.embedded import addresses as chosen
from roost.embedded import airflow_home, apache_kafka, catalogue, leftovers, local_policy, ports, supervisor_config
from roost.embedded.blueprint import SOURCE, Blueprint
from roost.embedded.observation import Observer
from roost.embedded.part import Part
from roost.embedded.state_dir import StateDir, write_private
from roost.embedded.supervisor import Supervisor
from roost.settings import Bus


class Run(BaseModel):
    """What one start was asked for, kept for the commands that come later."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Names of the settings that were given then: they say which parts are external.
    given: frozenset[str] = frozenset()
    #: Parts that were asked for; none means all.
    only: tuple[str, ...] = ()
    bus: Bus = "embedded"
    #: Seconds that each part took to be ready.
    seconds: dict[str, float] = {}


class Stack:
    """One stack and its parts."""

    def __init__(self, blueprint: Blueprint, run: Run) -> None:
        """Nothing is written or started. Raises `SettingsInvalid` where `run.only` names an unknown part."""
        self.blueprint = blueprint
        self.run = run
        self.state = blueprint.state
        self.parts = _selected(catalogue.parts(blueprint), run.only)
        self.externals = [] if run.only else catalogue.externals(blueprint)
        self.supervisor = Supervisor(self.state)

    def fetch(self, say: Callable[[str], None]) -> None:
        """Bring what no wheel has, telling how far it is. Raises `SettingsInvalid` where that cannot be."""
        if self.blueprint.bus == "apache" and any(part.name == "broker" for part in self.parts):
            apache_kafka.installed(settings.cache_dir(), say)

    def prepare(self) -> None:
        """Write every file that the parts read, and start supervisord with no part running.

        Raises:
            SettingsInvalid: a port is taken, a path cannot be used, or supervisord does not start.
        """
        for part in self.parts:
            for purpose, port in part.ports.items():
                ports.require_free(part.name, purpose, port)
        state, addresses = self.state, self.blueprint.addresses
        state.prepare()
        chosen.save(state, addresses)
        self.remember({})
        write_private(state.settings, yaml.safe_dump(self.blueprint.settings_document(), sort_keys=False))
        write_private(state.nodes, json.dumps(self.blueprint.node_list(), indent=1) + "\n")
        local_policy.write_once(state)
        airflow_home.write(state, addresses, SOURCE / "dags")
        write_private(self.supervisor.config, supervisor_config.render(state, self.parts))
        self.supervisor.start(self._environment())

    def remember(self, seconds: Mapping[str, float]) -> None:
        """Keep what was asked for and how long each part took."""
        self.run = self.run.model_copy(update={"seconds": {name: round(took, 1) for name, took in seconds.items()}})
        write_private(self.state.run, self.run.model_dump_json(indent=1) + "\n")

    def observer(self) -> Observer:
        """Asks the parts how they are."""
        return Observer(self.parts, self.externals)

    def _environment(self) -> dict[str, str]:
        return settings.without_ours() | {
            leftovers.VARIABLE: self.blueprint.addresses.id,
            "ROOST_SETTINGS_FILE": str(self.state.settings),
            "AIRFLOW_HOME": str(self.state.airflow),
            "PYTHONPATH": str(SOURCE),
            "PYTHONUNBUFFERED": "1",
            # Airflow names its processes; without this the name overwrites the id by which we find them.
            "SPT_NOENV": "1",
        }


def plan(state: StateDir, wanted: Mapping[str, int], only: Sequence[str], bus: Bus | None = None) -> Stack:
    """A stack as the environment and the arguments ask for it, on the ports that it had before where they are free."""
    addresses = chosen.move_aside(chosen.choose(chosen.load(state), wanted))
    given = frozenset(row.variable for row in settings.described() if row.source != "default")
    outside = settings.load()
    bus = bus or outside.stack.bus
    blueprint = Blueprint(state=state, addresses=addresses, outside=outside, given=given, bus=bus)
    return Stack(blueprint, Run(given=given, only=tuple(only), bus=bus))


def last(state: StateDir) -> Stack | None:
    """The stack of that state directory as it was last started, None where there never was one."""
    addresses = chosen.load(state)
    if addresses is None or not state.run.is_file():
        return None
    run = Run.model_validate_json(state.run.read_text())
    blueprint = Blueprint(state=state, addresses=addresses, outside=settings.load(), given=run.given, bus=run.bus)
    return Stack(blueprint, run)


@contextlib.contextmanager
def sole(state: StateDir) -> Iterator[None]:
    """Let one command at a time start or stop this stack.

    Raises:
        Conflict: another one does so now.
    """
    state.prepare()
    with state.lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(
                f"another `roost up` works in {state.root} now: wait until it is done, or end it by roost down"
            ) from None
        yield


def _selected(parts: Sequence[Part], only: Sequence[str]) -> list[Part]:
    by_name = {part.name: part for part in parts}
    if unknown := sorted(set(only) - set(by_name)):
        raise SettingsInvalid(f"no part is called {unknown[0]}; there are {', '.join(by_name)}")
    wanted = list(only) or list(by_name)
    for name in wanted:
        wanted += [needed for needed in by_name[name].after if needed not in wanted]
    return [part for part in parts if part.name in wanted]
