"""Airflow's own settings on one machine, as a file: the stack's processes and `airflow` by hand read the same."""

from __future__ import annotations

import base64
import configparser
import hashlib
import io
import json
from pathlib import Path
from typing import Final

from roost.embedded import postgres
from roost.embedded.addresses import Addresses
from roost.embedded.state_dir import StateDir, write_private

USER: Final = "admin"


def write(state: StateDir, addresses: Addresses, dags: Path) -> None:
    """Write ``airflow.cfg`` and the password file, for this user alone."""
    config = configparser.ConfigParser(interpolation=None)
    for section, values in _settings(state, addresses, dags).items():
        # Airflow reads `%` as the start of a reference.
        config[section] = {key: value.replace("%", "%%") for key, value in values.items()}
    text = io.StringIO()
    config.write(text)
    write_private(state.airflow / "airflow.cfg", text.getvalue())
    write_private(state.airflow / "passwords.json", json.dumps({USER: addresses.secrets.airflow_password}))


def _settings(state: StateDir, addresses: Addresses, dags: Path) -> dict[str, dict[str, str]]:
    url = addresses.url("airflow")
    secret = addresses.secrets.airflow_key
    return {
        "core": {
            "dags_folder": str(dags),
            "plugins_folder": str(dags / "plugins"),
            "executor": "LocalExecutor",
            "parallelism": "4",
            "load_examples": "False",
            "dags_are_paused_at_creation": "False",
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_passwords_file": str(state.airflow / "passwords.json"),
            "execution_api_server_url": f"{url}/execution/",
            "fernet_key": base64.urlsafe_b64encode(hashlib.sha256(secret.encode()).digest()).decode(),
        },
        "database": {
            "sql_alchemy_conn": postgres.url(state.sockets, "airflow", driver="+psycopg2"),
            "sql_alchemy_conn_async": postgres.url(state.sockets, "airflow", driver="+asyncpg"),
        },
        "api": {
            "host": "127.0.0.1",
            "port": str(addresses.ports["airflow"]),
            "base_url": url,
            "workers": "1",
            "secret_key": secret,
            "expose_config": "False",
        },
        "api_auth": {"jwt_secret": secret},
        "dag_processor": {"refresh_interval": "5", "parsing_processes": "1"},
        "logging": {
            "base_log_folder": str(state.airflow / "logs"),
            "worker_log_server_port": str(addresses.ports["airflow-logs"]),
            "trigger_log_server_port": str(addresses.ports["airflow-triggers"]),
        },
        "scheduler": {"scheduler_heartbeat_sec": "2", "enable_health_check": "False"},
    }
