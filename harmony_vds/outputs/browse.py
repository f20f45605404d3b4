"""A picture of an output for whoever browses: its first layer, small, with a legend.

It is drawn from the output itself, so that it shows what was delivered and costs the archive
nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.formats import GEOTIFF, NETCDF, ZARR
from harmony_vds.model.plan import Plan
from harmony_vds.model.subset import Subset
from harmony_vds.outputs.image import write_png
from harmony_vds.outputs.raster import Raster, rasters

_LARGEST = 512
"""Most rows or columns that are drawn."""
_PIECE = 8 * 2**20
"""Cells read at once, unless one chunk has more."""

type Layer = Callable[[slice, slice], npt.NDArray[Any]]
"""Stored values of rows and columns of the first layer; shape (rows, columns)."""


def browse_image(
    output: Path, subset: Subset, plan: Plan, path: Path, variable: str = ""
) -> Path | None:
    """Draw the first raster of `output`, or that of `variable`, into `path`.

    None comes back where there is nothing to draw: a table, references, or no regular grid.

    **Reads:** nothing from outside; coordinates.
    """
    if plan.format.media_type not in _LAYERS:
        return None
    try:
        found = [
            own for own in rasters(subset, plan) if variable in ("", own.variable.planned.path)
        ]
    except UnsupportedError:
        return None
    raster = found[0]
    every = max(1, -(-max(raster.width, raster.height) // _LARGEST))
    with _LAYERS[plan.format.media_type](output, raster) as layer:
        thinned = _thinned(raster, layer, every)
    people = replace(plan, layout=replace(plan.layout, picture="legend", dpi=None))
    write_png(thinned, _first_of(subset, raster), people, path, _unheard)
    return path


def _thinned(raster: Raster, layer: Layer, every: int) -> Raster:
    """`raster` with every `every`-th row and column of its first layer, held in memory."""
    import xarray as xr

    own, sizes = raster.variable, (raster.height, raster.width)
    rows, columns = (np.arange(every // 2 if n > every else 0, n, every) for n in sizes)
    values = np.empty((rows.size, columns.size), own.data.dtype)
    for down, across in _windows(raster):
        inside = [(p >= s.start) & (p < s.stop) for p, s in ((rows, down), (columns, across))]
        if all(own.any() for own in inside):
            found = layer(down, across)
            picked = np.ix_(rows[inside[0]] - down.start, columns[inside[1]] - across.start)
            values[np.ix_(*inside)] = found[picked]
    shape = [1] * own.data.ndim
    shape[raster.y_axis], shape[raster.x_axis] = values.shape
    values = values if raster.y_axis < raster.x_axis else values.T
    data = xr.Variable(own.data.dims, values.reshape(shape), own.data.attrs)
    alone = replace(own, data=data, chunk_shape=tuple(shape), raw=None, references=None,
                    blocks=(tuple(slice(0, size) for size in shape),), together="")  # fmt: skip
    step = [own * n / kept.size for own, n, kept in
            zip(raster.step, sizes[::-1], (columns, rows), strict=True)]  # fmt: skip
    return replace(raster, variable=alone, step=(step[0], step[1]))


def _windows(raster: Raster) -> Iterator[tuple[slice, slice]]:
    """Rows and columns to read one after another, along the store's chunks."""
    shape = raster.variable.chunk_shape
    high, wide = max(1, shape[raster.y_axis]), max(1, shape[raster.x_axis])
    wide *= max(1, _PIECE // (high * wide))
    for top in range(0, raster.height, high):
        for left in range(0, raster.width, wide):
            yield (slice(top, min(top + high, raster.height)),
                   slice(left, min(left + wide, raster.width)))  # fmt: skip


def _first_of(subset: Subset, raster: Raster) -> Subset:
    """`subset` with the first position alone of the dimensions that are neither row nor column."""
    cut = {raster.variable.planned.dimensions[axis] for axis in raster.others}
    variables = tuple(
        replace(own, data=own.data[:1]) if own.planned.dimensions in {(d,) for d in cut} else own
        for own in subset.variables
    )
    return replace(subset, variables=variables)


@contextmanager
def _netcdf_layer(output: Path, raster: Raster) -> Iterator[Layer]:
    import netCDF4

    with netCDF4.Dataset(output) as file:
        file.set_auto_mask(False)
        file.set_auto_scale(False)
        yield _first(file[raster.variable.planned.path], raster)


@contextmanager
def _zarr_layer(output: Path, raster: Raster) -> Iterator[Layer]:
    import zarr

    if output.is_dir():
        group = zarr.open_group(output, mode="r")
        yield _first(group[raster.variable.planned.path.lstrip("/")], raster)
        return
    with zarr.storage.ZipStore(output, mode="r") as store:
        group = zarr.open_group(store, mode="r")
        yield _first(group[raster.variable.planned.path.lstrip("/")], raster)


def _first(array: Any, raster: Raster) -> Layer:
    """The first layer of an array whose dimensions are those of `raster`."""

    def layer(rows: slice, columns: slice) -> npt.NDArray[Any]:
        index: list[int | slice] = [0] * raster.variable.data.ndim
        index[raster.y_axis], index[raster.x_axis] = rows, columns
        values = np.asarray(array[tuple(index)])
        return values if raster.y_axis < raster.x_axis else values.T

    return layer


@contextmanager
def _geotiff_layer(output: Path, raster: Raster) -> Iterator[Layer]:
    import rasterio
    from rasterio.windows import Window

    north, west = raster.step[1] > 0, raster.step[0] < 0  # which way the file turns them
    with rasterio.open(output) as file:

        def layer(rows: slice, columns: slice) -> npt.NDArray[Any]:
            top = raster.height - rows.stop if north else rows.start
            left = raster.width - columns.stop if west else columns.start
            size = columns.stop - columns.start, rows.stop - rows.start
            values: npt.NDArray[Any] = file.read(1, window=Window(left, top, *size))
            return values[:: -1 if north else 1, :: -1 if west else 1]

        yield layer


_LAYERS = {NETCDF: _netcdf_layer, ZARR: _zarr_layer, GEOTIFF: _geotiff_layer}


def _unheard(nbytes: int) -> None:
    """A small picture is no progress of the order's."""
