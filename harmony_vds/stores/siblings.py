"""Dimensions that a group takes from a group beside it, put where both see them.

HDF5 lets a variable use the scales of any group; kerchunk and VirtualiZarr then name its dimension
by the path of the scale. CF and netCDF look for dimensions in a group and those around it, so the
scale is also put into the nearest group around both.
"""

from collections.abc import Iterator, Mapping

import xarray as xr

from harmony_vds.model.paths import ancestors, group_of, join, name_of

type Borrowed = dict[str, str]
"""Name of a dimension in its group → full path of its scale, in a group that is not around it."""


def borrowed(group: str, dataset: xr.Dataset) -> Borrowed:
    """The dimensions of a group, as manifests name them, whose scales lie beside it.

    **Reads:** nothing.
    """
    scales = (f"/{str(own).strip('/')}" for own in dataset.sizes if "/" in str(own).strip("/"))
    return {name_of(own): own for own in scales if group_of(own) not in {*ancestors(group)}}


def share(
    datasets: dict[str, xr.Dataset], taken: Mapping[str, Borrowed]
) -> tuple[dict[str, str], dict[str, str]]:
    """Put scales that several groups use into the nearest group around them.

    Nothing is done where another group there has a dimension of the name that may be another.

    Parameters
    ----------
    datasets
        Group path → its variables, by the short names of dimensions; replaced in place.
    taken
        Group path → what it takes from groups beside it.

    Returns
    -------
    tuple
        Full path of each variable that was added → that of the scale it stands for; and full path
        of each variable that is placed by one → what was done, for people.

    **Reads:** nothing.
    """
    added: dict[str, str] = {}
    told: dict[str, str] = {}
    for scale in dict.fromkeys(own for found in taken.values() for own in found.values()):
        users = [group for group, found in taken.items() if scale in found.values()]
        name, holder = name_of(scale), group_of(scale)
        place = _around([holder, *users], datasets)
        if not _fits(scale, {holder, *users}, place, datasets):
            continue
        coordinate = datasets[holder].variables[name].copy(deep=False)
        datasets[place] = datasets[place].assign_coords(
            xr.Coordinates({name: coordinate}, indexes={})
        )
        added[join(place, name)] = scale
        for path in _along(name, users, datasets):
            told[path] = f"{told[path]}, {scale}" if path in told else (
                f"dimensions of it are described in another group: {scale}"
            )  # fmt: skip
    return added, told


def _around(groups: list[str], datasets: Mapping[str, xr.Dataset]) -> str:
    """The nearest group that is around all of `groups`."""
    common = [own for own in ancestors(groups[0]) if own in datasets]
    return next(own for own in common if all(own in {*ancestors(group)} for group in groups))


def _fits(scale: str, users: set[str], place: str, datasets: Mapping[str, xr.Dataset]) -> bool:
    """Whether a scale may stand for the dimension of its name in all groups below `place`."""
    name, holder = name_of(scale), group_of(scale)
    own = datasets[holder].variables.get(name) if holder in datasets else None
    if own is None or own.dims != (name,) or place in users:
        return False
    below = {group for group in datasets if place in {*ancestors(group)}}
    having = {group for group in below if name in datasets[group].sizes}
    return having <= users and all(datasets[g].sizes[name] == own.size for g in having)


def _along(name: str, groups: list[str], datasets: Mapping[str, xr.Dataset]) -> Iterator[str]:
    for group in groups:
        for own, variable in datasets[group].variables.items():
            if name in variable.dims:
                yield join(group, str(own))
