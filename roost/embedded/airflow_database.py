"""Airflow's metadata schema: `python -m roost.embedded.airflow_database STAMP URL` migrates it, unless it is there.

Airflow's own `db migrate` takes eight seconds even where there is nothing to do, so what it did is remembered, with
Airflow's version, and compared with what the database says.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import psycopg

from roost.embedded.positionals import positionals


def main(arguments: list[str]) -> int:
    """Migrate where needed; returns Airflow's exit code."""
    meanings = {"stamp": "file that remembers what was done", "url": "Airflow's database"}
    file, url = positionals("roost.embedded.airflow_database", __doc__, arguments, **meanings)
    stamp = Path(file)
    installed = version("apache-airflow")
    if revision := _revision(url):
        now = {"airflow": installed, "revision": revision}
        if stamp.is_file() and json.loads(stamp.read_text()) == now:
            print(f"schema {revision} of Airflow {installed} is there: nothing to do")
            return 0
    code = subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=False).returncode
    if code == 0:
        stamp.write_text(json.dumps({"airflow": installed, "revision": _revision(url)}))
    return code


def _revision(url: str) -> str | None:
    with psycopg.connect(url) as connection:
        there = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
        if there is None or not there[0]:
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except (psycopg.Error, OSError) as error:
        raise SystemExit(f"Airflow's database cannot be migrated: {error}") from error
    raise SystemExit(code)
