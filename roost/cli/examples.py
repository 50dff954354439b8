"""What stands below the help of each command: how it is called, and what its exit code says."""

from __future__ import annotations

from typing import Final

import typer

#: By the words after `roost`. A test tries each against the command's own options.
EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "up": ("roost up --wait", "roost up --port console=8088", "roost up --only deployer"),
    "down": ("roost down",),
    "status": ("roost status", "roost status --json"),
    "logs": ("roost logs deployer -f", "roost logs node-1 -n 200"),
    "demo": ("roost demo", "roost demo --keep"),
    "customers": ("roost customers --stage failed --stage refused",),
    "signup": ("roost signup ua --name 'United Air Lines'",),
    "offboard": ("roost offboard ua --reason 'contract ended'",),
    "train": ("roost train ua --window 2013-01-01:2013-07-01 --reason 'new features'",),
    "rollouts": ("roost rollouts ua", "roost rollouts --phase halted --phase awaiting_approval"),
    "events": ("roost events --limit 20", "roost events -f --json"),
    "why": ("roost why ua",),
    "approve": ("roost approve ua --reason 'holdout looked at: fine'",),
    "reject": (
        "roost reject ua --reason 'trained on half of the data'",
        "roost reject --rollout ID --reason 'wrong data: serve nothing'",
    ),
    "rollback": ("roost rollback ua --reason 'answers too low since noon'",),
    "promote": ("roost promote ua --reason 'cause mended, must not wait'",),
    "retry": ("roost retry ua --reason 'disk of node-2 is replaced'",),
    "release": ("roost release ua --reason 'the alarm was false'",),
    "freeze": ("roost freeze --reason 'audit until Monday'", "roost freeze ua --reason 'their request'"),
    "thaw": ("roost thaw --reason 'audit is over'",),
    "pause": ("roost pause --reason 'object store is slow'", "roost pause --rollout ID --reason 'ask ua first'"),
    "resume": ("roost resume --reason 'object store is well again'",),
    "rebuild": ("roost rebuild --dry-run",),
    "settings": ("roost settings",),
    "doctor": ("roost doctor", "roost doctor --probe --without airflow"),
    "deployer": ("ROOST_SETTINGS_FILE=settings.yaml roost deployer",),
    "console": ("ROOST_CONSOLE__PORT=8088 roost console",),
    "node": ("roost node --pool canary --rest 0.0.0.0:8501 --grpc 0.0.0.0:8500",),
    "restart": ("roost restart --pool default --always --reason 'memory grows'",),
    "consume signups": ("roost consume signups",),
    "consume models": ("roost consume models",),
    "topics ensure": ("roost topics ensure --dry-run", "roost topics ensure --acls"),
    "topics rights": ("roost topics rights",),
    "topics lag": ("roost topics lag",),
    "dead-letters list": ("roost dead-letters list --topic customers",),
    "dead-letters show": ("roost dead-letters show 2-15",),
    "dead-letters replay": ("roost dead-letters replay 2-15 2-16",),
    "database migrate": ("roost database migrate",),
    "database revision": ("roost database revision",),
    "policy check": ("roost policy check policy.yaml --customer ua",),
    "token create-key": ("roost token create-key signing.pem",),
    "token key-set": ("roost token key-set old.pem new.pem --out jwks.json",),
    "token mint": ("roost token mint signing.pem my-app --customer ua --label stable",),
}

_EXIT: Final = "Exit code 0: done; 3: accepted, and not done within --wait; 4: the deployer refused it and said why."
#: Of the commands that ask the deployer for something.
EXIT_CODES: Final = dict.fromkeys(
    ("approve", "reject", "rollback", "promote", "retry", "release", "freeze", "thaw", "pause", "resume"), _EXIT
)


def install(app: typer.Typer, path: str = "") -> None:
    """Put them below the help of every command of `app`. Raises `KeyError` for a command without an example."""
    for group in app.registered_groups:
        if group.typer_instance is not None:
            install(group.typer_instance, f"{path}{group.name} ")
    for command in app.registered_commands:
        name = f"{path}{command.name}"
        lines = ["Examples:" if len(EXAMPLES[name]) > 1 else "Example:", *EXAMPLES[name]]
        command.epilog = "\n\n".join([*lines, *filter(None, [EXIT_CODES.get(name)])])
