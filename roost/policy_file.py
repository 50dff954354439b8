"""Reads a policy file, with errors that name the line."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from roost.contracts.errors import SettingsInvalid
from roost.contracts.policy import Policy


def read(path: Path | None) -> Policy:
    """The policy in that file; the defaults where `path` is None.

    Raises:
        SettingsInvalid: naming file, line, field and fault.
    """
    if path is None:
        return Policy()
    try:
        text = path.read_text()
    except OSError as error:
        raise SettingsInvalid(f"policy file {path} cannot be read: {error.strerror}") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise SettingsInvalid(f"policy file {path} is not YAML: {error}") from error
    try:
        policy = Policy.model_validate(document)
        for customer in {*policy.customers, *(one for cohort in policy.cohorts.values() for one in cohort.customers)}:
            policy.rules_for(customer)
    except ValidationError as error:
        raise SettingsInvalid("\n".join(_lines(path, root, error))) from error
    return policy


def _lines(path: Path, root: yaml.Node | None, error: ValidationError) -> list[str]:
    found = []
    for entry in error.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in entry["loc"])
        found.append(f"{path}:{_line(root, entry['loc'])}: {where}: {entry['msg']}")
    return found


def _line(node: yaml.Node | None, location: tuple[int | str, ...]) -> int:
    line = node.start_mark.line if node is not None else 0
    for part in location:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, node = key.start_mark.line, value
                    break
            else:
                break
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return line + 1
