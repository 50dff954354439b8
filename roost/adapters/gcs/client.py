"""Opens a bucket: at Google with the process's own credentials, or on a server of our own without any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from roost.adapters.gcs.store import GcsObjectStore
from roost.contracts.errors import Permanent
from roost.ports.object_store import ObjectStore
from roost.settings import StorageSettings

if TYPE_CHECKING:
    from google.cloud import storage

#: Threads that may talk to the store at once, each over a connection kept for the next call.
_CONNECTIONS: Final = 64


def open_store(settings: StorageSettings) -> ObjectStore:
    """The bucket of the settings. On a server of our own (`endpoint`), the bucket is made where it is missing.

    At Google nothing is asked yet: the roles that a process needs for objects do not let it look at the bucket.

    Raises:
        StorageUnavailable: a server of our own does not answer by the deadline.
        Permanent: no credentials for Google.
    """
    store = GcsObjectStore(plain_client(settings), settings)
    if settings.endpoint is not None:
        store.ensure_bucket()
    return store


def plain_client(settings: StorageSettings) -> storage.Client:
    """Google's own client, by these settings. Raises `Permanent` where there are no credentials."""
    import requests.adapters
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud import storage

    if settings.endpoint:
        client = storage.Client(
            project=settings.project,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": settings.endpoint},
        )
    else:
        try:
            client = storage.Client(project=settings.project)
        except DefaultCredentialsError as error:
            raise Permanent(
                "no Google credentials: set GOOGLE_APPLICATION_CREDENTIALS or run with a service account, "
                "or set ROOST_STORAGE__ENDPOINT to a server of your own"
            ) from error
    # The client's own pool keeps 10 connections and throws others away. Google's documentation widens it the same way:
    # https://cloud.google.com/python/docs/reference/storage/latest/google.cloud.storage.client
    for scheme in ("https://", "http://"):
        adapter = requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=_CONNECTIONS)
        client._http.mount(scheme, adapter)  # noqa: SLF001 (the documented way)
    return client
