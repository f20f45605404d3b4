"""Small native Zarr stores that hold what requests may stumble over."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import zarr

LAT, LON = np.linspace(-50, 50, 6), np.linspace(-165, 165, 12)
DEGREES = {"lat": {"units": "degrees_north"}, "lon": {"units": "degrees_east"}}
DAYS = {"units": "days since 2024-01-02", "standard_name": "time"}

type Field = tuple[tuple[str, ...], np.ndarray, dict[str, Any]]


def _write(place: Path, fields: dict[str, Field]) -> Path:
    root = zarr.open_group(place, mode="w", zarr_format=3)
    for path, (dimensions, values, attributes) in fields.items():
        made = root.create_array(
            path, shape=values.shape, chunks=values.shape, dtype=values.dtype,
            dimension_names=dimensions, fill_value=attributes.pop("fill", None),
        )  # fmt: skip
        made[...] = values
        made.attrs.update(attributes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(place)
    return place


def _axes(steps: int = 3) -> dict[str, Field]:
    return {
        "time": (("time",), np.arange(steps), {**DAYS}),
        "lat": (("lat",), LAT, {**DEGREES["lat"]}),
        "lon": (("lon",), LON, {**DEGREES["lon"]}),
    }


def write_odd_variables(place: Path) -> Path:
    """One grid of 6 by 12 cells, and variables of every odd sort on it and beside it."""
    grid, field = ("lat", "lon"), np.arange(72, dtype="f4").reshape(6, 12)
    every = np.arange(-32768, 32768, dtype="i2").reshape(256, 256)
    return _write(place, {
        **_axes(),
        "temperature": (("time", *grid), np.stack([field] * 3), {"units": "K"}),
        "quality": (grid, np.zeros((6, 12), "u1"),
                    {"flag_values": [0, 1], "flag_meanings": "good bad"}),
        "wind_direction": (grid, field, {"units": "degree",
                                         "standard_name": "wind_from_direction"}),
        "reflectivity": (grid, field, {"units": "dBZ"}),
        "updated": (grid, field, {"units": "days since 2000-01-01"}),
        "station": (grid, np.full((6, 12), "buoy", "<U4"), {}),
        "total": (("time",), np.arange(3.0), {"units": "1"}),
        "lev": (("lev",), np.array([1000.0, 850.0, 500.0]), {"units": "hPa", "axis": "Z"}),
        "profile": (("lev", *grid), np.stack([field] * 3), {"units": "K"}),
        "spectrum": (("band", *grid), np.stack([field] * 2), {"units": "1"}),
        "phase": (grid, field.astype("c8"), {"units": "1"}),
        "every": (("row_lat", "row_lon"), every, {"units": "1"}),
        "row_lat": (("row_lat",), np.linspace(-80, 80, 256), {**DEGREES["lat"]}),
        "row_lon": (("row_lon",), np.linspace(-170, 170, 256), {**DEGREES["lon"]}),
        "uneven": (("gauss", "lon"), np.ones((4, 12), "f4"), {"units": "1"}),
        "gauss": (("gauss",), np.array([-60.0, -10.0, 10.0, 60.0]), {**DEGREES["lat"]}),
        "ascending/sst": (grid, field, {"units": "K"}),
        "descending/sst": (grid, field, {"units": "K"}),
        "descending/cloud": (grid, field, {"units": "1"}),
        "seen": (("row", "cell"), field, {"units": "K", "coordinates": "slat slon when"}),
        "when": (("row", "cell"), np.repeat(np.arange(6.0)[:, None], 12, 1), {**DAYS}),
        "speed": (("row", "cell"), field, {"units": "m s-1", "coordinates": "slat slon"}),
        "slat": (("row", "cell"), np.repeat(LAT[:, None], 12, 1), {**DEGREES["lat"]}),
        "slon": (("row", "cell"), np.repeat(LON[None] / 4, 6, 0), {**DEGREES["lon"]}),
        "pass": (("step",), np.arange(9.0), {"units": "1", "coordinates": "plat plon"}),
        "plat": (("step",), np.linspace(0, 8, 9), {**DEGREES["lat"]}),
        "plon": (("step",), np.linspace(0, 8, 9), {**DEGREES["lon"]}),
    })  # fmt: skip


def write_frame(place: Path, number: int) -> Path:
    """One of several stores of a collection: its levels, and its type, are its own."""
    field = np.arange(72, dtype="f4").reshape(6, 12)
    levels = np.array([1000.0, 850.0]) if number else np.array([1000.0, 700.0])
    return _write(place, {
        **_axes(),
        "temperature": (("time", "lat", "lon"), np.stack([field] * 3), {"units": "K"}),
        "profile": (("lev", "lat", "lon"), np.stack([field] * 2), {"units": "K"}),
        "height": (("lat", "lon"), field, {"units": "km" if number else "m"}),
        "total": (("time",), np.arange(3.0) + number, {"units": "1"}),
        "lev": (("lev",), levels, {"units": "hPa"}),
    })  # fmt: skip
