"""Renders supervisord's configuration. supervisord keeps processes; it starts none before we say so."""

from __future__ import annotations

import configparser
import io
import re
import shlex
from collections.abc import Mapping, Sequence

from roost.contracts.errors import SettingsInvalid
from roost.embedded.part import Part
from roost.embedded.state_dir import StateDir

#: A part that dies sooner than this counts as a failed start, and waits a second longer before each next one.
START_SECONDS = 5
#: Failed starts in a row after which supervisord gives up: about four minutes.
START_RETRIES = 20


def render(state: StateDir, parts: Sequence[Part]) -> str:
    """The whole file. Values hold for any path: blanks, quotes and per cent signs are escaped."""
    config = configparser.ConfigParser(interpolation=None)
    if "%" in str(state.root):
        # It expands paths of logs twice, others once: no escape holds for both.
        raise SettingsInvalid(f"the state directory has a per cent sign: {state.root}. Set ROOST_STATE_DIR to another")
    socket = state.sockets / "supervisor.sock"
    config["unix_http_server"] = {"file": _literal(str(socket)), "chmod": "0700"}
    config["supervisord"] = {
        "logfile": _literal(str(state.log("supervisord"))),
        "logfile_maxbytes": "20MB",
        "logfile_backups": "1",
        "pidfile": _literal(str(state.sockets / "supervisord.pid")),
        "directory": _literal(str(state.root)),
        "childlogdir": _literal(str(state.logs)),
        "nodaemon": "false",
        "minfds": "1024",
    }
    config["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for part in parts:
        config[f"program:{part.name}"] = _program(state, part)
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def _program(state: StateDir, part: Part) -> dict[str, str]:
    return {
        "command": _literal(shlex.join(part.command)),
        "environment": _literal(_environment(part.environment)),
        "directory": _literal(str(state.root)),
        "autostart": "false",
        "autorestart": "false" if part.step else "true",
        "startsecs": "0" if part.step else str(START_SECONDS),
        "startretries": "0" if part.step else str(START_RETRIES),
        "stopsignal": part.stop_signal,
        "stopwaitsecs": str(part.stop_seconds),
        "stopasgroup": "true" if part.stop_group else "false",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": _literal(str(state.log(part.name))),
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": "1",
    }


def _literal(value: str) -> str:
    """A value that supervisord takes as it is: it expands ``%(…)s``, and reads a comment after a blank.

    Raises:
        SettingsInvalid: a path has a part that its configuration has no way to say.
    """
    if re.search(r"\s[;#]|[\r\n]", value):
        raise SettingsInvalid(f"a path has a blank before ; or #, or a line break: {value!r}. Choose another directory")
    return value.replace("%", "%%")


def _environment(variables: Mapping[str, str]) -> str:
    """Plain words only: what may hold anything, such as a path, goes into supervisord's own environment."""
    for name, value in variables.items():
        if not re.fullmatch(r"[\w.:/+-]+", value):
            raise ValueError(f"{name} of a part is not a plain word: {value!r}")
    return ",".join(f"{name}={value}" for name, value in sorted(variables.items()))
