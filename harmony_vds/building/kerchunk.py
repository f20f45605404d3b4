"""Makes kerchunk references of joined granules, such that other readers read them right.

VirtualiZarr makes the references. What it says of fill values is put right afterwards: Zarr v2
readers take an array's ``fill_value`` for the mark of missing values, which in HDF5 it is not. The
mark stands in the attributes too, from which other readers take it (decision 0003).
"""

import json
import warnings
from typing import Any

import numpy as np
import xarray as xr
from virtualizarr.accessor import VirtualiZarrDatasetAccessor
from virtualizarr.manifests import ManifestArray
from xarray.backends.zarr import FillValueCoder

from harmony_vds.building.joining import Joined
from harmony_vds.building.reference_files import References
from harmony_vds.building.repository import sanitised
from harmony_vds.errors import StoreError


def kerchunk_references(joined: Joined) -> References:
    """All references of joined granules, metadata documents included.

    Raises
    ------
    StoreError
        Version 2 of Zarr cannot hold them.

    **Reads:** nothing.
    """
    if joined.irregular:
        names = ", ".join(sorted(name for _, name in joined.irregular))
        raise StoreError(
            f"The granules differ in length, so that the chunks of {names} do, which kerchunk "
            "references cannot say. Write icechunk instead."
        )
    refs: References = {}
    for group, dataset in joined.groups.items():
        prefix = f"{group.strip('/')}/".lstrip("/")
        refs.update({f"{prefix}{key}": own for key, own in _references(dataset).items()})
    return refs


def _references(dataset: xr.Dataset) -> References:
    """The references of one group, its marks of missing values as numbers of the array."""
    clean = sanitised(dataset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            told = VirtualiZarrDatasetAccessor(clean).to_kerchunk(None, "dict")
        except (KeyError, ValueError, TypeError, NotImplementedError) as error:
            raise StoreError(
                "Kerchunk references, which are of version 2 of Zarr, cannot say how the chunks "
                f"are encoded ({error!r}). Write icechunk instead."
            ) from None
    refs: References = {}
    for key, value in told["refs"].items():
        if isinstance(value, list) and "://" not in value[0]:
            value = [f"file://{value[0]}", *value[1:]]  # noqa: PLW2901  as others name files
        refs[f"{key}0" if key.endswith("/") else key] = value
    for name, variable in clean.variables.items():
        layout = json.loads(refs[f"{name}/.zarray"])
        attributes = json.loads(refs[f"{name}/.zattrs"])
        mark = _fill(str(name), variable, attributes)
        layout["fill_value"] = mark
        if mark is not None:
            attributes["_FillValue"] = mark
        refs[f"{name}/.zarray"] = json.dumps(layout)
        refs[f"{name}/.zattrs"] = json.dumps(attributes)
    return refs


def _fill(name: str, variable: xr.Variable, attributes: dict[str, Any]) -> Any:
    """What ``.zarray`` says: the mark of missing values, or null where there is none."""
    mark: Any = attributes.pop("_FillValue", None)
    if isinstance(mark, str) and variable.dtype.kind in "iufb":
        mark = FillValueCoder.decode(mark, variable.dtype)
    data = variable.data
    if isinstance(data, ManifestArray):
        fill = data.metadata.fill_value
        gaps = len(data.manifest.dict()) < int(np.prod(data.manifest.shape_chunk_grid))
        unsaid = 0 if mark is None else mark
        if gaps and not np.array_equal(fill, unsaid, equal_nan=data.dtype.kind == "f"):
            raise StoreError(
                f"Chunks of {name} were never written and read as {fill}, which kerchunk "
                "references cannot say beside the mark of missing values. Write icechunk instead."
            )
    if mark is None or variable.dtype.kind in "SU":
        return None
    value = variable.dtype.type(mark)
    if variable.dtype.kind == "f" and not np.isfinite(value):
        return "NaN" if np.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value.item()
