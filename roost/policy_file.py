"""Reads a policy file, with errors that name the line; and again when it changes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from roost.contracts.desired import LoadingOrder
from roost.contracts.errors import SettingsInvalid
from roost.contracts.policy import Policy, RestartPolicy, Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Reread:
    """A file that was found changed: its content's hash, and why it cannot be used, if so."""

    content: str
    fault: str | None = None


class PolicyInForce:
    """The policy of a file, which may change while it is used. One that cannot be used leaves the one before in force.

    Safe to share between threads: whoever asks twice may be told two policies.
    """

    def __init__(self, path: Path | None, *, at_first: Policy | None = None) -> None:
        """Read it. `at_first` is in force where it cannot be used; without that, it raises `SettingsInvalid`."""
        self._path = path
        #: Why the file could not be used at first.
        self.fault: str | None = None
        self._content = self._hash()
        try:
            self._policy = read(path)
        except SettingsInvalid as error:
            if at_first is None:
                raise
            self._policy, self.fault = at_first, str(error)

    @property
    def policy(self) -> Policy:
        """The whole of it, as it is now."""
        return self._policy

    def rules_for(self, customer: str) -> Rules:
        """As `Policy.rules_for`."""
        return self._policy.rules_for(customer)

    def loading(self, pool: str) -> LoadingOrder:
        """As `Policy.loading`."""
        return self._policy.loading(pool)

    @property
    def restart(self) -> RestartPolicy:
        """What is restarted, and when."""
        return self._policy.restart

    def refresh(self) -> Reread | None:
        """Read it again where it has changed since the last look. None where it has not."""
        content = self._hash()
        if content == self._content:
            return None
        self._content = content
        try:
            self._policy = read(self._path)
        except SettingsInvalid as error:
            return Reread(content=content, fault=str(error))
        return Reread(content=content)

    def _hash(self) -> str:
        """Of the content: a mounted config map is replaced by a link, whose dates say little."""
        try:
            return hashlib.sha256(self._path.read_bytes()).hexdigest() if self._path else ""
        except OSError as error:
            return f"unreadable: {error.strerror}"


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
