"""Which cells lie in a box, worked out with pyproj and numpy alone, from what source files hold."""

from collections.abc import Sequence

import netCDF4
import numpy as np
from pyproj import CRS, Transformer

type Box = Sequence[float]


def inside(longitudes: np.ndarray, latitudes: np.ndarray, box: Box) -> np.ndarray:
    """Centres in a closed box, west to east the short way round or across the antimeridian."""
    west, south, east, north = box
    width = (east - west) % 360 if east - west != 360 else 360
    eastward = (longitudes - west) % 360
    with np.errstate(invalid="ignore"):
        return (eastward <= width) & (latitudes >= south) & (latitudes <= north)


def on_plane(crs: object, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes of rows `y` and columns `x`; infinite where there are none."""
    back = Transformer.from_crs(CRS.from_user_input(crs), 4326, always_xy=True)
    return back.transform(*np.meshgrid(np.asarray(x, "f8"), np.asarray(y, "f8")))


def window(cells: np.ndarray) -> tuple[slice, ...]:
    """The smallest window that holds all cells that are true."""
    held = [np.flatnonzero(cells.any(axis=tuple(o for o in range(cells.ndim) if o != axis)))
            for axis in range(cells.ndim)]  # fmt: skip
    return tuple(slice(int(own[0]), int(own[-1]) + 1) for own in held)


def check_cut(ours: np.ndarray, theirs: np.ndarray, cells: np.ndarray, fill: object) -> None:
    """`ours` is the window around `cells` (rows and columns, the last two dimensions) of `theirs`,
    bit for bit, and nothing but `fill` where they are not."""
    rows, columns = window(cells)
    expected = theirs[..., rows, columns].copy()
    expected[..., ~cells[rows, columns]] = fill
    assert ours.shape == expected.shape
    assert ours.dtype == expected.dtype
    assert ours.tobytes() == np.ascontiguousarray(expected).tobytes()


def stored(path: object, name: str) -> np.ndarray:
    """Decoded values as float64, missing ones not-a-number."""
    with netCDF4.Dataset(path) as nc:
        return np.ma.filled(np.ma.asarray(nc[name][...]).astype("f8"), np.nan)
