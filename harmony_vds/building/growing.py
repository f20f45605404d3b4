"""What stores that are brought up to date have in common, whatever they are written in."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import xarray as xr
from virtualizarr.manifests import ManifestArray

from harmony_vds.building.choice import Choice
from harmony_vds.building.files import Seen
from harmony_vds.building.granules import VirtualGranule
from harmony_vds.building.replaced import Described
from harmony_vds.errors import StoreError
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.joined_times import is_time, joined_times

_ALWAYS = ("units", "_FillValue", "coordinates", "_ARRAY_DIMENSIONS")
"""Attributes that stay whatever new granules say: their values were brought to them."""


class Substitute(Protocol):
    """Gives a granule that is there and stays, or None."""

    def __call__(self, gone: Collection[str], /) -> VirtualGranule | None:
        """One that is none of `gone`. **Reads:** metadata and coordinates of a granule."""


@dataclass(frozen=True, eq=False)
class Arrivals:
    """Granules that come into a store."""

    granules: Sequence[VirtualGranule]
    """What they hold."""
    renewed: frozenset[str]
    """Those among them that take their own place again, because they were written anew."""

    @property
    def urls(self) -> list[str]:
        """Where they lie. **Reads:** nothing."""
        return [own.url for own in self.granules]

    def seen(self) -> Iterator[tuple[str, Seen]]:
        """The URL and the edition of each. **Reads:** nothing."""
        return ((own.url, own.seen) for own in self.granules)


class Growing(Protocol):
    """A store that is being brought up to date."""

    choice: Choice
    """How its granules were cut."""
    described: Described
    """When it described them."""

    @property
    def urls(self) -> tuple[str, ...]:
        """The granules that it holds. **Reads:** metadata."""

    def remove(self, gone: Collection[str], substitute: Substitute) -> None:
        """Take granules out; raises StoreError where that would cut chunks.

        **Reads:** metadata, and coordinates of a granule.
        """

    def append(self, arrivals: Arrivals, substitute: Substitute) -> tuple[str, ...]:
        """Put granules in where their times belong; gives notes.

        Raises StoreError where they do not fit. **Reads:** metadata, coordinates of a granule.
        """

    def finish(self) -> tuple[str, tuple[str, ...]]:
        """Write what has changed; gives the snapshot, if there are any, and notes.

        **Reads:** nothing.
        """


def recalled(told: Mapping[str, Any]) -> Choice:
    """The choice that a build remembered, for one granule of many. **Reads:** nothing."""
    listed = {k: tuple(told[k]) for k in ("variables", "groups", "months") if k in told}
    box = {"box": BoundingBox(**told["box"])} if "box" in told else {}
    return replace(Choice(**{**told, **listed, **box}), is_one_of_many=True)


def needed(found: VirtualGranule | None, paths: Sequence[str]) -> VirtualGranule:
    """`found`, in place of granules that go out; StoreError where there is none.

    **Reads:** nothing.
    """
    if found is None:
        raise StoreError(
            f"{paths[0].strip('/')} is stored once for all granules, in one that goes out, and no "
            "other is left unchanged to take its place; build the store anew."
        )
    return found


def counted_as(
    units: Any, dtype: np.dtype[Any], variable: xr.Variable, name: str
) -> npt.NDArray[Any]:
    """New values of a held variable, times counted as the store counts them.

    Parameters
    ----------
    units
        Those of the store's variable.
    dtype
        Its type.
    variable
        The new one.
    name
        Its name.

    Raises
    ------
    StoreError
        They have no exact value there, or are not held.

    **Reads:** nothing.
    """
    if isinstance(variable.data, ManifestArray):
        raise StoreError(f"The new granules do not hold {name} as the store does; build it anew.")
    values = np.asarray(variable.data)
    theirs = variable.attrs.get("units")
    if units == theirs or not (is_time(units) and is_time(theirs)):
        return values
    calendar = str(variable.attrs.get("calendar", "standard"))
    (_, counted), common = joined_times(
        [np.zeros(1, dtype), values], [str(units), str(theirs)], calendar, ["the store", name]
    )
    if common != units or not np.can_cast(counted.dtype, dtype, "same_kind"):
        raise StoreError(
            f"New times of {name} have no exact value in {units}; build the store anew."
        )
    return counted


def agreed(told: Mapping[str, Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a store's attributes on which new granules do not disagree. **Reads:** nothing."""
    return {
        key: value for key, value in told.items()
        if key in _ALWAYS or key not in attributes or np.array_equal(value, attributes[key])
    }  # fmt: skip
