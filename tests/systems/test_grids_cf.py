"""Boxes on grids that CF's own parameters place: rotated poles, cones and planes of equal area.

Where cells are is worked out here by the formulas of J. P. Snyder (Map Projections: A Working
Manual, U.S. Geological Survey Professional Paper 1395, 1987) on a sphere, and by turning it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from systems.granules import Field, weather, write_fields
from systems.kits import Answer, ask, raw, request, services
from systems.places import check_cut, inside, window
from world import kerchunk_references, write_references

RADIUS = 6_371_229.0
type Places = tuple[np.ndarray, np.ndarray]


def turned(x: np.ndarray, y: np.ndarray) -> Places:
    """Of a pole at 39.25 N, 162 W: the sphere is tipped until that pole is north."""
    lon, lat, pole = np.radians(x), np.radians(y), np.radians(39.25)
    up = np.cos(lat) * np.cos(lon) * np.cos(pole) + np.sin(lat) * np.sin(pole)
    out = np.sin(lat) * np.cos(pole) - np.cos(lat) * np.cos(lon) * np.sin(pole)
    east = np.arctan2(np.cos(lat) * np.sin(lon), -out)
    return np.degrees(east) - 162 + 180, np.degrees(np.arcsin(up))


def cone(x: np.ndarray, y: np.ndarray) -> Places:
    """Lambert's conformal cone, Snyder's equations 15-1 to 15-3, 15-5 and 14-9 to 14-11."""
    first, second, origin = np.radians([30.0, 60.0, 45.0])
    log, tan = np.log, np.tan
    n = log(np.cos(first) / np.cos(second)) / log(
        tan(np.pi / 4 + second / 2) / tan(np.pi / 4 + first / 2)
    )
    f = np.cos(first) * tan(np.pi / 4 + first / 2) ** n / n
    middle = RADIUS * f / tan(np.pi / 4 + origin / 2) ** n
    rho, theta = np.hypot(x, middle - y), np.arctan2(x, middle - y)
    lat = 2 * np.arctan((RADIUS * f / rho) ** (1 / n)) - np.pi / 2
    return np.degrees(theta / n) - 100, np.degrees(lat)


def equal_area(x: np.ndarray, y: np.ndarray) -> Places:
    """Lambert's azimuthal plane, Snyder's equations 20-14, 20-15, 20-18 and 24-16."""
    origin, rho = np.radians(60.0), np.hypot(x, y)
    c = 2 * np.arcsin(rho / (2 * RADIUS))
    with np.errstate(invalid="ignore"):
        up = np.cos(c) * np.sin(origin) + y * np.sin(c) * np.cos(origin) / rho
    east = np.arctan2(
        x * np.sin(c), rho * np.cos(origin) * np.cos(c) - y * np.sin(origin) * np.sin(c)
    )
    return np.degrees(east) + 10, np.degrees(np.arcsin(up))


@dataclass(frozen=True)
class Layout:
    """A grid: CF's parameters, its axes, and where its cells are."""

    told: dict[str, Any]
    x: np.ndarray
    y: np.ndarray
    places: Callable[[np.ndarray, np.ndarray], Places]
    names: tuple[str, str, str, str] = ("x", "y", "projection_{}_coordinate", "m")


LAYOUTS = {
    "rotated pole": Layout(
        {"grid_mapping_name": "rotated_latitude_longitude", "grid_north_pole_latitude": 39.25,
         "grid_north_pole_longitude": -162.0},
        np.arange(-20.0, 20, 0.44) + 0.013, np.arange(-15.0, 15, 0.44) + 0.017, turned,
        ("rlon", "rlat", "grid_{}", "degrees"),
    ),
    "Lambert conformal": Layout(
        {"grid_mapping_name": "lambert_conformal_conic", "standard_parallel": [30.0, 60.0],
         "longitude_of_central_meridian": -100.0, "latitude_of_projection_origin": 45.0},
        np.arange(-3e6, 3e6, 60e3) + 7.0, np.arange(2e6, -2e6, -60e3) + 11.0, cone,
    ),
    "Lambert equal area": Layout(
        {"grid_mapping_name": "lambert_azimuthal_equal_area",
         "longitude_of_projection_origin": 10.0, "latitude_of_projection_origin": 60.0},
        np.arange(-3e6, 3e6, 60e3) + 7.0, np.arange(-2e6, 2e6, 60e3) + 11.0, equal_area,
    ),
}  # fmt: skip
BOXES = {
    "rotated pole": (5.2, 44.1, 24.7, 58.3), "Lambert conformal": (-119.5, 38.2, -88.1, 55.6),
    "Lambert equal area": (-21.3, 52.4, 31.8, 71.9),
}  # fmt: skip


def granule(layout: Layout, path: Path, *, turned_over: bool = False) -> Path:
    """One variable on a grid; with columns before rows if `turned_over`."""
    x, y, standard, units = layout.names
    shape = (layout.y.size, layout.x.size)
    rotated = standard == "grid_{}"
    words = ("longitude", "latitude") if rotated else ("x", "y")
    values, dimensions = weather(shape, 3), (y, x)
    if turned_over:
        values, dimensions = values.T.copy(), (x, y)
    return write_fields(path, {
        x: Field((x,), layout.x, {"standard_name": standard.format(words[0]), "units": units}),
        y: Field((y,), layout.y, {"standard_name": standard.format(words[1]), "units": units}),
        "crs": Field((), np.array(0, "i4"), {**layout.told, "earth_radius": RADIUS}),
        "field": Field(dimensions, values, {"grid_mapping": "crs"}, chunks=(20, 20),
                       fill=np.float32(-9999)),
    })  # fmt: skip


def answered(path: Path, folder: Path, box: tuple[float, ...]) -> Answer:
    store = write_references(folder / "store.json", kerchunk_references([path], inline=0))
    trusted = (f"{path.parent.as_uri()}/", f"{folder.as_uri()}/")
    return ask(request(("field",), box), store.as_uri(), services(trusted=trusted), folder / "out")


@pytest.mark.parametrize(
    ("name", "turned_over"), [*((own, False) for own in LAYOUTS), ("rotated pole", True)]
)
def test_box_keeps_the_cells_that_the_formulas_place_in_it(
    name: str, turned_over: bool, tmp_path: Path
) -> None:
    layout, box = LAYOUTS[name], BOXES[name]
    path = granule(layout, tmp_path / "granule" / "one.nc", turned_over=turned_over)
    answer = answered(path, tmp_path, box)
    cells = inside(*layout.places(*np.meshgrid(layout.x, layout.y)), box)
    assert 0 < cells.sum() < cells[window(cells)].size
    cells = cells.T if turned_over else cells
    check_cut(answer.read("field"), raw(path, "field"), cells, np.float32(-9999))
