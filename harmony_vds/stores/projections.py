"""Projections that a store's own metadata leave out, where it is certain which are meant.

Either a variable names a grid mapping that is absent and whose name alone tells the projection, or
a record associated with the collection describes a projected grid of the variable's size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from harmony_vds.model.paths import ancestors
from harmony_vds.model.store import RecordedGrid

# NSIDC's names for the projections of EASE-Grid 2.0 (Brodzik et al. 2012, doi:10.3390/ijgi1010032).
_NAMED = {
    "EASE2_global_projection": 6933,
    "EASE2_north_polar_projection": 6931,
    "EASE2_south_polar_projection": 6932,
}
_NEW_NAMES = ("crs", "spatial_ref", "projection")
"""For a grid mapping of a variable that names none, the first that is free."""
_STATING = frozenset({"grid_mapping_name", "crs_wkt", "spatial_ref", "proj4"})
"""Attributes by any of which a store states a projection."""


def add_grid_mappings(
    datasets: Mapping[str, xr.Dataset], grids: Sequence[RecordedGrid] = ()
) -> dict[str, str]:
    """Add grid mapping variables that are absent, where it is certain what they would say.

    Parameters
    ----------
    datasets
        Group path → its variables; variables and attributes are added in place.
    grids
        Grids of the collection's records.

    Returns
    -------
    dict
        Full path of each variable that lacked one → what was added.

    **Reads:** nothing.
    """
    repairs = {}
    added: dict[str, str] = {}
    visible = {path: _visible(path, datasets) for path in datasets}
    for path, dataset in datasets.items():
        group = _Group(dataset, visible[path], added)
        for name in list(dataset.variables):
            told = group.named(str(name)) or group.recorded(str(name), grids)
            if told:
                repairs[f"{path.rstrip('/')}/{name}"] = told
    return repairs


def _visible(path: str, datasets: Mapping[str, xr.Dataset]) -> dict[str, xr.Variable]:
    """Variables of a group and its parents; the nearest of each name."""
    found: dict[str, xr.Variable] = {}
    for above in ancestors(path):
        if above in datasets:
            for name, variable in datasets[above].variables.items():
                found.setdefault(str(name), variable)
    return found


@dataclass(frozen=True, eq=False)
class _Group:
    """A group, and what is visible from it."""

    dataset: xr.Dataset
    visible: Mapping[str, xr.Variable]
    """Its variables and those of its parents, before anything was added."""
    added: dict[str, str]
    """Name of each grid mapping that was added anywhere → its CRS."""

    def named(self, name: str) -> str:
        """Add the grid mapping that a variable names, if its name tells the projection."""
        mapping = str(self.dataset.variables[name].attrs.get("grid_mapping"))
        if mapping not in _NAMED or mapping in self.visible:
            return ""
        crs = f"EPSG:{_NAMED[mapping]}"
        self._add(mapping, crs)
        return (
            f"its grid mapping {mapping} is not in the store; it is known to be {crs} and was added"
        )

    def recorded(self, name: str, grids: Sequence[RecordedGrid]) -> str:
        """Add the projection of a variable's grid, if the records have one of just its size."""
        size = self._size(name) if grids else None
        fitting = {own.crs: own.name for own in grids if (own.rows, own.columns) == size}
        if size is None or len(fitting) != 1:
            return ""
        crs, record = next(iter(fitting.items()))
        mapping = self._absent_mapping(name, crs)
        if not mapping or not _is_projected(crs):
            return ""
        self._add(mapping, crs)
        self.dataset[name].attrs["grid_mapping"] = mapping
        return (
            f"the store states no projection for it; {crs}, which the collection's record of the "
            f"grid {record} of {size[0]} x {size[1]} cells states, was added as {mapping}"
        )

    def _size(self, name: str) -> tuple[int, int] | None:
        """Rows and columns of a variable along the coordinates of a projection, if it has both."""
        variable = self.dataset[name]
        sizes = {}
        for dimension in variable.dims:
            axis = self.visible.get(str(dimension))
            if axis is not None:
                sizes[axis.attrs.get("standard_name")] = variable.sizes[dimension]
        try:
            return sizes["projection_y_coordinate"], sizes["projection_x_coordinate"]
        except KeyError:
            return None

    def _absent_mapping(self, name: str, crs: str) -> str:
        """The name of the grid mapping to add; empty where the store states one of its own."""
        named = self.dataset[name].attrs.get("grid_mapping")
        if named is not None:
            return str(named) if self._is_free(str(named), crs) else ""
        scalars = [own for own in self.visible.values() if not own.ndim]
        if any(not _STATING.isdisjoint(own.attrs) for own in scalars):
            return ""
        return next((new for new in _NEW_NAMES if self._is_free(new, crs)), "")

    def _is_free(self, mapping: str, crs: str) -> bool:
        """Whether a grid mapping of this name may be added, or was for the same CRS."""
        taken = mapping in self.visible or not mapping.isidentifier()
        return not taken and self.added.get(mapping, crs) == crs

    def _add(self, mapping: str, crs: str) -> None:
        from pyproj import CRS  # few stores need it

        if mapping not in self.dataset:
            self.dataset[mapping] = xr.Variable((), np.int32(0), CRS.from_user_input(crs).to_cf())
        self.added[mapping] = crs


def _is_projected(crs: str) -> bool:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return bool(CRS.from_user_input(crs).is_projected)
    except CRSError:
        return False
