"""Granules as the sidecars beside them describe them, where nothing raises a doubt.

A sidecar saves reading a file's headers, but it is a second hand: it may be of another edition of
the file, or of a program that left things out. What is doubtful is read from the file itself.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import xarray as xr
from virtualizarr.codecs import zarr_codec_config_to_v3
from virtualizarr.manifests import ChunkManifest, ManifestArray, ManifestGroup
from virtualizarr.manifests.utils import create_v3_array_metadata
from xarray.backends.zarr import FillValueCoder

from harmony_vds.access.answers import CLOCK_SLACK
from harmony_vds.access.traffic import Traffic
from harmony_vds.errors import DoubtfulSidecarError
from harmony_vds.model.arrays import Integers
from harmony_vds.model.paths import group_of, join, name_of

_DIGITS = 6
"""Digits that writers of sidecars give of fill values."""


@dataclass(frozen=True, eq=False)
class DescribedArray:
    """One variable by a sidecar."""

    dtype: np.dtype[Any]
    """Type of its elements as stored."""
    shape: tuple[int, ...]
    """Lengths of its dimensions."""
    dimensions: tuple[str, ...]
    """Their names."""
    attributes: Mapping[str, Any]
    """Attributes in their types."""
    chunk_shape: tuple[int, ...]
    """Shape of a chunk; the array's own where it lies in one piece."""
    filters: tuple[Mapping[str, Any], ...]
    """Configurations of numcodecs, in order of encoding."""
    fill: Any
    """What reads where no chunk was written."""
    numbers: Integers
    """Chunk numbers, a row for each chunk."""
    offsets: Integers
    """First byte of each chunk."""
    lengths: Integers
    """Stored bytes of each chunk."""
    is_inside: bool = False
    """Whether its values stand in the sidecar."""


@dataclass(frozen=True, eq=False)
class Described:
    """All that a sidecar tells of a file, and what the file's place tells of both."""

    groups: Mapping[str, Mapping[str, Any]]
    """Full path of each group → its attributes."""
    arrays: Mapping[str, DescribedArray]
    """By full path."""
    defects: Mapping[str, str]
    """Full path of a variable that the sidecar does not describe → why not."""
    read: Callable[[str, slice | None], npt.NDArray[Any]]
    """Gives all values of a variable, or some rows of them, as stored."""
    size: int | None
    """Bytes of the file; None where its place does not say so."""
    modified: datetime | None = None
    """When the file was written, UTC."""
    written: datetime | None = None
    """When the sidecar was written, UTC."""
    traffic: Traffic = field(default_factory=Traffic)
    """What was fetched so far to tell it."""


class Sidecar(Protocol):
    """What lies beside a file; it may travel to another process."""

    def described(self) -> AbstractContextManager[Described]:
        """What it tells; values can be read inside the context.

        Raises StoreError, ForbiddenError or UpstreamError where it cannot be read.

        **Reads:** metadata.
        """


class SidecarValues:
    """The variables of a granule by its sidecar, as `harmony_vds.building.values.Values`."""

    def __init__(self, told: Described) -> None:
        self._told = told

    def groups(self) -> list[str]:
        """Full path of every group, parents before children. **Reads:** nothing."""
        return sorted(self._told.groups, key=lambda own: (own.count("/"), own != "/", own))

    def names(self, group: str) -> set[str]:
        """The variables of a group. **Reads:** nothing."""
        return {name_of(path) for path in self._told.arrays if group_of(path) == group}

    def is_held_inside(self, group: str, name: str) -> bool:
        """Whether a variable's values stand in the sidecar. **Reads:** nothing."""
        return self._told.arrays[join(group, name)].is_inside

    def sizes(self, group: str, name: str) -> dict[str, int]:
        """Dimension → length of a variable. **Reads:** nothing."""
        own = self._told.arrays[join(group, name)]
        return dict(zip(own.dimensions, own.shape, strict=True))

    def read(self, group: str, name: str, rows: slice | None = None) -> npt.NDArray[Any]:
        """Values as stored. **Reads:** chunks of the granule."""
        return self._told.read(join(group, name), rows)

    def attribute(self, group: str, name: str, attribute: str) -> Any:
        """An attribute, or None. **Reads:** nothing."""
        return self._told.arrays[join(group, name)].attributes.get(attribute)


def refuse_doubts(told: Described, wanted: Callable[[str], bool]) -> None:
    """Raise where a sidecar may not be the file's own, or does not tell all of it.

    Parameters
    ----------
    told
        What the sidecar says.
    wanted
        Whether a group, by its full path, is to be kept.

    Raises
    ------
    DoubtfulSidecarError
        The file is smaller than the sidecar says, or of unknown size, or newer than the sidecar;
        chunks overlap; a variable is not described, or lacks chunks and has but the first digits of
        what reads in their place.

    **Reads:** nothing.
    """
    for path, reason in told.defects.items():
        if wanted(group_of(path)):
            raise DoubtfulSidecarError(f"of {name_of(path)} it tells too little: {reason}")
    if told.size is None:
        raise DoubtfulSidecarError("nothing tells the file's size to compare it with")
    if told.modified and told.written and told.modified > told.written + CLOCK_SLACK:
        raise DoubtfulSidecarError("the file was written after it")
    _refuse_overlaps(list(told.arrays.values()), told.size)
    for path, own in told.arrays.items():
        _refuse_rounded_fill(name_of(path), own)


