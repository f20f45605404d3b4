"""A Part: a share of a request that is planned, priced and written by itself.

Parts are cut along one dimension where the store's chunks end, so that no chunk is read for two of
them, and joined again along it they are the whole.
"""

from dataclasses import dataclass, replace

from harmony_vds.model.request import Request, Source
from harmony_vds.model.shape import Shape
from harmony_vds.model.store import CollectionNotes, StoreLocation


@dataclass(frozen=True)
class Recorded:
    """What the records of a collection said of where its bytes may be read, in plain values."""

    prefixes: tuple[str, ...] = ()
    """URL prefixes that the records name."""
    region: str = ""
    """AWS region of the buckets; empty where none was named."""
    endpoints: tuple[tuple[str, str], ...] = ()
    """S3 prefixes, and where a token is exchanged for temporary credentials to them."""
    twins: tuple[tuple[str, str], ...] = ()
    """S3 prefixes, and the https prefixes below which the same keys lie."""


@dataclass(frozen=True)
class Part:
    """All that is needed to write one output but a token and the operator's settings."""

    index: int
    """Its number, from 0."""
    of: int
    """How many there are."""
    location: StoreLocation
    """The store, in the state that the request was planned for."""
    source: Source
    """The collection it answers for."""
    request: Request
    """What was asked, with the stretch that this Part is of."""
    notes: CollectionNotes
    """What the collection's record adds."""
    label: str = ""
    """What its name tells it apart by."""
    by_region: bool = False
    """Whether the store was chosen for meeting the requested region."""
    recorded: Recorded = Recorded()
    """What records said of where its bytes may be read."""
    moment: int = 0
    """When it was planned, seconds since 1970: what its output says of time, whoever writes it."""
    fingerprint: str = ""
    """That of its plan: planned again, it must come out the same."""
    members: tuple["Part", ...] = ()
    """Those of the stores that its output combines, in order; empty where it is of one store."""

    def asking(self, shape: Shape | str | None) -> "Part":
        """This Part, and those of its stores, with the shape read or as its document.

        **Reads:** nothing.
        """
        return replace(
            self,
            request=replace(self.request, shape=shape),
            members=tuple(own.asking(shape) for own in self.members),
        )
