"""The grid of a request that names a reference system alone, where maps have edges and seams."""

import numpy as np
import pyproj
import pytest

from harmony_vds.model.request import TargetGrid
from harmony_vds.model.target import SourceAxis, SourceGrid
from harmony_vds.planning.default_grid import default_cells
from harmony_vds.planning.target_crs import target_crs

SINUSOIDAL = "+proj=sinu +R=6371007.181"
GOES_WEST = "+proj=geos +h=35786023 +lon_0=-137 +sweep=x"
DEGREES = "OGC:CRS84"


def source(crs: str, x: tuple[float, float], y: tuple[float, float], step: float) -> SourceGrid:
    wkt = "" if crs == DEGREES else pyproj.CRS(crs).to_wkt()
    return SourceGrid(
        ("/y", "/x"), wkt, SourceAxis(np.arange(x[0] + step / 2, x[1], step), turns=not wkt),
        SourceAxis(np.arange(y[1] - step / 2, y[0], -step)),
    )  # fmt: skip


FIJI = ("EPSG:32760", (7e5, 9e5), (79e5, 81e5), 2e3)
ARCTIC = ("EPSG:3413", (-2e6, -1e6), (1e6, 2e6), 1e4)
TILE = (SINUSOIDAL, (-12231455.7, -11119505.2), (5559752.6, 6671703.1), 1e4)
DISC = (GOES_WEST, (-5.4e6, 5.4e6), (-5.4e6, 5.4e6), 4e4)
HEMISPHERE = ("EPSG:6931", (-9e6, 9e6), (-9e6, 9e6), 9e4)
PACIFIC = (DEGREES, (170, 190), (-20, 20), 0.5)
FINE = (DEGREES, (170.3, 191), (-1, 1), 0.01)


@pytest.mark.parametrize(
    ("own", "crs"),
    [
        (FIJI, "EPSG:4326"), (FIJI, "EPSG:3857"), (FIJI, "EPSG:6933"), (ARCTIC, "EPSG:4326"),
        (ARCTIC, "EPSG:3857"), (TILE, "EPSG:4326"), (TILE, "EPSG:6933"), (DISC, "EPSG:4326"),
        (DISC, "EPSG:6933"), (HEMISPHERE, "EPSG:3413"), (PACIFIC, "EPSG:3857"),
        (PACIFIC, "+proj=moll"), (FINE, "+proj=moll"), (FINE, "EPSG:3857"),
    ],
)  # fmt: skip
def test_every_place_is_covered_by_cells_about_as_large_as_the_stores(own, crs):
    grid = source(*own)
    cells, _ = default_cells(TargetGrid(crs), target_crs(crs), [grid], None)
    lon, lat = lying(grid, own[0])
    area = pyproj.CRS(crs).area_of_use
    used = np.isfinite(lon)
    if area is not None:
        used &= (lat >= area.south) & (lat <= area.north)
    assert used.sum() > 1000
    there = pyproj.Transformer.from_crs(DEGREES, crs, always_xy=True)
    x, y = (np.where(used, place, np.nan) for place in there.transform(lon, lat))
    world = there.transform([-180 + 1e-9, 180 - 1e-9], [0, 0])[0]
    x0, y0, x1, y1 = cells.extent
    if crs != "+proj=moll" and not crs.startswith("EPSG:34"):
        x = x0 + (x - x0) % (world[1] - world[0])
        assert x1 - x0 <= (world[1] - world[0]) * 1.01
    assert ((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))[used].all()
    across, down = np.hypot(*np.diff([x, y], axis=2)), np.hypot(*np.diff([x, y], axis=1))
    usual = np.sqrt(np.nanmedian(across) * np.nanmedian(down))
    assert 0.4 < cells.width / usual < 1.6
    assert 0.99 < cells.width / cells.height < 1.01


def lying(grid: SourceGrid, crs: str) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes of all centres by pyproj; not-a-number beside the map."""
    x, y = np.meshgrid(grid.x.centres, grid.y.centres)
    if crs == DEGREES:
        return (x + 180) % 360 - 180, y
    way = pyproj.Transformer.from_crs(crs, DEGREES, always_xy=True)
    lon, lat = way.transform(x, y)
    back = way.transform(lon, lat, direction="INVERSE")
    lost = ~(np.hypot(back[0] - x, back[1] - y) < 100)
    return np.where(lost, np.nan, lon), np.where(lost, np.nan, lat)


def test_a_cell_size_leaves_no_row_beyond_the_poles_of_a_grid_with_its_centres_there():
    lat, lon = np.arange(-90, 90.1, 0.5), np.arange(-180, 180, 0.625)
    grid = SourceGrid(("/lat", "/lon"), "", SourceAxis(lon, turns=True), SourceAxis(lat))
    crs = target_crs("EPSG:4326")
    own, _ = default_cells(TargetGrid("EPSG:4326"), crs, [grid], None)
    assert (own.rows, own.columns, own.top) == (361, 576, 90.25)
    for asked in ({"scale_size": (1.0, 1.0)}, {"width": 360}, {"height": 180}):
        cells, _ = default_cells(TargetGrid("EPSG:4326", **asked), crs, [grid], None)
        assert (cells.extent[1], cells.extent[3]) == (-90, 90)
