"""The connection to the API server, and what its refusals mean."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from roost.contracts.errors import ClusterRefused, ClusterUnavailable, RoostError, SettingsInvalid
from roost.settings import ServingSettings

#: Where a pod finds the namespace that it is in.
_OWN_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
#: Seconds to connect, and to answer.
_DEADLINES: Final = (3.0, 10.0)
_REMEDIES: Final[dict[int, str]] = {
    HTTPStatus.BAD_REQUEST: "is this the API server's address, with https?",
    HTTPStatus.UNAUTHORIZED: "the token is expired or of another cluster: give the pod a fresh service account token "
    "(automountServiceAccountToken), or log in again",
    HTTPStatus.FORBIDDEN: "is there such a pool, and is it the right namespace (ROOST_SERVING__NAMESPACE)? then bind "
    "the role to the pod's service account, naming the pool: manifests/base/rights.yaml has it",
    HTTPStatus.NOT_FOUND: "is it the right namespace (ROOST_SERVING__NAMESPACE), and are the manifests applied?",
    HTTPStatus.UNPROCESSABLE_ENTITY: "the manifests there are of another version: apply today's",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One API server, and the namespace of the pools."""

    api: Any
    namespace: str
    host: str
    #: Seconds to connect and to answer, of every call.
    deadlines: tuple[float, float] = field(default=_DEADLINES)

    def ask(self, what: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a method of the client. `what` says it in words, such as ``list pods``.

        Raises:
            ClusterUnavailable: no answer within the deadline, or one that asks to try again.
            ClusterRefused: any other; the text has the API server's own words and the remedy.
        """
        try:
            return call(*arguments, **options, _request_timeout=self.deadlines)
        except ApiException as error:
            raise self._refusal(what, error) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterUnavailable(
                f"cannot {what}: the Kubernetes API server at {self.host} is not reached ({_cause(error)}); is it up, "
                "and does a NetworkPolicy let this pod out to it?"
            ) from error

    def _refusal(self, what: str, error: ApiException) -> RoostError:
        status = int(error.status or 0)
        if not status:
            # The client's way to say that TLS failed.
            return ClusterRefused(
                f"cannot {what}: {self.host} is not trusted ({' '.join(str(error.reason).split())}); is this the API "
                "server's address, and certificate-authority of the kubeconfig its own?"
            )
        said = f"cannot {what} in namespace {self.namespace}: {self.host} answered {status}, {_words(error)}"
        if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT} or status >= 500:
            return ClusterUnavailable(said)
        remedy = _REMEDIES.get(status, "")
        return ClusterRefused(f"{said}; {remedy}" if remedy else said)


def open_cluster(settings: ServingSettings) -> Cluster:
    """The cluster that this pod is in; elsewhere the one of the user's kubeconfig, if `namespace` is set.

    Raises:
        SettingsInvalid: there is neither.
    """
    configuration = client.Configuration()
    # Whoever calls decides whether to try again, and knows until when.
    configuration.retries = False
    in_a_pod = "KUBERNETES_SERVICE_HOST" in os.environ
    if not in_a_pod and settings.namespace is None:
        raise SettingsInvalid(
            "no node directory is set and this is no pod: point ROOST_SERVING__DIRECTORY_FILE at a file that lists "
            "the nodes (`roost up` writes one), or set ROOST_SERVING__NAMESPACE for your kubeconfig's cluster"
        )
    try:
        if in_a_pod:
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(client_configuration=configuration)
    except (ConfigException, OSError) as error:
        file = config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION
        remedy = "set automountServiceAccountToken of the pod" if in_a_pod else f"KUBECONFIG is {file}: is it there?"
        raise SettingsInvalid(f"the Kubernetes cluster is not known: {str(error).rstrip('.')}; {remedy}") from error
    namespace = settings.namespace or _OWN_NAMESPACE.read_text().strip()
    return Cluster(api=client.ApiClient(configuration), namespace=namespace, host=configuration.host)


def _words(error: ApiException) -> str:
    """The message of the API server's Status object, or what there is instead."""
    try:
        status = json.loads(error.body or "")
        return str(status["message"])
    except (ValueError, TypeError, KeyError):
        return str(error.reason)


def _cause(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return str(reason or error)
