"""Base paths with versions of the model `scale`, which multiplies by its version's number, and of broken ones."""

import itertools
import shutil
from pathlib import Path

from tests.integration.model_server.running import config

ALL = "model_version_policy { all {} }"

_NUMBERS = itertools.count()


def specific(*versions: int) -> str:
    """A policy that names versions."""
    return f"model_version_policy {{ specific {{ {' '.join(f'versions: {each}' for each in versions)} }} }}"


def latest(count: int) -> str:
    """A policy that takes the newest ones."""
    return f"model_version_policy {{ latest {{ num_versions: {count} }} }}"


def labels(**versions: int) -> str:
    """Labels of an entry."""
    return " ".join(f'version_labels {{ key: "{key}" value: {value} }}' for key, value in versions.items())


class Bases:
    """Base paths of one test."""

    def __init__(self, saved_models: Path, root: Path) -> None:
        self.saved_models = saved_models
        self.root = root
        self._suffix = f"-{next(_NUMBERS)}"

    def name(self, kind: str) -> str:
        """A model's name that no other test uses."""
        return kind + self._suffix

    def path(self, name: str) -> Path:
        """Where a model's versions lie."""
        return self.root / name

    def place(self, name: str, *versions: int | str, model: str = "scale") -> Path:
        """Put versions under a base path, each whole at once; a text (`00002`) is a directory's name."""
        self.path(name).mkdir(exist_ok=True)
        for version in versions:
            (self.path(name) / str(version)).symlink_to(self.saved_models / model / str(int(version)))
        return self.path(name)

    def copy(self, name: str, version: int) -> Path:
        """Put one version there as files of its own, to be damaged, and return its directory."""
        self.path(name).mkdir(exist_ok=True)
        return Path(shutil.copytree(self.saved_models / "scale" / str(version), self.path(name) / str(version)))

    def spoil(self, name: str, version: int) -> None:
        """Put a version there that cannot be loaded."""
        (self.path(name) / str(version)).mkdir(parents=True)

    def config(self, *names: str, **more: str) -> str:
        """The text of a config of these models; `more` adds to one, by its kind."""
        by_name = {self.name(kind): text for kind, text in more.items()}
        return config({name: self.path(name) for name in names}, **by_name)
