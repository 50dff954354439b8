"""Generates the JSON Schemas and the AsyncAPI document from the payloads, and compares them with what is committed.

`python -m roost.contract_docs` writes `docs/schemas/*.json` and `docs/asyncapi.yaml`; with ``--check`` it only says
whether they are up to date. Either way it fails where today's payloads would break who relies on the schemas there: a
field that vanished, changed its type, lost a value that was allowed, or became required.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import yaml

from roost.contracts.events import CATALOGUE, Payload, Topic

DOCS: Final = Path("docs")
_ANYTHING: Final = "anything"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TOPICS: Final = {
    Topic.CUSTOMERS: "Customers who come and leave. Any system of yours may publish here.",
    Topic.MODELS_READY: "Training announces each artifact that it staged and checked.",
    Topic.DEPLOY_COMMANDS: "What people ask of the deployer.",
    Topic.DEPLOY_EVENTS: "What happened: each transition of each rollout, and operations.",
    Topic.DEAD_LETTERS: "Messages that could not be handled: original bytes, with the reason in `dead_` headers.",
}

Document = dict[str, object]


def schema_of(payload: type[Payload]) -> Document:
    """JSON Schema of one payload, complete in itself."""
    return {"$schema": _DIALECT, **payload.model_json_schema(mode="validation")}


def schemas() -> dict[str, Document]:
    """File name to schema, for every payload."""
    payloads = {payload.__name__: payload for payload, _ in CATALOGUE.values()}
    return {f"{name}.json": schema_of(payload) for name, payload in sorted(payloads.items())}


def asyncapi() -> Document:
    """The AsyncAPI 3 document: topics, messages in CloudEvents' binary mode, payloads by reference."""
    channels: dict[str, object] = {}
    operations: dict[str, object] = {}
    for topic, description in _TOPICS.items():
        kinds = [kind for kind, (_, where) in CATALOGUE.items() if where is topic]
        channels[topic.name.lower()] = {
            "address": topic.value,
            "description": description,
            "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in kinds},
        }
        if kinds:
            operations[f"receive_{topic.name.lower()}"] = {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{topic.name.lower()}"},
            }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Roost events",
            "version": "1",
            "description": "CloudEvents 1.0 over Kafka in binary mode; key: the subject, which is the customer id.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": {kind: _message(kind, payload) for kind, (payload, _) in CATALOGUE.items()},
            "messageTraits": {"cloudevent": {"headers": _headers()}},
        },
    }


def _message(kind: str, payload: type[Payload]) -> Document:
    summary = (payload.__doc__ or "").strip().splitlines()[0]
    return {
        "name": kind,
        "summary": summary,
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudevent"}],
        "payload": {"$ref": f"./schemas/{payload.__name__}.json"},
        "bindings": {"kafka": {"key": {"type": "string", "description": "the event's subject"}}},
    }


def _headers() -> Document:
    text = {"type": "string"}
    attributes = {f"ce_{name}": text for name in ("specversion", "id", "type", "source", "subject", "traceparent")}
    required = [f"ce_{name}" for name in ("specversion", "id", "type", "source", "subject", "time")]
    return {
        "type": "object",
        "properties": attributes
        | {"ce_time": {"type": "string", "format": "date-time"}, "content-type": text, "traceparent": text},
        "required": required,
    }


def broken(old: Document, new: Document) -> Iterator[str]:
    """What in `new` would break a producer or a consumer of `old`, one sentence each."""
    yield from _broken(old, new, _Definitions(old, new), "")


class _Definitions:
    """The named parts of both schemas, and which pairs were compared (payloads may be recursive)."""

    def __init__(self, old: Document, new: Document) -> None:
        self.old, self.new = _mapping(old.get("$defs")), _mapping(new.get("$defs"))
        self.compared: set[tuple[str, str]] = set()


def _broken(old: Document, new: Document, names: _Definitions, path: str) -> Iterator[str]:
    pair = (json.dumps(old, sort_keys=True), json.dumps(new, sort_keys=True))
    if pair in names.compared:
        return
    names.compared.add(pair)
    before, after = _kinds(old, names.old), _kinds(new, names.new)
    gone = before.keys() - after.keys() if _ANYTHING not in after else set()
    if gone:
        yield f"{path or 'the payload'} is no longer allowed to be {' or '.join(sorted(gone))}"
    for kind in before.keys() & after.keys():
        yield from _narrowed(before[kind], after[kind], names, path)


