"""Granules described by sidecars or by files, whichever is right; what is left out is told."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from virtualizarr.manifests import ManifestArray

from harmony_vds.building.choice import Choice
from harmony_vds.building.encodings import decoding
from harmony_vds.building.files import GranuleFile
from harmony_vds.building.granules import Omitted, VirtualGranule, read_granule
from harmony_vds.building.marks import MEANING, same_attribute

_TRIED = 3
"""Granules among which one must be found whose sidecar tells what its file does."""
_REASONS = 5
"""Different doubts that are told."""

type Reader = Callable[[Sequence[GranuleFile]], Iterable[VirtualGranule | Omitted]]
"""Describes files, in their order."""


@dataclass(frozen=True, eq=False)
class Gathered:
    """What was described."""

    granules: list[VirtualGranule]
    """Those that hold something of what was chosen, in the order of their files."""
    notes: tuple[str, ...]
    """Which were left out, and what described the others."""
    nbytes: int = 0
    """Bytes that were fetched from elsewhere to describe them, those left out included."""
    requests: int = 0
    """By how many requests."""


def gather(files: Sequence[GranuleFile], choice: Choice, read: Reader) -> Gathered:
    """The chosen parts of `files`; errors as `read_granule`.

    Sidecars of one archive are made by one program, which may leave out or round the same in all:
    of several, the first that serves is compared with its file, and none is used where the two
    differ. A later one that differs from it in structure gives way to its file.

    **Reads:** metadata and coordinates of the granules.
    """
    files, notes = _compared(files, choice)
    found: list[VirtualGranule] = []
    empty: list[str] = []
    nbytes = requests = 0
    first: VirtualGranule | None = None
    for file, own in zip(files, read(files), strict=True):
        if isinstance(own, VirtualGranule) and own.by_sidecar:
            if first is not None and _structure(own) != _structure(first):
                own = _of_file(file, choice, f"it differs from that of {first.name}")  # noqa: PLW2901
            elif first is None:
                first = own
        nbytes, requests = nbytes + own.nbytes, requests + own.requests
        if isinstance(own, VirtualGranule):
            found.append(own)
        elif own.is_empty:
            empty.append(own.name)
    told = (*notes, *_told(found, empty, len(files)))
    return Gathered(found, told, nbytes, requests)


def _of_file(file: GranuleFile, choice: Choice, doubt: str) -> VirtualGranule | Omitted:
    told = read_granule(replace(file, sidecar=None), choice)
    return replace(told, doubt=doubt) if isinstance(told, VirtualGranule) else told


def _compared(
    files: Sequence[GranuleFile], choice: Choice
) -> tuple[Sequence[GranuleFile], list[str]]:
    """The files, without sidecars where those do not tell what a file does, and why."""
    beside = [own for own in files if own.sidecar is not None]
    if len(beside) < 2:
        return files, []
    reason = f"none of the first {min(_TRIED, len(beside))} serves"
    for file in beside[:_TRIED]:
        ours = read_granule(file, choice)
        if isinstance(ours, VirtualGranule) and ours.by_sidecar:
            theirs = read_granule(replace(file, sidecar=None), choice)
            reason = _difference(ours, theirs)
            break
        reason = f"{reason}; {file.name}: {ours.doubt}" if not isinstance(ours, Omitted) else reason
    if not reason:
        return files, []
    alone = [replace(own, sidecar=None) for own in files]
    return alone, [f"DMR++ sidecars are not used, files describe themselves: {reason}"]


def _difference(sidecar: VirtualGranule, file: VirtualGranule | Omitted) -> str:
    """What a sidecar tells otherwise than its file; empty if nothing that matters."""
    if isinstance(file, Omitted) or set(sidecar.groups) != set(file.groups):
        return f"that of {sidecar.name} has other groups than the file"
    for group, dataset in file.groups.items():
        told = sidecar.groups[group]
        if odd := set(map(str, dataset.variables)) ^ set(map(str, told.variables)):
            return (
                f"that of {sidecar.name} and the file differ in variables: {', '.join(sorted(odd))}"
            )
        for name, variable in dataset.variables.items():
            what = _unlike(variable, told.variables[name])
            if what:
                return f"that of {sidecar.name} tells another {what} of {name} than the file"
    return ""


def _unlike(one: xr.Variable, other: xr.Variable) -> str:
    """In what two variables differ; empty where they are one and the same."""
    if one.dims != other.dims or one.shape != other.shape or one.dtype != other.dtype:
        return "shape or type"
    for attribute in MEANING:
        if not same_attribute(one.attrs.get(attribute), other.attrs.get(attribute)):
            return attribute
    a: Any = one.data
    b: Any = other.data
    if isinstance(a, ManifestArray) != isinstance(b, ManifestArray):
        return "place"
    if not isinstance(a, ManifestArray):
        return "" if a.tobytes() == b.tobytes() else "value"
    if a.metadata.chunks != b.metadata.chunks or a.manifest.dict() != b.manifest.dict():
        return "chunk"
    if decoding(a.metadata.codecs) != decoding(b.metadata.codecs):
        return "filter"
    floats = one.dtype.kind == "f"
    alike = np.array_equal(a.metadata.fill_value, b.metadata.fill_value, equal_nan=floats)
    return "" if alike else "fill value"


def _structure(granule: VirtualGranule) -> dict[tuple[str, str], tuple[Any, ...]]:
    """What granules of one series have in common."""
    return {
        (group, str(name)): (
            own.dims, own.dtype,
            tuple(repr(own.attrs.get(key)) for key in MEANING if key not in ("units", "calendar")),
        )
        for group, dataset in granule.groups.items() for name, own in dataset.variables.items()
    }  # fmt: skip


def _told(granules: Sequence[VirtualGranule], empty: Sequence[str], total: int) -> list[str]:
    """Notes on granules that are left out, and on what describes the others."""
    notes = []
    if empty and granules:
        notes.append(
            f"{len(empty)} of {total} granules are left out, for they have no step: "
            f"{', '.join(empty[:_REASONS])}{' …' if len(empty) > _REASONS else ''}"
        )
    described = sum(own.by_sidecar for own in granules)
    if described:
        notes.append(f"{described} of {total} granules are described by their DMR++ sidecars")
    doubts: dict[str, list[str]] = {}
    for own in granules:
        if own.doubt:
            doubts.setdefault(own.doubt, []).append(own.name)
    for reason, names in list(doubts.items())[:_REASONS]:
        others = f" and {len(names) - 1} others" if len(names) > 1 else ""
        notes.append(
            f"{names[0]}{others}: described by the file itself and not by its DMR++: {reason}"
        )
    return notes
