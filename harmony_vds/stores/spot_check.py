"""Compares a store with what a few of its source files say themselves.

A manifest holds one description for all files of a variable. Where files differ in it, as after a
change of the producer's software, the chunks of some decode to wrong values, and nothing in the
manifest shows it. The headers of the first and the last file that a plan reads from do.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harmony_vds.access.fetch import Fetcher, RetryPolicy
from harmony_vds.access.http import Received
from harmony_vds.access.loop import run
from harmony_vds.access.traffic import Traffic
from harmony_vds.errors import StoreError, VdsError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, chunk_numbers
from harmony_vds.model.paths import group_of, join, name_of
from harmony_vds.model.plan import Plan, Role
from harmony_vds.model.store import ManifestFormat, VirtualStore
from harmony_vds.settings import SpotCheck
from harmony_vds.stores.agreement import Described, disagreements
from harmony_vds.stores.encoding import Encoding
from harmony_vds.stores.headers import SourceHeader
from harmony_vds.telemetry import Deadline

logger = logging.getLogger(__name__)

_MOST_FILES = 2
"""Files compared: the first and the last that a requested variable is read from."""
_MOST_ROUNDS = 6
"""Requests for each file; one to three are enough for one variable in most files."""
_MOST_SECONDS = 5.0
"""Seconds after which a comparison is given up: it is none that the answer needs."""
_MOST_TOLD = 5


@dataclass(frozen=True, eq=False)
class _Reads:
    """What a plan reads of one variable from source files."""

    locations: tuple[str, ...]
    sources: npt.NDArray[np.int32]
    """Number of the file of each chunk, in the order of chunks."""
    starts: npt.NDArray[np.int64]
    """First byte of each chunk."""
    ends: npt.NDArray[np.int64]
    """First byte after each chunk."""
    lacking: bool
    """Whether chunks are read that the store does not hold."""

    @classmethod
    def of(cls, index: ChunkIndex, box: Any) -> "_Reads | None":
        """Those of the chunks in `box`; None where no source file has any of them."""
        virtual = index.kinds[box] == ChunkKind.VIRTUAL
        if not virtual.any():
            return None
        starts = index.offsets[box][virtual]
        ends = starts + index.lengths[box][virtual]
        lacking = bool((index.kinds[box] == ChunkKind.ABSENT).any())
        return cls(index.locations, index.sources[box][virtual], starts, ends, lacking)

    def outermost(self) -> tuple[str, ...]:
        """The first and the last file."""
        return tuple({self.locations[self.sources[at]]: at for at in (0, -1)})

    def span_in(self, url: str) -> tuple[int, int]:
        """First byte that is read of the file at `url`, and the byte after the last; or zeros."""
        number = next((n for n, own in enumerate(self.locations) if own == url), -1)
        inside = self.sources == number
        if not inside.any():
            return 0, 0
        return int(self.starts[inside].min()), int(self.ends[inside].max())

    def end_in(self, url: str) -> int:
        """Bytes that the file at `url` has at least; 0 if nothing is read from it."""
        return self.span_in(url)[1]


@dataclass(frozen=True, eq=False)
class _Case:
    """One array that is compared."""

    path: str
    parent: str | None
    """The variable that it bounds, whose units are its own."""
    reads: _Reads


@dataclass
class Comparison:
    """What was compared, and what differed."""

    files: int = 0
    """Files whose headers were read."""
    arrays: int = 0
    """Descriptions of arrays in them that were compared."""
    differences: list[str] = field(default_factory=list)
    """What differed, naming variable, file and both values."""
    variables: list[str] = field(default_factory=list)
    """Full paths of the variables that differed, in the order of the plan."""
    traffic: Traffic = field(default_factory=Traffic)
    """What it took; no part of the price of a plan."""


def compare_with_sources(store: VirtualStore, plan: Plan, fetcher: Fetcher) -> Comparison:
    """Compare the variables of `plan` with the first and last files that it reads them from.

    What cannot be read, in six requests for each file and five seconds, is not compared: reading
    the data will tell.

    **Reads:** metadata, of the source files.
    """
    found = Comparison()
    reads = _reads_of(store, plan)
    headers = _chosen(reads)
    if headers:
        bounds = _bounds(store)
        paths = {path: None for own in reads for path in (own, bounds.get(own, own))}
        prefix = _prefix(store)
        _read(headers, [f"{prefix}{path}" for path in paths], fetcher, found.traffic)
    for header in headers:
        found.files += bool(header.arrays)
        for path in (path for path, own in reads.items() if own.end_in(header.url)):
            _compare(_Case(path, bounds.get(path), reads[path]), store, header, found)
    return found


def check_sources(store: VirtualStore, plan: Plan, fetcher: Fetcher, choice: SpotCheck) -> None:
    """Refuse, or warn in the log, where source files do not say of themselves what the store says.

    Raises
    ------
    StoreError
        They differ, and that is refused; the text names variable, file and both values.

    **Reads:** metadata, of the source files.
    """
    found = compare_with_sources(store, plan, fetcher)
    if found.files:
        logger.info(
            "Compared %d arrays with the headers of %d source files, in %d requests and %d bytes",
            found.arrays, found.files, found.traffic.requests, found.traffic.nbytes,
        )  # fmt: skip
    if not found.differences:
        return
    told = "; ".join(found.differences[:_MOST_TOLD])
    more = len(found.differences) - _MOST_TOLD
    text = (
        f"The store does not describe its source files: {told}"
        f"{f'; and {more} more' if more > 0 else ''}. Values of "
        f"{', '.join(own.lstrip('/') for own in found.variables)} would come out wrong."
    )
    if choice == "refuse":
        raise StoreError(
            f"{text} The publisher must write the store anew; ask for other variables or times."
        )
    logger.warning("%s", text)


def _reads_of(store: VirtualStore, plan: Plan) -> dict[str, _Reads]:
    """Variable → what the plan reads of it from source files; the requested ones first."""
    reads = {}
    for own in sorted(plan.variables, key=lambda own: own.role is not Role.REQUESTED):
        if own.path in store.defects:
            continue
        sizes = _variable(store, own.path).shape
        kept = [
            plan.selection[name].indices if name in plan.selection else range(size)
            for name, size in zip(own.dimensions, sizes, strict=True)
        ]
        index = store.chunk_index(own.path, kept)
        numbers = [chunk_numbers(*pair) for pair in zip(kept, index.cuts, strict=True)]
        found = _Reads.of(index, np.ix_(*numbers))
        if found is not None:
            reads[own.path] = found
    return reads


def _chosen(reads: Mapping[str, _Reads]) -> list[SourceHeader]:
    """The files to look into, by the requested variables first."""
    urls = [url for own in reads.values() for url in own.outermost()]
    return [
        SourceHeader(url, max(own.end_in(url) for own in reads.values()))
        for url in list(dict.fromkeys(urls))[:_MOST_FILES]
    ]


def _prefix(store: VirtualStore) -> str:
    """What stands before a path of the store in its files, where it is a group of a larger one."""
    group = store.location.group.strip("/")
    return f"/{group}" if group and store.location.kind is not ManifestFormat.ZIP else ""


def _bounds(store: VirtualStore) -> dict[str, str]:
    """Path of bounds → path of the variable that they bound, whose units are theirs."""
    return {
        join(node.path, str(own.attrs[key])): join(node.path, str(name))
        for node in store.tree.subtree
        for name, own in node.variables.items()
        for key in ("bounds", "climatology")
        if key in own.attrs
    }


def _read(
    headers: Sequence[SourceHeader], paths: Sequence[str], fetcher: Fetcher, traffic: Traffic
) -> None:
    """Read as much of the headers as `paths` need, a piece of each at once."""
    seconds = _MOST_SECONDS
    if fetcher.deadline is not None:
        seconds = max(0.0, min(seconds, fetcher.deadline.remaining))
    once = replace(
        fetcher, policy=RetryPolicy(attempts=1), deadline=Deadline(seconds), traffic=traffic
    )
    for _ in range(_MOST_ROUNDS):
        waiting = [own for own in headers if own.missing is not None]
        pieces = run(_fetched(waiting, once)) if waiting else []
        for header, piece in zip(waiting, pieces, strict=True):
            if isinstance(piece, VdsError):
                logger.debug("%s is not compared: %s", header.shown, piece)
                header.missing = None
            else:
                header.take(piece.body, piece.size, paths)


async def _fetched(headers: Sequence[SourceHeader], fetcher: Fetcher) -> list[Received | VdsError]:
    """What is missing of each header, or why it does not come."""
    return list(await asyncio.gather(*(_missing_of(own, fetcher) for own in headers)))


async def _missing_of(header: SourceHeader, fetcher: Fetcher) -> Received | VdsError:
    start, length = header.missing or (0, 0)
    try:
        return await fetcher.fetch_range(header.url, start, length)
    except VdsError as error:
        return error


def _compare(case: _Case, store: VirtualStore, header: SourceHeader, found: Comparison) -> None:
    """Note how one array differs from what its file says."""
    path, parent = case.path, case.parent
    prefix = _prefix(store)
    own = header.arrays.get(f"{prefix}{path}")
    if own is None:
        return
    variable = _variable(store, path)
    bounding = header.arrays.get(f"{prefix}{parent}") if parent else None
    told = dict(own.attributes)
    attributes = dict(variable.attrs)
    if bounding is not None and parent is not None and "units" not in told:
        for name in ("units", "calendar"):
            told.pop(name, None)
            attributes.pop(name, None)
            if name in bounding.attributes:
                told[name] = bounding.attributes[name]
            if name in _variable(store, parent).attrs:
                attributes[name] = _variable(store, parent).attrs[name]
    described = _described(case, attributes, store, header.url)
    found.arrays += 1
    for what, here, there in disagreements(described, replace(own, attributes=told)):
        found.differences.append(
            f"{path.lstrip('/')} has {what} {here} in the store and {there} in {header.shown}"
        )
        if path not in found.variables:
            found.variables.append(path)


def _described(
    case: _Case, attributes: Mapping[str, Any], store: VirtualStore, url: str
) -> Described:
    """An array as the store describes it, of which some is read of the file at `url`."""
    path, variable = case.path, _variable(store, case.path)
    metadata, location = store.layout(path), store.location
    alone = location.kind is ManifestFormat.DMRPP and not location.members
    fill = metadata.fill_value
    return Described(
        variable.dtype,
        attributes,
        Encoding.of(metadata),
        repaired=path in store.repairs,
        coordinate=variable.dims == (name_of(path),),
        shape=variable.shape if alone else None,
        unwritten=(0 if fill is None else fill) if case.reads.lacking else None,
        span=case.reads.span_in(url),
    )


def _variable(store: VirtualStore, path: str) -> Any:
    return store.tree[group_of(path)].variables[name_of(path)]
