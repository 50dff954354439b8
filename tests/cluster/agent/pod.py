"""One pod, from its binding to its end."""

from __future__ import annotations

import asyncio
import logging
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx

from tests.cluster.agent import environment, images, status, volumes
from tests.cluster.agent.api import Api
from tests.cluster.agent.container import Container, Start
from tests.cluster.agent.environment import Facts, NotYet
from tests.cluster.agent.probes import Prober
from tests.cluster.agent.sandbox import Addresses, Sandbox

log = logging.getLogger(__name__)

Object = dict[str, Any]
_LOOK_AGAIN_SECONDS: Final = 1.0
#: The kubelet's: the first restart at once, then 10 s, doubled up to five minutes.
_BACK_OFF: Final = (10.0, 300.0)


class PodWorker:
    """Makes the pod be as its spec says, and its status say how it is."""

    def __init__(self, pod: Object, api: Api, addresses: Addresses, directory: Path) -> None:
        self._pod = pod
        self._api = api
        self._addresses = addresses
        self._directory = directory
        self._reader = volumes.Reader(api, pod["metadata"]["namespace"])
        self._dirty = asyncio.Event()
        self._sandbox: Sandbox | None = None
        self._ending: asyncio.Task[None] | None = None
        self._restart = pod["spec"].get("restartPolicy", "Always")
        self._init = [self._container(spec) for spec in pod["spec"].get("initContainers", ())]
        self._main = [self._container(spec) for spec in pod["spec"]["containers"]]
        self._task = asyncio.create_task(self._guarded())
        self._reporter = asyncio.create_task(self._report())

    def update(self, pod: Object) -> None:
        """The newest of it: all that may change for a node is that it shall end."""
        self._pod = pod
        if pod["metadata"].get("deletionTimestamp") and self._ending is None:
            self._ending = asyncio.create_task(self._end(float(pod["metadata"]["deletionGracePeriodSeconds"])))

    def vanish(self) -> None:
        """It was removed by force."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(0))

    def _container(self, spec: Object) -> Container:
        return Container(spec, self._directory / str(spec["name"]), self._dirty.set)

    async def _guarded(self) -> None:
        try:
            await self._run()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("pod %s: the agent itself is at fault", self._pod["metadata"]["name"])
            raise

    async def _run(self) -> None:
        self._sandbox = await Sandbox.start(self._addresses.take())
        await self._until_filled()
        self._dirty.set()
        async with asyncio.TaskGroup() as group:
            beside = {}
            for container in self._init:
                if container.stays:
                    beside[container] = group.create_task(self._kept(container))
                    await container.came_up.wait()
                elif not await self._to_its_end(container):
                    return
            await asyncio.gather(*(group.create_task(self._kept(container)) for container in self._main))
            for task in beside.values():
                task.cancel()
        await self._stopped(list(beside), float(self._pod["spec"].get("terminationGracePeriodSeconds", 30)))

    async def _until_filled(self) -> None:
        while True:
            try:
                for volume in self._pod["spec"].get("volumes", ()):
                    into = self._directory / "volumes" / str(volume["name"])
                    await volumes.fill(volume, into, self._pod, self._reader, self._address)
            except (NotYet, httpx.HTTPError) as error:
                await self._wait_for(str(error), "ContainerCreating")
            else:
                return

    async def _to_its_end(self, container: Container) -> bool:
        """Run an init container until it has ended well; False where that is not to be."""
        while True:
            await self._start(container)
            if await container.ended() == 0:
                return True
            if self._restart == "Never":
                return False
            await self._back_off(container)

    async def _kept(self, container: Container) -> None:
        """Run a container for as long as the pod's restart policy says."""
        while True:
            await self._start(container)
            kill = self._killer(container)
            prober = asyncio.create_task(Prober(container, self._address, self._dirty.set).run(kill))
            try:
                code = await container.ended()
            finally:
                prober.cancel()
                await asyncio.gather(prober, return_exceptions=True)
            stays = container.stays or self._restart == "Always"
            if not stays and (self._restart == "Never" or code == 0):
                return
            await self._back_off(container)

    def _killer(self, container: Container) -> Any:
        grace = float(self._pod["spec"].get("terminationGracePeriodSeconds", 30))

        async def kill(reason: str) -> None:
            log.warning("pod %s: %s of %s", self._pod["metadata"]["name"], reason, container.name)
            await asyncio.shield(asyncio.create_task(container.stop(grace)))

        return kill

    async def _start(self, container: Container) -> None:
        while True:
            try:
                await container.start(await self._order(container.spec))
            except (NotYet, httpx.HTTPError, LookupError, PermissionError) as error:
                container.state = {"waiting": {"reason": "CreateContainerConfigError", "message": str(error)}}
                await self._wait_for(str(error), None)
            else:
                return

    async def _order(self, spec: Object) -> Start:
        if self._sandbox is None:
            raise RuntimeError("the pod has no network yet")
        names = environment.wanted(spec)
        sources = {key: _texts(await self._reader.values(*key)) for key in names}
        listed = await self._api.get(f"/api/v1/namespaces/{self._pod['metadata']['namespace']}/services")
        own = await self._api.get("/api/v1/namespaces/default/services/kubernetes")
        services = (*((listed or {}).get("items", ())), *((own,) if own else ()))
        image = images.named(spec["image"])
        facts = Facts(pod=self._pod, address=self._address, sources=sources, services=services)
        env = environment.made(spec, image.env, facts)
        command = [*spec.get("command", image.entry_point)]
        command += spec.get("args", () if "command" in spec else image.command)
        return Start(
            pod=self._pod,
            pause=self._sandbox.pid,
            env=env,
            mounts=tuple(self._mount(mount) for mount in spec.get("volumeMounts", ())),
            command=tuple(environment.expanded(word, env) for word in command),
            hosts=environment.names(services),
        )

    def _mount(self, mount: Object) -> tuple[str, str, bool]:
        source = self._directory / "volumes" / str(mount["name"])
        if mount.get("subPath"):
            source /= mount["subPath"]
        volume = next(one for one in self._pod["spec"]["volumes"] if one["name"] == mount["name"])
        return str(source), mount["mountPath"], bool(mount.get("readOnly")) or "emptyDir" not in volume

    async def _back_off(self, container: Container) -> None:
        first, longest = _BACK_OFF
        seconds = 0.0 if container.restarts == 0 else min(longest, first * 2 ** (container.restarts - 1))
        if seconds:
            message = f"back-off {seconds:g}s restarting failed container={container.name}"
            container.state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        container.restarts += 1
        self._dirty.set()
        await asyncio.sleep(seconds)

    async def _wait_for(self, what: str, reason: str | None) -> None:
        if reason:
            for container in (*self._init, *self._main):
                container.state = {"waiting": {"reason": reason, "message": what}}
        log.info("pod %s waits: %s", self._pod["metadata"]["name"], what)
        self._dirty.set()
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _end(self, grace: float) -> None:
        """Stop what runs, say how it ended, and let the API server forget the pod. Sidecars end last, in reverse order."""
        # From now on nothing is started again, and no probe changes anything.
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._stopped([*self._init, *self._main], grace)
        self._reporter.cancel()
        await asyncio.gather(self._reporter, return_exceptions=True)
        if self._sandbox is not None:
            await self._say()
            await self._sandbox.stop()
            self._addresses.give_back(self._address)
        metadata = self._pod["metadata"]
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
        await self._api.delete(self._path, {"apiVersion": "v1", "kind": "DeleteOptions", **options})
        shutil.rmtree(self._directory / "volumes", ignore_errors=True)

    async def _stopped(self, containers: list[Container], grace: float) -> None:
        """Those of them that run have ended: all others at a time, then the sidecars, the last one first."""
        began = asyncio.get_running_loop().time()
        running = [container for container in containers if container.running]
        ends = {container: asyncio.create_task(container.ended()) for container in running}
        for group in ([one for one in running if not one.stays], *([one] for one in reversed(running) if one.stays)):
            left = max(0.0, grace - (asyncio.get_running_loop().time() - began))
            await asyncio.gather(*(container.stop(left) for container in group))
            await asyncio.gather(*(ends[container] for container in group))

    async def _report(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if self._sandbox is not None:
                try:
                    await self._say()
                except httpx.HTTPError as error:
                    log.warning("%s", error)
                    self._dirty.set()
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _say(self) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        found = status.made(self._init, self._main, restart=self._restart, address=self._address, now=now)
        found["startTime"] = self._pod["status"].get("startTime") or now
        self._pod["status"]["startTime"] = found["startTime"]
        await self._api.patch(
            f"{self._path}/status", {"metadata": {"uid": self._pod["metadata"]["uid"]}, "status": found}
        )

    @property
    def _address(self) -> str:
        if self._sandbox is None:
            raise RuntimeError("the pod has no network yet")
        return self._sandbox.address

    @property
    def _path(self) -> str:
        metadata = self._pod["metadata"]
        return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"


def _texts(values: dict[str, bytes] | None) -> dict[str, str] | None:
    return None if values is None else {key: value.decode() for key, value in values.items()}
