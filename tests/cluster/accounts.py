"""Service accounts of the manifests, each asking the API server with a token of its own."""

from __future__ import annotations

import copy
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from kubernetes import client

from tests.cluster.control_plane import Cluster
from tests.cluster.processes import until

KUBECTL: Final = Path(sys.executable).with_name("kubectl")
OVERLAYS: Final = Path("manifests/overlays")
#: The Deployments of the pools.
POOLS: Final = ("roost-pool-canary", "roost-pool-default")
#: What an account and its rights are made of.
_RIGHTS: Final = ("Namespace", "ServiceAccount", "Role", "RoleBinding")

Object = dict[str, Any]


@dataclass(frozen=True, order=True, kw_only=True)
class Right:
    """Verbs on one resource of one API group; on the named ones only, where there are names."""

    group: str
    resource: str
    names: tuple[str, ...] = ()
    verbs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whether something is allowed. ``resource`` may have a subresource: ``pods/exec``."""

    verb: str
    group: str = ""
    resource: str
    name: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.group}/{self.resource} {self.name} in {self.namespace or 'every namespace'}"


class Account:
    """One service account, with a client that has its token and nothing else. Close it."""

    def __init__(self, cluster: Cluster, name: str, namespace: str) -> None:
        self.name = name
        self.api = cluster.client(cluster.token_of(name, namespace))
        self._reviews = client.AuthorizationV1Api(self.api)

    def close(self) -> None:
        """Give the connections back."""
        self.api.close()

    def rights(self, namespace: str) -> tuple[frozenset[Right], frozenset[str]]:
        """What it may do in a namespace, and which other paths it may read, by `SelfSubjectRulesReview`."""
        review = self._reviews.create_self_subject_rules_review({"spec": {"namespace": namespace}})
        assert not review.status.incomplete, review.status.evaluation_error
        rights = {
            Right(
                group=group,
                resource=resource,
                names=tuple(sorted(rule.resource_names or ())),
                verbs=tuple(sorted(rule.verbs)),
            )
            for rule in review.status.resource_rules
            for group in rule.api_groups
            for resource in rule.resources
        }
        paths = {path for rule in review.status.non_resource_rules for path in rule.non_resource_urls}
        return frozenset(rights), frozenset(paths)

    def may(self, question: Question) -> bool:
        """By `SelfSubjectAccessReview`."""
        resource, _, subresource = question.resource.partition("/")
        attributes = {
            "verb": question.verb,
            "group": question.group,
            "resource": resource,
            "subresource": subresource,
            "name": question.name,
            "namespace": question.namespace,
        }
        review = self._reviews.create_self_subject_access_review({"spec": {"resourceAttributes": attributes}})
        return bool(review.status.allowed)


@cache
def rendered(overlay: str) -> tuple[Object, ...]:
    """Every object of an overlay, as kubectl renders it."""
    done = subprocess.run(
        (KUBECTL, "kustomize", OVERLAYS / overlay), capture_output=True, text=True, check=True, timeout=60
    )
    return tuple(yaml.safe_load_all(done.stdout))


def of(objects: tuple[Object, ...], *kinds: str) -> list[Object]:
    """The objects of these kinds."""
    return [one for one in objects if one["kind"] in kinds]


def install_rights(cluster: Cluster, namespace: str) -> None:
    """Bring the namespace, the accounts and their rights, as the overlay `local` has them; wait until they count.

    The namespace is another one than ``roost``: a test has it to itself.
    """
    wanted = [moved(one, namespace) for one in of(rendered("local"), *_RIGHTS)]
    # One after the other: what is in a namespace needs it to be there.
    for kinds in (_RIGHTS[:1], _RIGHTS[1:]):
        documents = yaml.safe_dump_all([one for one in wanted if one["kind"] in kinds])
        cluster.kubectl("apply", "--server-side", "-f", "-", stdin=documents)
    # Authorizers read bindings from a cache that follows within moments.
    may_roll = Question(verb="patch", group="apps", resource="deployments", name=POOLS[-1], namespace=namespace)
    with closing(Account(cluster, "roost-restart", namespace)) as restart:
        until("the restart has its rights", lambda: restart.may(may_roll), 180)


def moved(one: Object, namespace: str, *, subjects: str | None = None) -> Object:
    """The same object in another namespace, for accounts of that one or of the namespace `subjects`."""
    found = copy.deepcopy(one)
    found["metadata"]["name" if one["kind"] == "Namespace" else "namespace"] = namespace
    for subject in found.get("subjects", ()):
        subject["namespace"] = subjects or namespace
    return found
