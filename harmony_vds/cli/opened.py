"""The store that a command names by its address, or by its collection."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from harmony_vds.discovery.found import FoundStore, locate
from harmony_vds.errors import RequestError
from harmony_vds.model.request import Source
from harmony_vds.model.store import VirtualStore
from harmony_vds.services import Services
from harmony_vds.settings import settings_from_environment
from harmony_vds.stores.open import open_store
from harmony_vds.user import as_url, credentials_of_user, is_concept_id, trusting


@dataclass(frozen=True, eq=False)
class Opened:
    """An open store and what it was opened with."""

    store: VirtualStore
    """The store."""
    found: FoundStore
    """Where it was found."""
    services: Services
    """Clients and limits."""


@contextmanager
def opened(store: str | None, collection: str | None, trust: Sequence[str]) -> Iterator[Opened]:
    """The store at a path or URL, or the best one of a collection in CMR.

    A concept id in place of the address names a collection.

    Raises
    ------
    RequestError
        Both or none are named.
    NoStoreError, StoreError, ForbiddenError, UpstreamError
        There is none, or it does not open.

    **Reads:** metadata.
    """
    if store and not collection and is_concept_id(store):
        store, collection = None, store
    if (store is None) == (collection is None):
        raise RequestError("Name either a store or a collection.")
    settings = trusting(settings_from_environment(), store, trust)
    with Services.of(settings, credentials_of_user(settings)) as services:
        if store:
            found = locate(as_url(store), services.access)
        else:
            source = Source(str(collection), str(collection))
            found = services.search(source).first()[0]
        yield Opened(open_store(found.locations, found.access, services.reading), found, services)
