"""One container: starting it, running something in it, stopping it, and what its status says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.cluster.agent import images, memory
from tests.cluster.agent.sandbox import SHIM

Object = dict[str, Any]
#: The kubelet's own bounds.
_LAST_LINES: Final = 80
_LAST_CHARACTERS: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What one start needs beyond the container's own spec."""

    pod: Object
    pause: int
    env: dict[str, str]
    #: (source, target, read only)
    mounts: tuple[tuple[str, str, bool], ...]
    command: tuple[str, ...]
    #: Lines for /etc/hosts: the services of the pod's namespace, for want of a DNS.
    hosts: str


class Container:
    """A container through all its restarts. `changed` is called after each change of its status."""

    def __init__(self, spec: Object, directory: Path, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.name = str(spec["name"])
        self.restarts = 0
        self.started = self.ready = False
        #: Set once it has started for the first time: what comes after a sidecar may start then.
        self.came_up = asyncio.Event()
        self.state: Object = {"waiting": {"reason": "PodInitializing"}}
        self.last_state: Object = {}
        self._directory = directory
        self._changed = changed
        self._process: Process | None = None
        self._env: dict[str, str] = {}
        self._user = (0, 0)
        self._began = datetime.now(UTC)

    @property
    def stays(self) -> bool:
        """Whether it is a sidecar: an init container that runs as long as the pod."""
        return self.spec.get("restartPolicy") == "Always"

    @property
    def running(self) -> bool:
        """Whether its first process is there."""
        return "running" in self.state

    async def start(self, order: Start) -> None:
        """Start it; it may end at once."""
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / "root").mkdir(exist_ok=True)
        (self._directory / "pid").unlink(missing_ok=True)
        spec = self._shim_spec(order)
        self._env, self._user = order.env, (spec["uid"], spec["gid"])
        (self._directory / "container.json").write_text(json.dumps(spec))
        with (self._directory / "log").open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *SHIM, "run", str(self._directory / "container.json"), stdin=DEVNULL, stdout=output, stderr=STDOUT
            )
        self._began = datetime.now(UTC)
        self.state = {"running": {"startedAt": _text(self._began)}}
        self._changed()

    async def ended(self) -> int:
        """Its exit code, once it has ended; the status says so by then."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        code = await self._process.wait()
        # A shim that was killed itself says it by a negative code.
        code = 128 - code if code < 0 else code
        reason = "Completed" if code == 0 else "Error"
        if memory.exceeded(self._directory):
            reason = "OOMKilled"
        self.last_state = {
            "terminated": {
                "exitCode": code,
                "reason": reason,
                "message": self._last_words(code),
                "startedAt": _text(self._began),
                "finishedAt": _text(datetime.now(UTC)),
                "containerID": f"process://{self._process.pid}",
            }
        }
        self.state, self.started, self.ready = self.last_state, False, False
        memory.give_back(self._directory)
        self._changed()
        return code

    def _last_words(self, code: int) -> str:
        """The end of the log where the container failed, if its spec asks for that. Nobody here writes a file of them."""
        if code == 0 or self.spec.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            return ""
        log = (self._directory / "log").read_text(errors="replace")
        return "\n".join(log.splitlines()[-_LAST_LINES:])[-_LAST_CHARACTERS:]

    async def run(self, command: list[str], seconds: float) -> bool:
        """Whether a command ends well inside of it, in time."""
        pid, (uid, gid) = self.pid(), self._user
        if pid is None:
            return False
        inside = ("nsenter", "-t", str(pid), "-m", "-n", "-p", "-u", "-i", "-r", "-w", "-S", str(uid), "-G", str(gid))
        with (self._directory / "exec.log").open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *inside, "--", *command, env=self._env, stdin=DEVNULL, stdout=output, stderr=STDOUT
            )
            try:
                return await asyncio.wait_for(process.wait(), seconds) == 0
            except TimeoutError:
                process.kill()
                await process.wait()
                return False

    async def stop(self, grace: float) -> None:
        """PreStop, SIGTERM, and SIGKILL once the grace period is over. The caller waits for the end elsewhere."""
        if self._process is None or not self.running:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + grace
        hook = self.spec.get("lifecycle", {}).get("preStop", {})
        if "exec" in hook:
            await self.run(hook["exec"]["command"], grace)
        elif "sleep" in hook:
            await asyncio.sleep(min(grace, hook["sleep"]["seconds"]))
        self.signal(signal.SIGTERM)
        # Even after a slow hook there are two seconds, as the kubelet gives.
        if not await self._gone(max(2.0, until - loop.time())):
            self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """To its first process only, if it is still there."""
        pid = self.pid()
        if pid is not None and self.running:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def status(self) -> Object:
        """Its entry in the pod's status."""
        image = self.spec["image"]
        return {
            "name": self.name,
            "image": image,
            "imageID": f"process://{image}",
            "containerID": f"process://{self._process.pid}" if self._process else "",
            "restartCount": self.restarts,
            "ready": self.ready,
            "started": self.started,
            "state": self.state,
            "lastState": self.last_state if self.restarts else {},
        }

    def pid(self) -> int | None:
        """Of its first process, seen from here."""
        try:
            return int((self._directory / "pid").read_text())
        except (OSError, ValueError):
            return None

    async def _gone(self, seconds: float) -> bool:
        if self._process is None:
            return True
        try:
            await asyncio.wait_for(asyncio.shield(self._process.wait()), seconds)
        except TimeoutError:
            return False
        return True

    def _shim_spec(self, order: Start) -> Object:
        image = images.named(self.spec["image"])
        of_pod, own = order.pod["spec"].get("securityContext", {}), self.spec.get("securityContext", {})
        context = {**of_pod, **own}
        uid = context.get("runAsUser", image.uid)
        if context.get("runAsNonRoot") and uid == 0:
            raise PermissionError("container has runAsNonRoot and image will run as root")
        return {
            "command": order.command,
            "hosts": order.hosts,
            "env": order.env,
            "hostname": order.pod["metadata"]["name"],
            "pause": order.pause,
            "pid_file": str(self._directory / "pid"),
            "root": str(self._directory / "root"),
            "image": images.binds(),
            "etc": images.etc(),
            "mounts": [{"source": one[0], "target": one[1], "read_only": one[2]} for one in order.mounts],
            "working_dir": self.spec.get("workingDir") or image.working_dir,
            "uid": uid,
            "gid": context.get("runAsGroup", image.gid),
            "groups": [group for group in (of_pod.get("fsGroup"),) if group is not None],
            "no_new_privileges": context.get("allowPrivilegeEscalation") is False,
            "read_only_root": bool(context.get("readOnlyRootFilesystem")),
            "cgroup": memory.limited(self._directory, self.spec.get("resources", {}).get("limits", {}).get("memory")),
        }


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
