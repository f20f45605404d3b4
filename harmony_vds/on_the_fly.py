"""A store made of the selected granules themselves, where nobody published one."""

import logging
import warnings
import weakref
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harmony_vds.access.gateway import Access
from harmony_vds.access.trust import Address
from harmony_vds.discovery.find import StoreSearch
from harmony_vds.discovery.found import FoundStore
from harmony_vds.discovery.shares import Linked
from harmony_vds.errors import RequestError, StoreError, TooLargeError
from harmony_vds.granule_files import Wanted, files_of, reaching
from harmony_vds.model.plan import Cost, human_bytes, told_apart
from harmony_vds.model.store import ManifestFormat, StoreLocation, VirtualStore
from harmony_vds.prepared import Prepared
from harmony_vds.services import Services
from harmony_vds.stopping import work_folder
from harmony_vds.stores.open import open_store
from harmony_vds.telemetry import Deadline

if TYPE_CHECKING:
    from harmony_vds.building.virtualize import Built

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Made:
    """A store that was made for one request, and what making it took."""

    found: FoundStore
    """Which granules it answers for."""
    store: VirtualStore
    """The open store."""
    nbytes: int
    """Bytes that were fetched to describe the granules."""
    requests: int
    """By how many requests."""

    def priced(self, prepared: list[Prepared]) -> list[Prepared]:
        """`prepared`, the first with the price of describing added. **Reads:** nothing."""
        first, *others = prepared
        return [replace(first, plan=replace(first.plan, cost=self.added(first.plan.cost))), *others]

    def added(self, cost: Cost) -> Cost:
        """`cost` with that of describing. **Reads:** nothing."""
        return replace(
            cost, bytes_read=cost.bytes_read + self.nbytes, requests=cost.requests + self.requests
        )


_SHARE = 0.4
"""Part of a request's time that describing granules may take; the rest is for their data."""


def described(search: StoreSearch, services: Services) -> Made | None:
    """The selected granules of a search that came to nothing, as one open store.

    None where no granule was selected, where something was named as their store, or where the
    operator turned this off.

    Raises
    ------
    TooLargeError
        There are more granules than may be described, or they take too long, or more bytes than
        one request may read.
    StoreError
        They cannot be described by references, or not together.
    ForbiddenError, UpstreamError
        One cannot be read; the text names it.

    **Reads:** metadata and coordinates of the granules.
    """
    told = search.unserved()
    if told is None or not services.max_virtualized:
        return None
    linked, notes, access = told
    if len(linked) > services.max_virtualized:
        raise TooLargeError(
            f"No virtual store of {search.source.collection} is published, and {len(linked)} "
            f"granules are too many to be described for one request; at most "
            f"{services.max_virtualized} are (HARMONY_VDS_MAX_VIRTUALIZED). Select fewer granules, "
            "or ask the publisher for a store."
        )
    store, built = _opened(search, linked, reaching(linked, access, Wanted()), services)
    found = FoundStore((store.location,), access, notes, granules=search.granules)
    return Made(found, store, built.nbytes, built.requests)


def _opened(
    search: StoreSearch, linked: tuple[Linked, ...], access: Access, services: Services
) -> "tuple[VirtualStore, Built]":
    """The granules described by a repository of this process alone, and what that took."""
    # Not before it is needed: the libraries that write stores take seconds to load.
    from harmony_vds.building.choice import Choice
    from harmony_vds.building.places import Place
    from harmony_vds.building.virtualize import Crew, virtualize

    files = files_of(linked, access, Wanted())
    clock = _Clock(services.deadline, services.limits.max_read_bytes)
    choice = Choice(time_from="auto", is_one_of_many=len(files) > 1)
    with ExitStack() as unless_opened:
        folder = unless_opened.enter_context(work_folder("vds-store-"))
        place = Place.of(f"{folder}/store")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what Zarr v3 has not standardised
                built = virtualize(files, place, choice, Crew(tell=clock))
            at = StoreLocation(place.href, ManifestFormat.ICECHUNK, region=access.fetcher.region)
            store = open_store((at,), _trusting(access, place.href), services.reading)
        except TooLargeError:
            raise
        except (StoreError, RequestError) as error:
            raise StoreError(
                f"No virtual store of {search.source.collection} is published, and its granules "
                f"cannot be described together: {error}"
            ) from None
        members = tuple(StoreLocation(own.target, ManifestFormat.GRANULES) for own in files)
        named = replace(members[0], snapshot=built.digest, members=members, region=at.region)
        store = replace(store, location=named)
        weakref.finalize(store, unless_opened.pop_all().close)
    for note in built.notes:
        logger.info("%s", note)
    logger.info(
        "No store is published: described %d granules by %d references, for which %s were read, "
        "%.0f s of time are left",
        built.granules, built.references, human_bytes(built.nbytes), services.deadline.remaining,
    )  # fmt: skip
    return store, built


@dataclass(frozen=True)
class _Clock:
    """Refuses when describing granules takes too much of the request's time, or of its bytes."""

    deadline: Deadline
    most: int
    """Bytes that one request may read."""

    def __call__(self, done: int, total: int, nbytes: int) -> None:
        expected = nbytes * total // done
        if expected > self.most:
            would, may = told_apart(expected, self.most)
            raise TooLargeError(
                f"Describing {total} granules would read {would} of them, and one "
                f"request may read {may} (HARMONY_VDS_MAX_READ_BYTES). Select "
                f"{max(total * self.most // expected, 1)} granules, or ask the publisher for a "
                "virtual store."
            )
        left = self.deadline.remaining / self.deadline.seconds
        if done < total and left < 1 - _SHARE:
            raise TooLargeError(
                f"Describing granules took too long: {done} of {total} in "
                f"{self.deadline.seconds * (1 - left):.0f} s. Select {max(done // 2, 1)} granules, "
                "or ask the publisher for a virtual store."
            )


def _trusting(access: Access, href: str) -> Access:
    """`access` that also reads the store it has just written, as its operator's."""
    fetcher = access.fetcher
    trust = replace(fetcher.trust, operator=(*fetcher.trust.operator, Address.of(href)))
    return replace(access, fetcher=replace(fetcher, trust=trust))
