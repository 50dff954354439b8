"""Commands of `roost`: messages that could not be handled."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from roost import settings
from roost.cli import wording
from roost.cli.bus import PANEL, Json
from roost.contracts.errors import NotFound, Permanent
from roost.contracts.events import Topic

if TYPE_CHECKING:
    from consumers.dead_letters import DeadLetter


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    letters = typer.Typer(help="Messages that could not be handled, with the reason.", no_args_is_help=True)
    letters.command("list")(list_letters)
    letters.command("show")(show_letter)
    letters.command("replay")(replay_letters)
    app.add_typer(letters, name="dead-letters", rich_help_panel=PANEL)


def list_letters(
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    topic: Annotated[str | None, typer.Option(help="Only those that came on this topic.")] = None,
    as_json: Json = False,
) -> None:
    """Newest dead letters, newest last."""
    found = sorted((one for one in _letters() if topic in (None, one.topic)), key=lambda one: (one.at, one.id))[-limit:]
    if as_json:
        print(json.dumps([_document(one) for one in found], indent=1))
        return
    if not found:
        print("There are no dead letters." if topic is None else f"There are no dead letters that came on {topic}.")
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table("id", "at", "came on", "bytes", "why")
    for one in found:
        came = f"{one.topic} {one.partition}-{one.offset}"
        table.add_row(one.id, _when(one.at), escape(came), str(one.size), escape(one.reason))
    wording.screen().print(table)


def _when(text: str) -> str:
    """In local time, as all commands; a text that is no time as it is: who buried it may not have been Roost."""
    try:
        return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return text


def show_letter(
    letter: Annotated[str, typer.Argument(help="Its id in the list, such as 2-15.")], as_json: Json = False
) -> None:
    """One dead letter with its original bytes."""
    found = _letter(letter)
    if as_json:
        print(json.dumps(_document(found, with_bytes=True), indent=1))
        return
    for name, value in _document(found).items():
        print(f"{name:<10} {value}")
    for name, content in found.headers:
        print(f"header     {name}: {content.decode(errors='backslashreplace')[:500]!r}")
    print(f"key        {found.key!r}")
    print("value      " + ("(null)" if found.value is None else found.value[:4000].decode(errors="backslashreplace")))


def replay_letters(
    letters: Annotated[list[str] | None, typer.Argument(help="Ids in the list, such as 2-15.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every letter that holds a whole message.")] = False,
    as_json: Json = False,
) -> None:
    """Publish the original messages again, where they came from. What was handled before changes nothing."""
    if bool(letters) == everything:
        raise Permanent("name the dead letters to replay, or say --all: see `roost dead-letters list`")
    from roost.adapters.kafka import open_publisher

    chosen = [one for one in _letters() if one.complete] if everything else [_letter(name) for name in letters or ()]
    originals = [(one.id, *one.original()) for one in chosen]
    publisher = open_publisher(settings.load().kafka)
    for _, topic, message in originals:
        publisher.send(topic, message)
    publisher.close()
    if as_json:
        print(json.dumps([{"id": name, "topic": topic} for name, topic, _ in originals]))
        return
    for name, topic, _ in originals:
        print(f"{name} published to {topic} again")
    print(f"{len(originals)} replayed. One that is still wrong comes back as a new dead letter.")


def _letters() -> Iterator[DeadLetter]:
    from consumers.dead_letters import unwrap
    from roost.adapters.kafka import open_reader

    return map(unwrap, open_reader(settings.load().kafka).read(Topic.DEAD_LETTERS))


def _letter(name: str) -> DeadLetter:
    from consumers.dead_letters import unwrap
    from roost.adapters.kafka import open_reader

    partition, dash, offset = name.partition("-")
    if not (dash and partition.isdecimal() and offset.isdecimal()):
        raise NotFound(f"{name!r} is not the id of a dead letter: expected PARTITION-OFFSET, such as 2-15")
    found = open_reader(settings.load().kafka).at(Topic.DEAD_LETTERS, int(partition), int(offset))
    if found is None:
        raise NotFound(f"there is no dead letter {name}: see `roost dead-letters list`")
    return unwrap(found)


def _document(letter: DeadLetter, *, with_bytes: bool = False) -> dict[str, object]:
    document: dict[str, object] = {
        "id": letter.id,
        "at": letter.at,
        "reason": letter.reason,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "size": letter.size,
        "sha256": letter.sha256,
        "complete": letter.complete,
    }
    if with_bytes:
        document |= {
            "key": _base64(letter.key),
            "value": _base64(letter.value),
            "headers": [[name, _base64(content)] for name, content in letter.headers],
        }
    return document


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()
