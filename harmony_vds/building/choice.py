"""What of the granules a store is to hold: variables, groups, months, a box."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from virtualizarr.manifests import ManifestArray

from harmony_vds.building.marks import coordinates, degrees, is_time_like
from harmony_vds.errors import NoDataError, RequestError, StoreError
from harmony_vds.model.extent import BoundingBox


@dataclass(frozen=True)
class Choice:
    """What is kept of each granule, and how granules follow each other."""

    dimension: str | None = None
    """The dimension along which granules are joined; None: that of their times."""
    variables: tuple[str, ...] = ()
    """Names or full paths of variables, whose coordinates are kept too; empty for all."""
    groups: tuple[str, ...] = ()
    """Full paths of groups, with all below; empty for all."""
    months: tuple[int, ...] = ()
    """Months of the year whose steps are kept; empty for all."""
    box: BoundingBox | None = None
    """Region, widened to whole chunks; None for all."""
    time_from: str = ""
    """Where the time of a granule is that has no time dimension: ``data``, ``name``,
    ``attribute`` or ``attribute:NAME``, ``cmr``, or ``auto`` for data or else CMR; empty where none
    is needed."""
    is_one_of_many: bool = True
    """Whether granules are joined; a single one is kept as it is."""

    def wants_group(self, group: str) -> bool:
        """Whether a group, or one below it, is kept; the root always is. **Reads:** nothing."""
        if group == "/" or not self.groups:
            return True
        wanted = [f"/{own.strip('/')}/" for own in self.groups]
        own = f"{group}/"
        return any(own.startswith(name) or name.startswith(own) for name in wanted)


def chosen(
    groups: Mapping[str, xr.Dataset], choice: Choice, along: str | None
) -> dict[str, xr.Dataset] | None:
    """The chosen part of a granule; None where no step of it is.

    Raises
    ------
    RequestError
        A variable is not there, or the granule has no times to tell months by.
    NoDataError
        The box lies beside the granule.
    StoreError
        The chosen months end within a chunk.

    **Reads:** nothing.
    """
    kept = {group: _variables(dataset, group, choice) for group, dataset in groups.items()}
    _refuse_unknown(kept, choice)
    if choice.box is not None:
        kept = _cropped(kept, choice.box)
    if along is not None and any(own.sizes.get(along) == 0 for own in kept.values()):
        return None
    if choice.months:
        return _in_months(kept, choice.months, along)
    return kept


def _variables(dataset: xr.Dataset, group: str, choice: Choice) -> xr.Dataset:
    if not choice.variables:
        return dataset
    wanted = {own.strip("/") for own in choice.variables}
    named = {
        str(name) for name in dataset.variables
        if str(name) in wanted or f"{group}/{name}".strip("/") in wanted
    }  # fmt: skip
    told = " ".join(str(dataset.variables[name].attrs.get("coordinates", "")) for name in named)
    keep = named | coordinates(dataset) | (set(told.split()) & set(map(str, dataset.variables)))
    return dataset.drop_vars([name for name in dataset.variables if str(name) not in keep])


def _refuse_unknown(groups: Mapping[str, xr.Dataset], choice: Choice) -> None:
    paths = {
        f"{group}/{name}".strip("/") for group, own in groups.items() for name in own.variables
    }
    known = paths | {own.rpartition("/")[2] for own in paths}
    for name in choice.variables:
        if name.strip("/") not in known:
            raise RequestError(f"It has no variable {name}; name those that every granule has.")


def _cropped(groups: dict[str, xr.Dataset], box: BoundingBox) -> dict[str, xr.Dataset]:
    """The window of whole chunks, of every variable, that holds all cells in `box`."""
    spans: dict[str, tuple[int, int]] = {}
    for dataset in groups.values():
        for variable in dataset.variables.values():
            kind = degrees(variable)
            if variable.ndim == 1 and kind and not isinstance(variable.data, ManifestArray):
                spans[str(variable.dims[0])] = _span(np.asarray(variable.data), kind, box)
    if len(spans) < 2:
        raise StoreError(
            "It has no latitudes and longitudes along dimensions of their own, so that no box can "
            "cut it; leave the box out."
        )
    windows = {name: _whole_chunks(groups, name, span) for name, span in spans.items()}
    return {group: own.isel(windows, missing_dims="ignore") for group, own in groups.items()}


def _span(values: Any, kind: str, box: BoundingBox) -> tuple[int, int]:
    if kind == "Y":
        inside = (values >= box.south) & (values <= box.north)
    else:
        inside = (values - box.west) % 360.0 <= box.width
    where = np.flatnonzero(inside)
    if not where.size:
        raise NoDataError(f"No cell of it lies in the box {box}.")
    return int(where[0]), int(where[-1]) + 1


def _whole_chunks(groups: Mapping[str, xr.Dataset], dimension: str, span: tuple[int, int]) -> slice:
    step, size = 1, 0
    for dataset in groups.values():
        for variable in dataset.variables.values():
            if dimension in variable.dims and isinstance(variable.data, ManifestArray):
                axis = variable.dims.index(dimension)
                size = variable.shape[axis]
                step = math.lcm(step, min(variable.data.metadata.chunks[axis], size))
    if not size:
        return slice(*span)
    return slice(span[0] // step * step, min(-(-span[1] // step) * step, size))


def _in_months(
    groups: dict[str, xr.Dataset], months: Sequence[int], along: str | None
) -> dict[str, xr.Dataset] | None:
    """The groups cut to the steps in `months`; None where there are none."""
    kept = np.flatnonzero(np.isin(_months_of(groups, along), months))
    if not kept.size:
        return None
    runs = np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1)
    if len(runs) == 1 and len(kept) == next(
        own.sizes[along] for own in groups.values() if along in own.sizes
    ):
        return groups
    pieces = [slice(int(run[0]), int(run[-1]) + 1) for run in runs]
    try:
        return {
            group: xr.concat(
                [own.isel({along: piece}) for piece in pieces], dim=along, data_vars="minimal",
                coords="minimal", compat="override", join="override",
            ) if along in own.dims else own
            for group, own in groups.items()
        }  # fmt: skip
    except (ValueError, NotImplementedError) as error:
        raise StoreError(
            f"The months end within a chunk, which is kept whole or not: {error}"
        ) from None


def _months_of(groups: Mapping[str, xr.Dataset], along: str | None) -> Any:
    import cftime

    for dataset in groups.values():
        for variable in dataset.variables.values():
            held = not isinstance(variable.data, ManifestArray)
            if variable.dims == (along,) and is_time_like(variable) and held:
                calendar = str(variable.attrs.get("calendar", "standard"))
                told = cftime.num2date(np.asarray(variable.data), variable.attrs["units"], calendar)
                return np.array([own.month for own in np.atleast_1d(told)])
    raise RequestError("It has no times to tell months by; name where they are by --time-from.")
