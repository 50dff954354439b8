"""What `roost settings` prints: each setting, its value, and where that came from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import yaml

from roost.settings.environment import load


class DescribedSetting(NamedTuple):
    """One setting as people see it."""

    variable: str
    value: str
    source: str


def described() -> list[DescribedSetting]:
    """Every setting with its value and source (``environment``, ``file`` or ``default``), secrets hidden."""
    loaded = load()
    file = os.environ.get("ROOST_SETTINGS_FILE")
    in_file: dict[str, object] = {}
    if file:
        in_file = _flat(yaml.safe_load(Path(file).read_text()) or {})
    variables = {name.upper() for name in os.environ}
    rows = []
    for path, value in _flat(loaded.model_dump()).items():
        variable = "ROOST_" + path.upper()
        source = "environment" if variable in variables else "file" if path in in_file else "default"
        rows.append(DescribedSetting(variable, str(value), source))
    return rows


def _flat(document: dict[str, object], prefix: str = "") -> dict[str, object]:
    rows: dict[str, object] = {}
    for key, value in document.items():
        rows |= _flat(value, f"{prefix}{key}__") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return rows
