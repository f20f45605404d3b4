"""Values between cells at places: the four around each, weighed.

In double precision, from the quantities that the stored numbers mean. Where the cell that counts
most has no value there is none; elsewhere those of the four that have none do not count.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from harmony_vds.model.decoding import MARKS, PACKING, Decoding
from harmony_vds.model.places import AROUND, Blend
from harmony_vds.model.subset import Block, SubsetVariable
from harmony_vds.model.target import Resampling, made_type
from harmony_vds.transform.computed import computed


def blended(variable: SubsetVariable, blend: Blend) -> SubsetVariable:
    """`variable`, which has the cells around places one after another, at these places; lazy.

    **Reads:** nothing; chunks when values are asked for.
    """
    data = variable.data
    decoding = Decoding.of(data.dtype, data.attrs)
    dtype = made_type(data.dtype, Resampling.BILINEAR)
    count = len(blend.weights)
    gone = {*PACKING, *MARKS, "actual_range"}
    attributes = {key: own for key, own in data.attrs.items() if key not in gone}
    attributes |= {"_FillValue": dtype.type(np.nan), "interpolation": Resampling.BILINEAR.value}
    shape = (count, *data.shape[1:])
    names = [str(own) for own in data.dims]
    pieces = tuple((slice(0, count), *own[1:]) for own in variable.blocks)
    compute = partial(_weighed, data, decoding, blend, dtype)
    lazy = computed(names, shape, dtype, compute, attributes)
    return replace(variable, data=lazy, chunk_shape=shape, blocks=pieces)


def _weighed(
    data: xr.Variable, decoding: Decoding, blend: Blend, dtype: np.dtype[Any], block: Block
) -> npt.NDArray[Any]:
    """The weighed values of a block of places, from the cells of `data` around each."""
    members, rest = block[0], block[1:]
    around = slice(AROUND * members.start, AROUND * members.stop)
    values = decoding.decode(np.asarray(data[(around, *rest)].values))
    values = values.reshape(-1, AROUND, *values.shape[1:])
    shape = (*values.shape[:2], *[1] * (values.ndim - 2))
    weights = blend.weights[members].reshape(shape)
    first = np.argmax(weights, axis=1, keepdims=True)
    there = ~np.isnan(np.take_along_axis(values, first, axis=1)[:, 0])
    counting = np.where(np.isnan(values), 0.0, weights)
    sums = (np.where(np.isnan(values), 0.0, values) * counting).sum(axis=1)
    found: npt.NDArray[Any] = np.full(sums.shape, np.nan, dtype)
    found[there] = (sums[there] / counting.sum(axis=1)[there]).astype(dtype)
    return found
