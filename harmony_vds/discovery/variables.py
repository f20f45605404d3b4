"""Stores of single variables: used when every requested variable has one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harmony_vds.discovery import umm
from harmony_vds.discovery.candidates import Candidate, candidates_of, ranked
from harmony_vds.discovery.cmr import CmrClient
from harmony_vds.discovery.placements.variable import (
    direct_distribution,
    instance_link,
    related_links,
)
from harmony_vds.model.request import Source

_MOST_RECORDS = 300
"""Records of variables that are looked through."""


@dataclass(frozen=True)
class VariableStore:
    """A store, the requested variables that it holds, and what their records say around it."""

    candidates: tuple[Candidate, ...]
    """Its addresses."""
    variables: tuple[str, ...] = ()
    """Requested variables, as they were asked for."""
    prefixes: tuple[str, ...] = ()
    """S3 prefixes that the variable's record names."""


@dataclass(frozen=True)
class VariableStores:
    """The stores of the requested variables, by the message and by CMR."""

    source: Source
    """The requested variables, and what the message says of them."""
    cmr: CmrClient
    """Whom to ask."""
    associated: Sequence[str]
    """Concept ids of all variables of the collection."""

    def ways(self) -> tuple[tuple[VariableStore, ...], ...]:
        """Ways to answer for all requested variables, best first; none if one has no store.

        **Reads:** metadata, if variables were requested and the message does not say it all.
        """
        if not self.source.variables:
            return ()
        found = {name: self._arrived(name) for name in self.source.variables}
        if not all(found.values()):
            recorded = self._recorded()
            found = {name: recorded.get(_plain(name), ()) + own for name, own in found.items()}
        each = [[replace(own, variables=(name,)) for own in found[name]] for name in found]
        return tuple(_merged(way) for way in zip(*each, strict=False))

    def _arrived(self, name: str) -> tuple[VariableStore, ...]:
        """By the related URLs that Harmony passes on."""
        entries = [
            {"URL": own.href, "Type": own.type, "Subtype": own.subtype, "Format": own.format,
             "MimeType": own.media_type, "Description": own.description}
            for own in self.source.variable_links if own.variable == name
        ]  # fmt: skip
        stores = ranked(candidates_of(related_links(entries, name)))
        return tuple(VariableStore(own) for own in stores)

    def _recorded(self) -> Mapping[str, tuple[VariableStore, ...]]:
        """By the variables' records, those of all variables by plain name."""
        found: dict[str, tuple[VariableStore, ...]] = {}
        for record in self.cmr.variables(self.associated[:_MOST_RECORDS]):
            name = str(record.umm.get("Name") or "")
            stores: list[VariableStore] = []
            instance = instance_link(record.umm)
            if instance is not None:
                told = {"DirectDistributionInformation": direct_distribution(record.umm)}
                own = replace(
                    Candidate.of_link(instance),
                    region=umm.region(told),
                    credentials_endpoint=umm.credentials_endpoint(told),
                )
                stores.append(VariableStore((own,), prefixes=umm.distribution_prefixes(told)))
            links = related_links(record.umm.get("RelatedURLs"), name)
            stores += [VariableStore(own) for own in ranked(candidates_of(links))]
            found[_plain(name)] = tuple(stores)
        return found


def _plain(name: str) -> str:
    return name.strip().lstrip("/")


def _merged(way: Sequence[VariableStore]) -> tuple[VariableStore, ...]:
    """`way` with variables of the same store brought together, in the order of the request."""
    merged: dict[object, VariableStore] = {}
    for own in way:
        key = own.candidates[0].store
        before = merged.get(key)
        names = (*before.variables, *own.variables) if before else own.variables
        merged[key] = replace(before or own, variables=names)
    return tuple(merged.values())
