"""A granule whose chunks do not divide its grid, for tests of what is copied and what is cut."""

from pathlib import Path

import h5py
import netCDF4
import numpy as np
from systems.kits import raw
from world import kerchunk_references, write_references

ROWS, COLUMNS = 300, 400
CHUNK = (1, 100, 192)  # too large to be joined whatever the type; the last one is cut


def granule(path: Path, day: int, *, nc_type: str = "i2", **options) -> Path:
    """One step of a grid of half a degree; every value of a day differs from those of others."""
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("time", None)
        nc.createDimension("lat", ROWS)
        nc.createDimension("lon", COLUMNS)
        own = nc.createVariable("time", "f8", ("time",))
        own.units = "days since 2000-01-01"
        own[:] = [day]
        for name, size, unit in (("lat", ROWS, "degrees_north"), ("lon", COLUMNS, "degrees_east")):
            axis = nc.createVariable(name, "f8", (name,))
            axis.units = unit
            axis[:] = 0.5 * (np.arange(size) + 0.5) - (75 if name == "lat" else 100)
        filters = {"compression": "zlib", "complevel": 6, "shuffle": True, **options}
        dtype = np.dtype(nc_type).newbyteorder(">" if options.get("endian") else "=")
        field = nc.createVariable("field", dtype, ("time", "lat", "lon"), fill_value=-9,
                                  chunksizes=CHUNK, **filters)  # fmt: skip
        field.set_auto_maskandscale(False)
        values = np.random.default_rng(day).integers(-9, 3000, (1, ROWS, COLUMNS))
        field[:] = values.astype(nc_type)
    return path


def stack_in(folder: Path, steps: int) -> tuple[Path, np.ndarray]:
    """A store over some days, and its packed values by netCDF4 alone."""
    files = [granule(folder / f"{day}.nc", day) for day in range(steps)]
    store = write_references(folder / "stack.json", kerchunk_references(files))
    return store, np.concatenate([raw(path, "field") for path in files])


def box_of(rows: range, columns: range) -> tuple[float, float, float, float]:
    """Degrees around cells, no edge on a centre."""
    return (0.5 * columns.start - 100 + 0.1, 0.5 * rows.start - 75 + 0.1,
            0.5 * columns.stop - 100 - 0.1, 0.5 * rows.stop - 75 - 0.1)  # fmt: skip


def stored_chunks(path: Path, name: str = "field") -> dict[tuple[int, ...], bytes]:
    with h5py.File(path) as file:
        own = file[name].id
        places = [own.get_chunk_info(n).chunk_offset for n in range(own.get_num_chunks())]
        return {place: own.read_direct_chunk(place)[1] for place in places}
