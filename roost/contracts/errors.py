"""The errors that Roost raises on purpose. What is not listed here is a bug and crashes loudly.

``Retryable`` is transient: wait and try again. ``Permanent`` will fail again however often it is tried.
``InvalidEvent`` belongs to the dead letters. ``Conflict`` means that somebody else was first.
"""

from __future__ import annotations


class RoostError(Exception):
    """Root of every error that Roost raises on purpose. Its text names the thing and the remedy."""


class Retryable(RoostError):
    """A dependency did not answer or asked us to wait. Nothing is wrong with the request."""


class Permanent(RoostError):
    """The request itself cannot succeed. Trying again gives the same answer."""


class InvalidEvent(Permanent):
    """An event that can never be handled: undecodable, of unknown type, or breaking its contract."""


class Conflict(RoostError):
    """A precondition did not hold: the thing changed since it was read, or exists already."""


class NotFound(Permanent):
    """The named thing does not exist."""


class StorageUnavailable(Retryable):
    """The object store did not answer in time, or asked for a slower pace (408, 429, 5xx)."""


class BrokerUnavailable(Retryable):
    """The event bus did not answer in time."""


class BrokerRefused(BrokerUnavailable):
    """The event bus is there and does not let us in: a login, a certificate, a right.

    Retryable, since accounts, certificates and ACLs are often put right while processes run.
    """

    def __init__(self, said: str, remedy: str) -> None:
        super().__init__(f"{said}: {remedy}")
        self.said = said
        self.remedy = remedy


class DatabaseUnavailable(Retryable):
    """PostgreSQL did not answer in time."""


class WorkflowUnavailable(Retryable):
    """Airflow did not answer in time, or is not ready yet."""


class NodeUnavailable(Retryable):
    """A serving node did not answer in time."""


class ClusterUnavailable(Retryable):
    """The Kubernetes API server did not answer in time, or asked for a slower pace."""


class ClusterRefused(Permanent):
    """The Kubernetes API server refused: the token, a right that is missing, a thing that is not there."""


class ModelServerUnavailable(Retryable):
    """The model server did not answer in time, or not at all."""


class ArtifactInvalid(Permanent):
    """An artifact breaks its manifest: a file is missing, truncated, altered or undeclared."""


class SettingsInvalid(Permanent):
    """A setting or a policy file cannot be used. The text names the setting, the value and the remedy."""
