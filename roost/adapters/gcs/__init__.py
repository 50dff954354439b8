"""Google Cloud Storage, and any server that speaks its API, through Google's own client.

Every call has a deadline and backs off with jitter while the store is unwell. Every write has a precondition; a broken
one may be our own write whose answer was lost, which the `write_id` in the object's metadata tells.
"""

from roost.adapters.gcs.client import open_store
from roost.adapters.gcs.store import GcsObjectStore

__all__ = ["GcsObjectStore", "open_store"]