def _narrowed(old: Document, new: Document, names: _Definitions, path: str) -> Iterator[str]:
    lost = {json.dumps(one) for one in _list(old.get("enum"))} - {json.dumps(one) for one in _list(new.get("enum"))}
    if lost and "enum" in new:
        yield f"{path or 'the payload'} no longer allows {', '.join(sorted(lost))}"
    before, after = _mapping(old.get("properties")), _mapping(new.get("properties"))
    for field in sorted(before.keys() - after.keys()):
        yield f"{path}{field} vanished"
    for field in sorted({str(name) for name in _list(new.get("required"))} - set(map(str, _list(old.get("required"))))):
        yield f"{path}{field} became required"
    for field in sorted(before.keys() & after.keys()):
        yield from _broken(_mapping(before[field]), _mapping(after[field]), names, f"{path}{field}.")
    for inner in ("items", "additionalProperties"):
        if inner in old and inner in new:
            yield from _broken(_mapping(old[inner]), _mapping(new[inner]), names, f"{path}[].")


def _kinds(schema: Document, definitions: Document) -> dict[str, Document]:
    """The alternatives of a schema by kind of JSON, with its format."""
    schema = _resolved(schema, definitions)
    choices = _list(schema.get("anyOf")) or [schema]
    kinds = {}
    for choice in choices:
        one = _resolved(_mapping(choice), definitions)
        kind = str(one.get("type", _ANYTHING))
        kinds[f"{kind} ({one['format']})" if "format" in one else kind] = one
    return kinds


def _resolved(schema: Document, definitions: Document) -> Document:
    reference = schema.get("$ref")
    return _mapping(definitions[reference.rsplit("/", 1)[-1]]) if isinstance(reference, str) else schema


def _mapping(value: object) -> Document:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def rendered() -> dict[Path, str]:
    """Path below `docs` to content, of every generated file."""
    files = {Path("schemas") / name: json.dumps(schema, indent=2) + "\n" for name, schema in schemas().items()}
    note = "# Generated from roost/contracts/events.py by `python -m roost.contract_docs`. Do not edit.\n"
    return files | {Path("asyncapi.yaml"): note + yaml.safe_dump(asyncapi(), sort_keys=False, width=110)}


def breaking(docs: Path) -> list[str]:
    """What the payloads of today would break for who relies on the schemas in `docs`."""
    committed = {path.name: json.loads(path.read_text()) for path in sorted((docs / "schemas").glob("*.json"))}
    current: Mapping[str, Document] = schemas()
    found = [f"docs/schemas/{name}: the payload vanished" for name in committed if name not in current]
    for name, old in committed.items():
        if name in current:
            found += [f"docs/schemas/{name}: {sentence}" for sentence in broken(old, current[name])]
    return [*found, "Make a new version of the event type instead: see docs/events.md."] if found else []


def outdated(docs: Path) -> list[str]:
    """Generated files that are not as the payloads of today make them."""
    return [
        f"docs/{path} is not up to date: run `python -m roost.contract_docs`"
        for path, content in rendered().items()
        if not (docs / path).is_file() or (docs / path).read_text() != content
    ]


def write(docs: Path) -> None:
    """Write every generated file."""
    for path, content in rendered().items():
        (docs / path).parent.mkdir(parents=True, exist_ok=True)
        (docs / path).write_text(content)


def main(arguments: list[str]) -> int:
    """Entry of `python -m roost.contract_docs [--check]`. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m roost.contract_docs", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with what is committed; write nothing")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of the generated files")
    options = parser.parse_args(arguments)
    # Also when writing: otherwise the break would be overwritten by the very command that shows it.
    wrong = breaking(options.docs) or (outdated(options.docs) if options.check else [])
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    if not wrong and not options.check:
        write(options.docs)
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except OSError as error:
        raise SystemExit(f"nothing is written: {error}") from error
    raise SystemExit(code)
