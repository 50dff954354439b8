"""The pod agent keeps what a kubelet keeps: otherwise the tests on it would show nothing."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest

from tests.cluster.control_plane import Cluster
from tests.cluster.nodes import Node
from tests.cluster.processes import until

pytestmark = pytest.mark.timeout(240)

_SECURE = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


@pytest.fixture(scope="module")
def namespace(cluster: Cluster, node: Node) -> str:
    """Restricted, with what the pods read."""
    cluster.kubectl("create", "namespace", "agent")
    cluster.kubectl("label", "namespace", "agent", "pod-security.kubernetes.io/enforce=restricted")
    cluster.kubectl("-n", "agent", "create", "configmap", "plain", "--from-literal=COLOUR=blue")
    cluster.kubectl("-n", "agent", "create", "secret", "generic", "hidden", "--from-literal=word=xyzzy")
    cluster.kubectl("-n", "agent", "create", "service", "clusterip", "front", "--tcp=80:8080")
    until("its account", lambda: "default" in cluster.kubectl("-n", "agent", "get", "sa", "-o", "name"), 30)
    return "agent"


def _pod(name: str, program: str, *, spec: dict[str, Any] | None = None, **container: Any) -> str:
    own = {
        "name": "main",
        "image": "roost-services:0.1.0",
        "command": ["python", "-c", textwrap.dedent(program)],
        "securityContext": _SECURE,
        **container,
    }
    context = {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001}
    whole = {"containers": [own], "securityContext": context | {"seccompProfile": {"type": "RuntimeDefault"}}}
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}}
    return json.dumps({**document, "spec": whole | (spec or {})})


def _status(cluster: Cluster, name: str) -> Any:
    return cluster.get("-n", "agent", "pod", name)["status"]


def test_a_container_has_its_user_its_files_its_environment_and_nothing_writable_but_its_volumes(
    cluster: Cluster, node: Node, namespace: str
) -> None:
    program = """
        import json, os, pathlib, socket
        def refused(path):
            try:
                pathlib.Path(path).write_text("x")
            except OSError as error:
                return error.strerror
        token = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
        print(json.dumps({
            "user": [os.getuid(), os.getgid()], "pid": os.getpid(), "host": socket.gethostname(),
            "env": {name: os.environ.get(name) for name in ("COLOUR", "WORD", "IP", "SUM", "FRONT_SERVICE_PORT")},
            "file": pathlib.Path("/etc/roost/one.txt").read_text(), "token": sorted(one.name for one in token.glob("[a-z]*")),
            "root": refused("/root.txt"), "etc": refused("/etc/roost/one.txt"), "tmp": refused("/tmp/x"),
            "capabilities": [line for line in open("/proc/self/status") if line.startswith(("CapEff", "CapBnd", "NoNewPrivs"))],
        }))
    """
    env = [
        {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "word"}}},
        {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "none", "key": "word", "optional": True}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "SUM", "value": "$(COLOUR)-$(WORD)-$$(WORD)"},
    ]
    mounts = [
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": "one", "mountPath": "/etc/roost/one.txt", "subPath": "COLOUR"},
    ]
    volumes = [{"name": "tmp", "emptyDir": {}}, {"name": "one", "configMap": {"name": "plain"}}]
    pod = _pod(
        "sees",
        program,
        env=env,
        envFrom=[{"configMapRef": {"name": "plain"}}],
        volumeMounts=mounts,
        spec={"restartPolicy": "Never", "volumes": volumes},
    )
    cluster.kubectl("-n", "agent", "apply", "-f", "-", stdin=pod)
    until(
        "it has ended",
        lambda: _status(cluster, "sees")["phase"] == "Succeeded",
        60,
        told=lambda: node.logs("sees") + node.agent_log(),
    )
    seen = json.loads(node.logs("sees").splitlines()[-1])
    assert (seen["user"], seen["pid"], seen["host"]) == ([10001, 10001], 1, "sees")
    assert seen["env"]["COLOUR"] == "blue"
    assert seen["env"]["SUM"] == "blue-xyzzy-$(WORD)"
    assert seen["env"]["IP"] == _status(cluster, "sees")["podIP"]
    assert seen["env"]["FRONT_SERVICE_PORT"] == "80"
    assert seen["file"] == "blue"
    assert seen["token"] == ["ca.crt", "namespace", "token"]
    assert (seen["root"], seen["etc"], seen["tmp"]) == ("Read-only file system", "Read-only file system", None)
    assert [line.split()[1].strip("0") for line in seen["capabilities"]] == ["", "", "1"]


def test_two_pods_listen_on_the_same_port_and_one_is_ready_only_when_its_probe_says_so(
    cluster: Cluster, node: Node, namespace: str
) -> None:
    program = """
        import http.server, pathlib
        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200 if pathlib.Path("/tmp/ready").exists() else 503)
                self.end_headers()
        http.server.HTTPServer(("0.0.0.0", 8080), Answer).serve_forever()
    """
    probe = {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1}
    for name in ("one", "two"):
        pod = _pod(
            name,
            program,
            ports=[{"name": "web", "containerPort": 8080}],
            readinessProbe=probe,
            volumeMounts=[{"name": "tmp", "mountPath": "/tmp"}],
            spec={"volumes": [{"name": "tmp", "emptyDir": {}}], "terminationGracePeriodSeconds": 1},
        )
        cluster.kubectl("-n", "agent", "apply", "-f", "-", stdin=pod)

    def ready(name: str) -> bool:
        conditions = _status(cluster, name).get("conditions", ())
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    until("both run", lambda: all(_status(cluster, name)["phase"] == "Running" for name in ("one", "two")), 60)
    tmp = next(node.directory.glob("agent_one_*/volumes/tmp"))
    (tmp / "ready").touch()
    until("one is ready", lambda: ready("one"), 60)
    assert not ready("two")
    assert _status(cluster, "one")["podIP"] != _status(cluster, "two")["podIP"]
    cluster.kubectl("-n", "agent", "delete", "pod", "one", "two")


def test_what_crashes_is_started_again_and_then_backed_off_and_what_is_not_alive_is_killed(
    cluster: Cluster, node: Node, namespace: str
) -> None:
    cluster.kubectl("-n", "agent", "apply", "-f", "-", stdin=_pod("crashes", "raise SystemExit(3)"))
    alive = {
        "exec": {"command": ["python", "-c", "raise SystemExit(1)"]},
        "periodSeconds": 1,
        "failureThreshold": 1,
        "timeoutSeconds": 20,
    }
    dead = _pod("hangs", "import time; time.sleep(999)", livenessProbe=alive, spec={"terminationGracePeriodSeconds": 1})
    cluster.kubectl("-n", "agent", "apply", "-f", "-", stdin=dead)

    def container(name: str) -> Any:
        return next(iter(_status(cluster, name).get("containerStatuses", ())), {"state": {}, "restartCount": 0})

    until(
        "it is backed off",
        lambda: container("crashes")["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff",
        60,
        told=node.agent_log,
    )
    assert container("crashes")["lastState"]["terminated"]["exitCode"] == 3
    until("the one that hangs was started again", lambda: container("hangs")["restartCount"] >= 1, 60)
    assert container("hangs")["lastState"]["terminated"]["exitCode"] == 137
    cluster.kubectl("-n", "agent", "delete", "pod", "crashes", "hangs")


def test_an_end_waits_for_its_hook_and_its_signal_and_a_memory_limit_kills(
    cluster: Cluster, node: Node, namespace: str
) -> None:
    program = """
        import pathlib, signal, sys, time
        def end(*_):
            print("told to end; the hook was", pathlib.Path("/tmp/hook").exists(), flush=True)
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        print("runs", flush=True)
        while True: time.sleep(1)
    """
    hook = {"preStop": {"exec": {"command": ["python", "-c", "open('/tmp/hook', 'w')"]}}}
    spec = {"volumes": [{"name": "tmp", "emptyDir": {}}], "terminationGracePeriodSeconds": 30}
    mounts = [{"name": "tmp", "mountPath": "/tmp"}]
    cluster.kubectl(
        "-n", "agent", "apply", "-f", "-", stdin=_pod("ends", program, lifecycle=hook, volumeMounts=mounts, spec=spec)
    )
    greedy = _pod(
        "greedy",
        "x = bytearray(300_000_000)",
        resources={"limits": {"memory": "64Mi"}},
        spec={"restartPolicy": "Never"},
    )
    cluster.kubectl("-n", "agent", "apply", "-f", "-", stdin=greedy)
    until("it runs", lambda: "runs" in node.logs("ends"), 60, told=node.agent_log)
    cluster.kubectl("-n", "agent", "delete", "pod", "ends")
    assert "told to end; the hook was True" in node.logs("ends")
    until("the greedy one has ended", lambda: _status(cluster, "greedy")["phase"] == "Failed", 60)
    ended = _status(cluster, "greedy")["containerStatuses"][0]["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def test_a_sidecar_starts_first_is_started_again_and_ends_last(cluster: Cluster, node: Node, namespace: str) -> None:
    says = """
        import os, pathlib, signal, sys, time
        def say(word):
            with open("/shared/said", "a") as file:
                print(sys.argv[1], word, file=file)
        def end(*_):
            say("ends")
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        say("starts")
        while not (sys.argv[1] == "beside" and pathlib.Path("/shared/crash").exists()):
            time.sleep(0.05)
        os.unlink("/shared/crash")
        os._exit(3)
    """
    shared = [{"name": "shared", "mountPath": "/shared"}]
    own = json.loads(_pod("sides", says))["spec"]["containers"][0] | {"volumeMounts": shared}
    beside = own | {"name": "beside", "restartPolicy": "Always", "command": [*own["command"], "beside"]}
    volumes = [{"name": "shared", "emptyDir": {}}]
    pod = json.loads(_pod("sides", says, volumeMounts=shared, spec={"initContainers": [beside], "volumes": volumes}))
    pod["spec"]["containers"][0]["command"].append("main")
    cluster.kubectl("-n", "agent", "apply", "-f", "-", stdin=json.dumps(pod))

    def statuses() -> tuple[dict[str, Any], str]:
        found = _status(cluster, "sides")
        ready = next(one["status"] for one in found["conditions"] if one["type"] == "Ready")
        return found["initContainerStatuses"][0], ready

    until("it is ready", lambda: "conditions" in _status(cluster, "sides") and statuses()[1] == "True", 60)
    place = next(node.directory.glob("agent_sides_*/volumes/shared"))
    until("both run", lambda: "main starts" in (place / "said").read_text(), 60)
    assert (place / "said").read_text().splitlines() == ["beside starts", "main starts"]
    (place / "crash").touch()
    until("it runs again", lambda: statuses()[0]["restartCount"] == 1 and statuses()[1] == "True", 60)
    until("it says so", lambda: (place / "said").read_text().splitlines()[2:] == ["beside starts"], 60)
    # Open: the volume goes with the pod.
    with (place / "said").open() as said:
        cluster.kubectl("-n", "agent", "delete", "pod", "sides")
        assert said.read().splitlines()[3:] == ["main ends", "beside ends"]
