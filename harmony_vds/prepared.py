"""What is written: one output of a request, planned and priced."""

from dataclasses import dataclass, field

from harmony_vds.model.part import Part
from harmony_vds.model.plan import Plan
from harmony_vds.model.request import Source
from harmony_vds.model.shape import Shape
from harmony_vds.model.store import CollectionNotes, VirtualStore


@dataclass(frozen=True, eq=False)
class Prepared:
    """One output of a request, planned and priced: a store's, or a Part of it."""

    source: Source
    """The collection it answers for."""
    store: VirtualStore
    """Its pinned store."""
    plan: Plan
    """What will be read and written."""
    notes: CollectionNotes = field(default_factory=CollectionNotes)
    """What the collection's record adds."""
    label: str = ""
    """What its name tells it apart by: the store among several of its collection, the time of a
    Part; empty where there is one output."""
    part: Part | None = None
    """What writes it again elsewhere."""
    shape: Shape | None = None
    """The requested shape, read, where the Part names its document."""
    members: tuple["Prepared", ...] = ()
    """The stores whose values are combined in it, in order; empty where it is of one store."""
