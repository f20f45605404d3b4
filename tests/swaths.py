"""Swaths and tracks in small, and what belongs to a place of them, by brute force."""

from pathlib import Path

import netCDF4
import numpy as np
import pyproj

EARTH = 6370997.0
"""Metres, of a sphere."""


def oblique(rows: int = 80, columns: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes of two halves of a swath with a gap between them.

    It crosses the antimeridian and passes the pole by; cells are about 25 km apart, the halves 600.
    """
    along = np.radians(np.linspace(70.0, 70.0 + 0.24 * rows, rows))[:, None]
    across = (np.arange(columns) - (columns - 1) / 2) * 0.23
    across = np.radians(across + np.where(across < 0, -2.5, 2.5))[None, :]
    tilt = np.radians(81.0)
    x, y = np.cos(across) * np.cos(along), np.cos(across) * np.sin(along)
    z = np.sin(across) + 0 * along
    y, z = y * np.cos(tilt) - z * np.sin(tilt), y * np.sin(tilt) + z * np.cos(tilt)
    return (np.degrees(np.arctan2(y, x)) + 170.0) % 360.0, np.degrees(np.arcsin(z))


def write_swath(path: Path, lon: np.ndarray, lat: np.ndarray, *, lost: bool = True) -> Path:
    """A granule of packed `speed` (time, rows, columns) with gaps, and flags `quality`."""
    random = np.random.default_rng(7)
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in zip(("time", "row", "cell"), (2, *lat.shape), strict=False):
            nc.createDimension(name, size)
        own = ("row", "cell")[: lat.ndim]
        chunks = tuple(max(1, size // 4) for size in lat.shape)
        for name, values, units in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
            places = nc.createVariable(name, "f8", own, chunksizes=chunks, fill_value=-999.0)
            places.setncatts({"units": units})
            kept = values.copy()
            if lost:
                kept.flat[:: values.size // 7 + 1] = -999.0
            places[:] = kept
        nc.createVariable("time", "f8", ("time",))[:] = [0.0, 1.0]
        nc["time"].units = "days since 2020-01-01"
        speed = nc.createVariable(
            "speed", "i2", ("time", *own), zlib=True, chunksizes=(1, *chunks), fill_value=-32767
        )
        speed.setncatts({"coordinates": "lat lon", "units": "m s-1"})
        speed.scale_factor = np.float32(0.01)
        speed.set_auto_maskandscale(False)
        field = 1500 + 900 * np.sin(np.radians(3 * lon)) * np.cos(np.radians(2 * lat))
        packed = np.stack([field, field / 2]).round().astype(np.int16)
        packed[:, random.random(lat.shape) < 0.02] = -32767
        speed[:] = packed
        flags = nc.createVariable("quality", "u1", own, chunksizes=chunks, fill_value=255)
        flags.setncatts({"coordinates": "lat lon", "flag_values": np.array([0, 4], np.uint8),
                         "flag_meanings": "good bad"})  # fmt: skip
        flags[:] = np.where(random.random(lat.shape) < 0.3, 4, 0)
    return path


def unit(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    east, north = np.radians(lon), np.radians(lat)
    return np.stack(
        [np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=-1
    )


def nearest_cells(
    lon: np.ndarray, lat: np.ndarray, places: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each place the flat number of the cell nearest to it, its distance in metres along a
    chord of the sphere, and by how much the next one is further away."""
    stored = unit(lon.ravel(), lat.ravel())
    at = unit(*(np.ravel(own) for own in places))
    known = np.isfinite(stored).all(axis=1)
    which, away, more = (np.zeros(len(at)) for _ in range(3))
    for start in range(0, len(at), 500):
        part = at[start : start + 500]
        squares = np.maximum(2.0 - 2.0 * (part @ np.where(known[:, None], stored, 0.0).T), 0.0)
        distances = np.sqrt(np.where(known[None, :], squares, np.inf))
        two = np.argpartition(distances, 1, axis=1)[:, :2]
        two = np.take_along_axis(
            two, np.argsort(np.take_along_axis(distances, two, 1), axis=1), axis=1
        )
        near = np.take_along_axis(distances, two, 1)
        stop = start + len(part)
        which[start:stop], away[start:stop] = two[:, 0], near[:, 0]
        more[start:stop] = near[:, 1] - near[:, 0]
    shape = places[0].shape
    return (
        which.astype(int).reshape(shape), EARTH * away.reshape(shape), EARTH * more.reshape(shape)
    )  # fmt: skip


def bilinear_at(
    lon: np.ndarray, lat: np.ndarray, values: np.ndarray, place: tuple[float, float], widest: float
) -> float | None:
    """The value at a place from the quad of neighbouring cells that holds it; None without one.

    Quads are seen in a gnomonic projection around the place, and those with a diagonal of more
    than `widest` metres are none. The two coordinates in the quad are roots of a quadratic.
    """
    away = np.linalg.norm(unit(lon, lat) - unit(*map(np.asarray, place)), axis=-1) * EARTH
    rows, columns = np.nonzero(away < 2 * widest)
    to_plane = pyproj.Proj(f"+proj=gnom +lon_0={place[0]} +lat_0={place[1]} +R={EARTH}")
    for row, column in sorted({
        (r + i, c + j) for r, c in zip(rows, columns, strict=True)
        for i in (-1, 0) for j in (-1, 0)
        if 0 <= r + i < lon.shape[0] - 1 and 0 <= c + j < lon.shape[1] - 1
    }):  # fmt: skip
        corners = [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)]
        a, b, c, d = (np.array(to_plane(lon[own], lat[own])) for own in corners)
        if not max(np.hypot(*(a - c)), np.hypot(*(b - d))) <= widest:
            continue
        found = _in_quad(a, b, c, d)
        if found is not None:
            u, v = found
            weights = ((1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v)
            return float(sum(w * values[own] for w, own in zip(weights, corners, strict=True)))
    return None


def _in_quad(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> tuple | None:
    e, f, g, h = b - a, d - a, a - b + c - d, -a

    def cross(p: np.ndarray, q: np.ndarray) -> float:
        return float(p[0] * q[1] - p[1] * q[0])

    for v in np.roots([cross(g, f), cross(e, f) + cross(h, g), cross(h, e)]):
        if abs(v.imag) > 1e-12 or not 0 <= v.real <= 1:
            continue
        below = e + g * v.real
        u = float((h - f * v.real) @ below / (below @ below))
        if 0 <= u <= 1:
            return u, float(v.real)
    return None
