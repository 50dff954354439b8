"""Commands of `roost`: the topics on the event bus."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from roost import settings
from roost.cli import wording
from roost.contracts.errors import BrokerRefused

if TYPE_CHECKING:
    from roost.adapters.kafka import AclReport, Behind
    from roost.ports.event_bus import TopicSpec
    from roost.settings import KafkaSettings

PANEL = "Events"
#: What may become of a topic, beside nothing.
_CHANGES: Final = frozenset({"created", "changed"})
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    topics = typer.Typer(help="The topics on the event bus.", no_args_is_help=True)
    topics.callback()(_group)
    topics.command("ensure")(ensure_topics)
    topics.command("rights")(show_rights)
    topics.command("lag")(show_lag)
    app.add_typer(topics, name="topics", rich_help_panel=PANEL)


def _group() -> None:
    """The topics on the event bus."""


def ensure_topics(
    acls: Annotated[bool, typer.Option("--acls", help="Also give every account its rights.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be done.")] = False,
    as_json: Json = False,
) -> None:
    """Make every topic with its partitions and retention; what is as it should be is left alone."""
    from roost.adapters.kafka import ensure_acls, open_admin
    from roost.ports.event_bus import topics

    kafka = settings.load().kafka
    # Rights first: with them the account of the set-up may make the topics.
    report = ensure_acls(kafka, dry_run=dry_run) if acls else None
    wanted = topics(partitions=kafka.partitions, replication=kafka.replication)
    done = _planned(kafka, wanted, report) if dry_run else open_admin(kafka).ensure(wanted)
    if as_json:
        print(json.dumps({"topics": done, "acls": _acls_document(report)} if report else done))
        return
    for name, result in done.items():
        print(f"{name:<16} {f'would be {result}' if dry_run and result in _CHANGES else result}")
    if report:
        _print_acls(report, dry_run=dry_run)


def _planned(kafka: KafkaSettings, wanted: Sequence[TopicSpec], report: AclReport | None) -> dict[str, str]:
    """What would be done with the topics. Before its rights are given, the account of the set-up may not see them."""
    from roost.adapters.kafka.described import planned

    try:
        return planned(kafka, wanted)
    except BrokerRefused:
        if report is None or not report.created:
            raise
        return {spec.name.value: "hidden until the rights are given" for spec in wanted}


def _acls_document(report: AclReport) -> dict[str, list[str]]:
    return {
        field: [str(entry) for entry in getattr(report, field)] for field in ("created", "kept", "surplus", "others")
    }


def _print_acls(report: AclReport, *, dry_run: bool) -> None:
    said = "would be created" if dry_run else "created"
    print(f"ACLs: {len(report.created)} {said}, {len(report.kept)} there already")
    for entry in report.created:
        print(f"  {said}: {entry}")
    for entry in report.surplus:
        print(f"  surplus: {entry}. Its process does not need it: kafka-acls --remove")
    for entry in report.others:
        print(f"  of others: {entry}")


def show_rights(as_json: Json = False) -> None:
    """What each account may do on the event bus, with its name in Kafka. Asks no broker."""
    from roost.adapters.kafka import principal
    from roost.contracts.event_rights import DUTIES

    kafka = settings.load().kafka
    rows = [(account, principal(kafka, account), right) for account, duty in DUTIES.items() for right in duty.rights()]
    if as_json:
        print(
            json.dumps([{"account": one, "principal": who, "right": str(right)} for one, who, right in rows], indent=1)
        )
        return
    for _, who, right in rows:
        print(f"{who} may {right}")


def show_lag(as_json: Json = False) -> None:
    """How far Roost's consumers are behind, asked of Kafka. Exit code 1 where events wait and nobody reads them."""
    from dataclasses import asdict

    from roost.adapters.kafka import lag

    rows = lag(settings.load().kafka)
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        _print_lag(rows)
    if any(row.lag and not row.members for row in rows):
        raise typer.Exit(1)


def _print_lag(rows: Sequence[Behind]) -> None:
    from rich.table import Table

    table = Table("topic", "partition", "read to", "end", "behind", "group", "members")
    for row in rows:
        read = "-" if row.committed is None else str(row.committed)
        numbers = (str(row.partition), read, str(row.end), str(row.lag))
        table.add_row(row.topic, *numbers, row.group, str(row.members or "none"))
    wording.screen().print(table)
    print(f"{wording.counted(sum(row.lag for row in rows), 'event')} behind")