def _refuse_overlaps(arrays: Sequence[DescribedArray], size: int) -> None:
    offsets = np.concatenate([np.empty(0, np.int64), *(own.offsets for own in arrays)])
    ends = offsets + np.concatenate([np.empty(0, np.int64), *(own.lengths for own in arrays)])
    if not offsets.size:
        return
    if ends.max() > size:
        raise DoubtfulSidecarError(
            f"its last chunk ends at byte {ends.max():,} of a file of {size:,} bytes"
        )
    order = np.argsort(offsets, kind="stable")
    if (offsets[order][1:] < ends[order][:-1]).any():
        raise DoubtfulSidecarError("two of its chunks lie over each other")


def _refuse_rounded_fill(name: str, own: DescribedArray) -> None:
    whole = int(np.prod([-(-n // c) for n, c in zip(own.shape, own.chunk_shape, strict=True)]))
    if own.is_inside or len(own.offsets) >= whole or own.dtype.kind != "f" or own.fill is None:
        return
    digits = f"{abs(float(own.fill)):.{_DIGITS - 1}e}".partition("e")[0].replace(".", "")
    declared = own.attributes.get("_FillValue")
    known = declared is not None and own.fill == declared
    if np.isfinite(own.fill) and len(digits.rstrip("0")) >= _DIGITS and not known:
        raise DoubtfulSidecarError(
            f"chunks of {name} were never written, and it may have but the first digits of what "
            f"reads in their place ({own.fill})"
        )


def dataset_of(told: Described, group: str, url: str) -> xr.Dataset:
    """One group as a virtual dataset whose references lead to `url`, as parsers of files make it.

    Raises
    ------
    DoubtfulSidecarError
        Version 3 of Zarr cannot hold one of its variables.

    **Reads:** nothing.
    """
    found = {}
    for path, own in told.arrays.items():
        if group_of(path) == group:
            try:
                found[name_of(path)] = _array(own, url)
            except (ValueError, TypeError, OverflowError) as error:
                raise DoubtfulSidecarError(f"{name_of(path)} is not understood: {error}") from None
    attributes = {key: _plain(value) for key, value in told.groups[group].items()}
    dataset: xr.Dataset = ManifestGroup(found, attributes=attributes).to_virtual_dataset()
    return dataset


def _array(own: DescribedArray, url: str) -> ManifestArray:
    """An array of references out of what a sidecar says of it."""
    chunks, lengths = own.chunk_shape, own.lengths
    clipped = tuple(min(c, max(n, 1)) for c, n in zip(chunks, own.shape, strict=True))
    if not own.filters and clipped != chunks and clipped[1:] == chunks[1:]:
        # Unlimited dimensions have longer chunks than values; those of one file are cut alike.
        chunks, lengths = clipped, np.full_like(lengths, np.prod(clipped) * own.dtype.itemsize)
    attributes = {key: _plain(value) for key, value in own.attributes.items()}
    if "_FillValue" in attributes and own.dtype.kind in "iufb":
        attributes["_FillValue"] = FillValueCoder.encode(attributes["_FillValue"], own.dtype)
    metadata = create_v3_array_metadata(
        shape=own.shape,
        data_type=own.dtype,
        chunk_shape=chunks,
        fill_value=None if own.fill is None else np.asarray(own.fill).item(),
        codecs=[zarr_codec_config_to_v3(dict(one)) for one in own.filters],
        attributes=attributes,
        dimension_names=own.dimensions,
    )
    return ManifestArray(metadata=metadata, chunkmanifest=_manifest(own, chunks, lengths, url))


def _manifest(
    own: DescribedArray, chunks: tuple[int, ...], lengths: Integers, url: str
) -> ChunkManifest:
    if not len(own.offsets):
        return ChunkManifest(entries={}, shape=own.shape)
    grid = tuple(-(-n // c) for n, c in zip(own.shape, chunks, strict=True))
    paths = np.full(grid, "", np.dtypes.StringDType())
    offsets, sizes = np.zeros(grid, np.uint64), np.zeros(grid, np.uint64)
    box: Any = tuple(own.numbers.T) if grid else ...
    paths[box] = url
    offsets[box], sizes[box] = own.offsets.astype(np.uint64), lengths.astype(np.uint64)
    return ChunkManifest.from_arrays(paths=paths, offsets=offsets, lengths=sizes)


def _plain(value: Any) -> Any:
    """An attribute as parsers of files give it."""
    if isinstance(value, np.ndarray):
        return value.item() if value.size == 1 else value.tolist()
    return value.item() if isinstance(value, np.generic) else value
