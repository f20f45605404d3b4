"""Where on the Earth a store has cells, as a raster of single degrees, in text and as a picture."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmony_vds.errors import VdsError
from harmony_vds.model.grid import Grid, GridKind
from harmony_vds.model.store import VirtualStore
from harmony_vds.planning.grids import footing
from harmony_vds.planning.ground import grid_of
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.horizontal import is_too_large
from harmony_vds.planning.places import centres

_MOST = 720
"""Rows, and columns, of a grid that are looked at."""
_BLOCK = 5
"""Degrees that one character is wide, and half of one is high."""
_SCALE, _MARGIN = 2, 28
"""Pixels of a degree, and around the map."""

type Raster = npt.NDArray[np.bool_]
"""Shape (180, 360): from the north pole down, from 180 degrees west on."""


def footprint(store: VirtualStore) -> Raster:
    """The single degrees in which some grid of `store` has a cell. **Reads:** coordinates."""
    hierarchy, found = Hierarchy(store), np.zeros((180, 360), bool)
    seen = set()
    for path in hierarchy.variables:
        ground = footing(path, hierarchy).ground
        if ground is None or (ground.y, ground.x) in seen or is_too_large(ground, hierarchy):
            continue
        seen.add((ground.y, ground.x))
        try:
            _mark(found, grid_of(ground, path, hierarchy))
        except VdsError:  # told among the findings
            continue
    return found


def _mark(found: Raster, grid: Grid) -> None:
    sizes = grid.shape if len(grid.shape) == 2 else (*grid.shape, 1)
    most = _MOST if len(grid.shape) == 2 else _MOST**2
    kept = [np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64)) for n in sizes]
    x, y = (np.asarray(own, np.float64) for own in centres(grid, *kept))
    high = wide = 1.0
    if grid.kind is GridKind.RECTILINEAR:  # cells of a coarse grid reach beyond their centres
        high, wide = (_spacing(own.values) for own in (grid.y, grid.x))
    whole = np.isfinite(x) & np.isfinite(y)
    x, y = x[whole], y[whole]
    for down in _offsets(high):
        for across in _offsets(wide):
            rows = np.clip(np.floor(90 - (y + down)), 0, 179).astype(np.int64)
            columns = np.floor((x + across + 180) % 360).astype(np.int64) % 360
            found[rows, columns] = True


def _spacing(values: npt.NDArray[np.float64]) -> float:
    steps = np.abs(np.diff(values[np.isfinite(values)]))
    return float(np.median(steps)) if steps.size else 1.0


def _offsets(size: float) -> npt.NDArray[np.float64]:
    """Places within a cell of `size` degrees, a degree apart."""
    count = max(int(np.ceil(min(size, 30.0))), 1)
    return (np.arange(count) + 0.5) / count * size - size / 2


def as_text(found: Raster) -> list[str]:
    """A map of 72 by 18 characters, framed. **Reads:** nothing."""
    blocks = found.reshape(180 // _BLOCK, _BLOCK, 360 // _BLOCK, _BLOCK).any(axis=(1, 3))
    above, below = blocks[::2], blocks[1::2]
    marks = np.array([" ", "▀", "▄", "█"])[above + 2 * below.astype(int)]
    lines = ["".join(row) for row in marks.tolist()]
    labels = {0: "90N", len(lines) // 2: "  0", len(lines) - 1: "90S"}
    edge = "─" * len(lines[0])
    return [
        f"    ┌{edge}┐",
        *(f"{labels.get(n, ''):>3} │{line}│" for n, line in enumerate(lines)),
        f"    └{edge}┘",
        "    180W" + " " * 28 + "  0" + " " * 30 + "180E",
    ]


def draw(found: Raster, title: str, path: Path) -> None:
    """Write the map as a PNG, with a graticule. **Reads:** nothing."""
    from PIL import Image, ImageDraw

    shades = np.where(found[..., None], (47, 111, 173), (236, 238, 240)).astype(np.uint8)
    large = shades.repeat(_SCALE, 0).repeat(_SCALE, 1)
    height, width, _ = large.shape
    picture = Image.new("RGB", (width + 2 * _MARGIN, height + 2 * _MARGIN), "white")
    picture.paste(Image.fromarray(large), (_MARGIN, _MARGIN))
    pen: Any = ImageDraw.Draw(picture)
    for degree in range(-180, 181, 30):
        x = _MARGIN + (degree + 180) * _SCALE
        pen.line((x, _MARGIN, x, _MARGIN + height), "#c3c8cd")
        pen.text((x, _MARGIN + height + 4), _degrees(degree, "EW"), "#404040", anchor="mt")
    for degree in range(-90, 91, 30):
        y = _MARGIN + (90 - degree) * _SCALE
        pen.line((_MARGIN, y, _MARGIN + width, y), "#c3c8cd")
        pen.text((_MARGIN - 4, y), _degrees(degree, "NS"), "#404040", anchor="rm")
    pen.text((_MARGIN, 8), f"degrees with cells of {title}", "black")
    picture.save(path, format="PNG")


def _degrees(degree: int, letters: str) -> str:
    """``30N``, ``120W``, ``0``."""
    return f"{abs(degree)}{letters[degree < 0]}" if degree else "0"
