"""Every program by its name: what it measures, against what, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bench.options import Options
from bench.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One or more benchmarks that are measured in one go."""

    #: Names it answers to.
    names: tuple[str, ...]
    measures: str
    against: str
    #: On two idle cores, with the defaults.
    minutes: float
    run: Callable[[Options], Sequence[Report]]


def _ready(options: Options) -> Sequence[Report]:
    from bench import b1

    return b1.run(options)


def _gateway(options: Options) -> Sequence[Report]:
    from bench import gateway

    return [gateway.run(rounds=options.count * 2)]


def _churn(options: Options) -> Sequence[Report]:
    from bench import churn

    return churn.run(options)


def _neighbour(options: Options) -> Sequence[Report]:
    from bench import neighbour

    return [neighbour.run(single=options.count * 2, bursts=max(2, options.count // 3))]


def _planner(_: Options) -> Sequence[Report]:
    from bench import planner

    return [planner.run()]


def _pools(options: Options) -> Sequence[Report]:
    from bench import pools

    return [pools.run(rounds=max(2, options.count // 3))]


def _model_server(options: Options) -> Sequence[Report]:
    from bench import model_server

    return model_server.run(options)


def _startup(options: Options) -> Sequence[Report]:
    from bench import startup

    return startup.run(options)


def _signup(options: Options) -> Sequence[Report]:
    from bench import signup

    return signup.run(options)


PROGRAMS: Final = (
    Program(
        names=("B1", "B2"),
        measures="ready to serving: models.ready to the first right answer of every node; and the skew between nodes",
        against="servers that poll their configuration file; copy, load and requests with nothing around them",
        minutes=5,
        run=_ready,
    ),
    Program(
        names=("B9",),
        measures="roost up: seconds to ready, memory",
        against="Airflow alone",
        minutes=2,
        run=_startup,
    ),
    Program(
        names=("B10",),
        measures="signup to the first right answer of every node, Airflow and training included",
        against="24 hours, the published predecessor",
        minutes=3,
        run=_signup,
    ),
    Program(
        names=("B8",),
        measures="what the gateway adds to a prediction",
        against="the same upstream asked directly, and a bare Envoy",
        minutes=1,
        run=_gateway,
    ),
    Program(
        names=("B5",),
        measures="how much slower an untouched model answers while its node loads others",
        against="the same model while nothing loads, in turns",
        minutes=2,
        run=_neighbour,
    ),
    Program(
        names=("B4",),
        measures="what a promotion of one model costs among up to 50,000: plan, encode, parse, render",
        against="plain protobuf of the same list",
        minutes=2,
        run=_planner,
    ),
    Program(
        names=("FRONT",),
        measures="what it costs to find a name's pool among 10,000, and to move a name",
        against="a front without a placement, a route a name, a tree of path prefixes",
        minutes=1,
        run=_pools,
    ),
    Program(
        names=("MS",),
        measures="the drop-in model server: calls a second of one core, seconds and memory of a model",
        against="a bare loop over the run, and both doors with nothing behind them",
        minutes=2,
        run=_model_server,
    ),
    Program(
        names=("B11",),
        measures="churn: 100, 1,000 and 3,000 models loaded, asked and unloaded in one model server, twice each",
        against="a published limit: 600 models pass, 1,000 fail",
        minutes=8,
        run=_churn,
    ),
)
#: What `python -m bench` runs when nothing is named.
DEFAULT: Final = ("B1", "B2", "B9", "B10")


def chosen(names: Sequence[str]) -> list[Program]:
    """The programs of those names, each once, in the order of the list.

    Raises:
        ValueError: naming the one that does not exist, and those that do.
    """
    known = [name for program in PROGRAMS for name in program.names]
    for name in names:
        if name not in known:
            raise ValueError(f"no benchmark is called {name!r}; there are {', '.join(known)}")
    return [program for program in PROGRAMS if set(program.names) & set(names)]
