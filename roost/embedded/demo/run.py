"""Runs the demo from an empty state directory of its own to the final table."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from roost import settings as roost_settings
from roost.adapters.node_directory import DirectoryFile
from roost.contracts.errors import RoostError, SettingsInvalid
from roost.embedded import commands, stopping
from roost.embedded.demo import acts
from roost.embedded.demo.api import Api
from roost.embedded.demo.stage import Stage
from roost.embedded.state_dir import StateDir
from roost.ports.clock import SystemClock
from roost.settings import Settings
from training.datasets.flights import FlightsDataset

#: Flights of each airline that are asked.
_REQUESTS: Final = 12
ACTS: Final = (
    acts.sign_up,
    acts.predict,
    acts.retrain_under_load,
    acts.refuse_nan,
    acts.roll_back,
    acts.kill_a_replica,
)


def run(settings: Settings, *, keep: bool) -> int:
    """Show everything; returns 0 where every statement held, else 1. With `keep` the stack stays up.

    Raises:
        RoostError: the stack did not start, or an act could not go on.
    """
    root = settings.state_dir / "demo"
    state = StateDir.at(root)
    console = Console()
    clock = SystemClock()
    begun = clock.monotonic()
    stopping.stop(state)
    shutil.rmtree(state.root, ignore_errors=True)
    console.print(f"[bold]Roost demo.[/] Everything lives under {root}; the stack takes about a minute to start.")
    code = commands.up(state, commands.UpOptions(), settings.model_copy(update={"state_dir": state.root}), stay=False)
    if code:
        return code
    try:
        stage = _stage(state, console)
        stage.figure("roost up, everything ready", f"{clock.monotonic() - begun:.0f} s")
        _play(stage)
    except BaseException:
        if not keep:
            stopping.stop(state)
        raise
    stage.figure("the whole demo", f"{clock.monotonic() - begun:.0f} s")
    _end(stage, state, keep=keep)
    return 1 if stage.record.broken else 0


def _stage(state: StateDir, console: Console) -> Stage:
    os.environ["ROOST_SETTINGS_FILE"] = str(state.settings)
    roost_settings.load.cache_clear()
    loaded = roost_settings.load()
    serving = loaded.serving
    if serving.directory_file is None or serving.rest is None or serving.grpc is None:
        raise SettingsInvalid("the demo runs on the serving nodes of the local stack: unset ROOST_SERVING__*")
    return Stage(
        settings=loaded,
        state_dir=Path(state.root),
        api=Api(loaded.console.url),
        clock=SystemClock(),
        console=console,
        nodes=tuple(DirectoryFile(serving.directory_file).nodes(serving.pool)),
        front_rest=serving.rest,
        front_grpc=serving.grpc,
    )


def _play(stage: Stage) -> None:
    flights = FlightsDataset()
    requests = {customer: flights.sample_requests(customer, _REQUESTS) for customer in acts.AIRLINES}
    for act in ACTS:
        try:
            act(stage, requests)
        except RoostError as error:
            stage.check(False, f"{act.__name__.replace('_', ' ')} could not go on: {error}")
            if act is acts.sign_up:
                return


def _end(stage: Stage, state: StateDir, *, keep: bool) -> None:
    table = Table("what", "figure", title="The demo in figures (this machine, this run)")
    for name, figure in stage.record.figures:
        table.add_row(name, figure)
    stage.console.print(table)
    for text in stage.record.broken:
        stage.console.print(f"[red]not so:[/] {text}")
    if keep:
        stage.console.print(f"It goes on running. Console: {stage.settings.console.url}")
        stage.console.print(f"Commands: ROOST_STATE_DIR={state.root} roost status | rollouts | why ua | down")
        return
    stage.console.print(
        f"The console was at {stage.settings.console.url}; `roost demo --keep` leaves all of it running."
    )
    stopping.stop(state)
