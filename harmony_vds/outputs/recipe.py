"""A few lines of Python that give what an output holds, by plain xarray and one's own credentials.

Each step of a plan has lines in a module of its own: regions, averages, a target grid. What they
cannot say in a few lines they name in a comment; docs/decisions/0037 lists what that is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harmony_vds.model.paths import group_of, name_of
from harmony_vds.model.plan import Plan
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.store import StoreLocation
from harmony_vds.outputs.recipe_remarks import remarks
from harmony_vds.outputs.store_recipe import group_opened, opened

_MOST_PIECES = 8
"""Ranges of one dimension that a recipe lists; of more it says how many there are."""
_IMPORTS = {
    "netCDF4.": "import netCDF4",
    "np.": "import numpy as np",
    "pyproj.": "import pyproj",
    "shapely.": "import shapely",
}
"""What begins with a name, and the line that it takes."""


def recipe(plan: Plan) -> str:
    """Python source that reads the variables of `plan`, cut as they are in the output.

    It ends with ``subset``, an `xarray.Dataset` of the values as stored (for a store of several
    groups, those of the first requested variable's group); `xarray.decode_cf` decodes it.

    **Reads:** nothing.
    """
    group = group_of(plan.requested[0]) if plan.requested else "/"
    within = [v for v in plan.variables if group_of(v.path) == group]
    placed = {path for own in plan.placements for path in own.dimensions}
    cut = {path: kept for path, kept in plan.selection.items() if path not in placed}
    steps = _steps(plan, group) if _is_listed(cut) else _Steps()
    names = [name_of(v.path) for v in within if not v.is_added]
    names += [name_of(p) for p in dict.fromkeys(steps.places)
              if group_of(p) == group and name_of(p) not in names]  # fmt: skip
    lines = [*opened(plan.location, group), f"subset = stored[{names!r}]"]
    beside = _beside(plan.location, group, steps.places)
    lines += [*beside, *_cuts(cut)]
    if "target" not in steps.told:
        lines += _turned(plan, group, names)
    lines += _once(steps.lines)
    if beside and "target" not in steps.told:
        others = [name_of(p) for p in dict.fromkeys(steps.places) if group_of(p) != group]
        lines += [f"subset = subset.drop_vars({others!r}, errors='ignore')"]
    return "\n".join([*_with_imports(lines), *remarks(plan, group, steps.told)])


def _beside(location: StoreLocation, group: str, paths: Iterable[str]) -> list[str]:
    """Lines that bring places from other groups into ``subset``."""
    lines = []
    others: dict[str, list[str]] = {}
    for path in dict.fromkeys(paths):
        if group_of(path) != group:
            others.setdefault(group_of(path), []).append(name_of(path))
    for other, names in others.items():
        lines += group_opened(location, other, "places")
        lines += [f"subset = subset.assign(places[{names!r}].variables)"]
    return lines


@dataclass
class _Steps:
    """Lines that follow upon the cut."""

    lines: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    """Full paths of the store's variables that they take places from."""
    told: set[str] = field(default_factory=set)
    """What of a plan they do: ``places``, ``masks``, ``average``, ``target``."""


def _steps(plan: Plan, group: str) -> _Steps:
    """What few lines can tell of masks, averages and a target grid, one upon the other."""
    # Imported here: they take libraries that few requests need.
    steps = _Steps()
    if plan.placements:
        from harmony_vds.outputs.place_recipe import at_places

        steps.lines += (lines := at_places(plan, group))
        steps.told |= {"places"} if lines else set()
    if plan.masks:
        from harmony_vds.outputs.region_recipe import blanked, masked_in, places_of, regional

        region = regional(plan, group)
        if region:
            steps.told.add("masks")
            steps.places += places_of(plan, group)
            steps.lines += [*region, *blanked(masked_in(plan, group))]
    if plan.average is not None and bool(plan.masks) == ("masks" in steps.told):
        from harmony_vds.outputs.mean_recipe import averaged

        steps.lines += (lines := averaged(plan, group))
        steps.told |= {"average"} if lines else set()
    if plan.target is not None:
        from harmony_vds.outputs.target_recipe import on_target, place_paths, source_in

        done = {"masks": bool(plan.masks), "average": plan.average is not None}
        is_whole = {step for step, is_asked in done.items() if is_asked} <= steps.told
        source = source_in(plan, group, is_whole=is_whole)
        if source is not None:
            steps.told.add("target")
            steps.places += place_paths(plan, source)
            steps.lines += on_target(plan, source)
    return steps


def _once(lines: Iterable[str]) -> Iterator[str]:
    """`lines` without definitions that steps before have made; a blank line ends each."""
    seen: set[str] = set()
    left_out = False
    for own in lines:
        if own.startswith("def "):
            left_out = own in seen
            seen.add(own)
        if not left_out:
            yield own
        left_out = left_out and bool(own)


def _with_imports(lines: Sequence[str]) -> list[str]:
    """`lines` with what they need imported where the first imports stand."""
    text = "\n".join(lines)
    needed = [own for prefix, own in _IMPORTS.items() if prefix in text]
    place = next(n for n, own in enumerate(lines) if own.startswith("import xarray"))
    return [*lines[:place], *needed, *lines[place:]]


def _cuts(selection: Mapping[str, AxisSelection]) -> list[str]:
    """Lines that cut ``subset``; a dimension in several pieces is put together of them."""
    ranges, lines = [], []
    for path, kept in selection.items():
        name = name_of(path)
        if kept.is_whole:
            continue
        if len(kept.pieces) == 1:
            ranges.append(f"{name}=slice({kept.pieces[0].start}, {kept.pieces[0].stop})")
        elif len(kept.pieces) <= _MOST_PIECES:
            pieces = ", ".join(f"range({own.start}, {own.stop})" for own in kept.pieces)
            lines.append(f"subset = subset.isel({name}=[i for r in ({pieces}) for i in r])")
        else:
            lines.append(f"# {len(kept):,} of {kept.size:,} positions of {name} were kept here,")
            lines.append(f"# in {len(kept.pieces):,} pieces.")
    if ranges:
        lines.insert(0, f"subset = subset.isel({', '.join(ranges)})")
    return lines


def _turned(plan: Plan, group: str, names: Sequence[str]) -> list[str]:
    """Lines by which longitudes run on across the edge of the data."""
    lines = []
    for grid in plan.grids:
        for path, sides in ((grid.x_path, ""), (grid.x_bounds_path, "[:, None]")):
            held = group_of(path) == group and name_of(path) in names
            if grid.shifts is None or not held:
                continue
            starts = np.flatnonzero(np.diff(grid.shifts, prepend=np.nan))
            runs = np.diff([*starts, grid.shifts.size]).tolist()
            turns = grid.shifts[starts].tolist()
            lines += [
                "# Longitudes run on past the edge of the data, but for packed ones.",
                f"lon = subset.variables[{name_of(path)!r}]",
                "if lon.dtype.kind == 'f':",
                f"    moved = lon.values.astype(float) + np.repeat({turns!r}, {runs!r}){sides}",
                f"    subset[{name_of(path)!r}] = lon.dims, moved.astype(lon.dtype), lon.attrs",
            ]
    return lines


def _is_listed(selection: Mapping[str, AxisSelection]) -> bool:
    """Whether `_cuts` tells all of a selection in code."""
    return all(len(kept.pieces) <= _MOST_PIECES for kept in selection.values())
