"""Lines of Python that take the cells of places, or values between them."""

import textwrap
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from harmony_vds.model.paths import group_of, name_of
from harmony_vds.model.places import AROUND, Blend, Placement
from harmony_vds.model.plan import Plan
from harmony_vds.outputs.decoded_recipe import DECODED, FLOATING

_MOST_PLACES = 100
"""Places whose cells a recipe lists."""
_DIGITS = 15
"""Of the way from one cell to the next."""


def at_places(plan: Plan, group: str) -> list[str]:
    """Lines that put series at places in the place of ``subset``; none where they were long.

    They hold the cells by their positions in the store, so that dimensions of grids must not have
    been cut before. **Reads:** nothing.
    """
    if any(len(own) > _MOST_PLACES for own in plan.placements):
        return []
    lines, positions, made = [], [], []
    for placement in plan.placements:
        between = [
            name_of(own.path) for own in plan.variables
            if placement.has_between(own.path) and group_of(own.path) == group
        ]  # fmt: skip
        if between and placement.blend is not None:
            lines += _between(placement, placement.blend)
            made += [
                "",
                f"made = {{name: between(subset.variables[name]) for name in {between!r}}}",
            ]
        along = name_of(placement.dimension)
        for path, own in zip(placement.dimensions, placement.cells, strict=True):
            positions += [f"    {name_of(path)}=xr.Variable({along!r}, {own.tolist()}),"]
    names = [f"{name_of(own.dimension)!r}" for own in plan.placements]
    told = [
        f"    station_name{_suffix(own)}=({name_of(own.dimension)!r}, "
        f"{[place.name for place in own.places]!r}),"
        for own in plan.placements
    ]
    return [
        *lines,
        *made,
        "",
        "# The cells that places lie in, or that are nearest to them, counted from 0.",
        "subset = subset.isel(",
        *_wrapped(positions),
        f"){'.assign(made)' if made else ''}",
        f"subset = subset.transpose({', '.join(names)}, ..., missing_dims='ignore')",
        "subset = subset.assign_coords(",
        *_wrapped(told),
        ")",
    ]


def _between(placement: Placement, blend: Blend) -> list[str]:
    """Lines that define ``between``, which takes a variable as it is stored."""
    cells = blend.cells.reshape(len(placement.dimensions), -1, AROUND)
    shares = blend.weights[:, 2] + blend.weights[:, 3], blend.weights[:, 1] + blend.weights[:, 3]
    along = name_of(placement.dimension)
    both = f"({along!r}, 'corner')"
    corners = [
        f"    {name_of(path)!r}: xr.Variable({both}, {own.tolist()}),"
        for path, own in zip(placement.dimensions, cells, strict=True)
    ]
    down, over = (_numbers(own) for own in shares)
    return [
        *DECODED,
        *FLOATING,
        "# The four cells around each place, and how far on from the first of them it lies.",
        "corners = {",
        *_wrapped(corners),
        "}",
        *_wrapped([f"down = np.array({down})", f"over = np.array({over})"]),
        "shares = [(1 - down) * (1 - over), (1 - down) * over, down * (1 - over), down * over]",
        f"weights = xr.Variable({both}, np.transpose(shares))",
        "",
        "def between(own):  # missing where the cell that counts most is; to the last digit",
        "    near = decoded(own.isel(corners).load())",
        "    known = weights.where(near.notnull(), 0)",
        "    found = (near * known).sum('corner') / known.sum('corner')",
        f"    each = xr.Variable({along!r}, np.arange({len(placement)}))",
        f"    most = near.isel({{{along!r}: each, 'corner': weights.argmax('corner')}})",
        "    return found.where(most.notnull()).astype(floating(own))",
    ]


def _numbers(values: npt.NDArray[np.float64]) -> list[float]:
    return [round(own, _DIGITS) for own in values.tolist()]


def _suffix(placement: Placement) -> str:
    """What is added to the names of variables that describe places of a second grid."""
    return "" if placement.times else name_of(placement.dimension).removeprefix("station")


def _wrapped(lines: Iterable[str]) -> list[str]:
    """Long lines of numbers in several."""
    found = []
    for own in lines:
        indent = " " * (len(own) - len(own.lstrip()))
        found += textwrap.wrap(
            own, 96, subsequent_indent=f"{indent}    ", drop_whitespace=True,
            break_long_words=False, break_on_hyphens=False,
        ) if len(own) > 96 else [own]  # fmt: skip
    return found
