"""Writes a virtual subset as an icechunk repository that points to chunks of the archive.

VirtualiZarr writes it. Snapshot ids are drawn at random by icechunk, so two such outputs of one
plan read equal and are not the same bytes.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import icechunk
import numpy as np
import xarray as xr
from virtualizarr.accessor import VirtualiZarrDatasetAccessor
from virtualizarr.manifests import ChunkManifest, ManifestArray
from virtualizarr.manifests.utils import copy_and_replace_metadata, create_v3_array_metadata
from xarray.backends.zarr import FillValueCoder
from zarr.core.metadata import ArrayV3Metadata

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.chunks import ChunkKind
from harmony_vds.model.paths import group_of, name_of
from harmony_vds.model.plan import Plan
from harmony_vds.model.subset import References, Subset, SubsetVariable
from harmony_vds.outputs.attributes import netcdf_attributes
from harmony_vds.outputs.pieces import Step
from harmony_vds.outputs.provenance import global_attributes

EXTENSION = ".icechunk"


def write_icechunk(subset: Subset, plan: Plan, path: Path, step: Step) -> None:
    """Write `subset` to the new folder `path` as an icechunk repository, on its branch ``main``.

    Who reads it authorises the containers that it names, with credentials of their own.

    Parameters
    ----------
    subset
        Variables with their references, cut at chunk edges, and those to be held by value.
    plan
        What was decided.
    path
        The new folder.
    step
        Called with the bytes of each group's references just written.

    Raises
    ------
    UnsupportedError
        Chunks of a variable cannot be named in this format; the text says why.
    StoreError, ForbiddenError, UpstreamError
        A value that is to be held cannot be read.

    **Reads:** chunks of variables held by value.
    """
    icechunk.set_logs_filter("error")
    path.mkdir(parents=True)
    storage = icechunk.local_filesystem_storage(str(path))
    repository = icechunk.Repository.create(storage, config=_configuration(subset))
    session = repository.writable_session("main")
    for group, attributes in subset.groups.items():
        own = global_attributes(attributes, plan) if group == "/" else attributes
        held = [v for v in subset.variables if group_of(v.planned.path) == group]
        dataset = _dataset({name_of(v.planned.path): _variable(v) for v in held}, _plain(own))
        place = None if group == "/" else group.strip("/")
        with warnings.catch_warnings():
            # Of a group whose variables are all held by value, which planning saw to be small.
            warnings.filterwarnings("ignore", "Attempting to write an entirely non-virtual")
            VirtualiZarrDatasetAccessor(dataset).to_icechunk(
                session.store, group=place, validate_containers=False
            )
        step(sum(int(np.prod([n.size for n in v.references.numbers])) * 16
                 for v in held if v.references is not None))  # fmt: skip
    session.commit(f"Virtual subset of {plan.location.shown}")


def _dataset(variables: dict[str, xr.Variable], attributes: dict[str, Any]) -> xr.Dataset:
    """A group, without the indexes for which coordinates that are pointed to would be read."""
    along = {name: own for name, own in variables.items() if own.dims == (name,)}
    others = {name: own for name, own in variables.items() if name not in along}
    return xr.Dataset(others, xr.Coordinates(along, indexes={}), attributes)


def _configuration(subset: Subset) -> icechunk.RepositoryConfig:
    """Containers for every place that references lead to."""
    config = icechunk.RepositoryConfig.default()
    for prefix in sorted({own for v in subset.variables for own in _prefixes(v)}):
        place: Any = icechunk.http_store()
        if prefix.startswith("s3:"):
            place = icechunk.s3_store(region=None)
        elif prefix.startswith("file:"):
            place = icechunk.local_filesystem_store(urlsplit(prefix).path)
        config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, place))
    return config


def _prefixes(variable: SubsetVariable) -> Iterator[str]:
    """Bucket, host or folder of each source file of a variable."""
    for url in () if variable.references is None else variable.references.index.locations:
        parts = urlsplit(url)
        folder = parts.path.rpartition("/")[0] if parts.scheme == "file" else ""
        yield f"{parts.scheme}://{parts.netloc}{folder}/"


def _variable(variable: SubsetVariable) -> xr.Variable:
    names = [name_of(own) for own in variable.planned.dimensions]
    attributes = _plain(variable.data.attrs)
    if variable.references is None:
        return xr.Variable(names, np.asarray(variable.data.values), attributes)
    array = _pointed(variable, variable.references)
    if "_FillValue" in attributes and array.dtype.kind == "f":
        # As xarray writes it, since JSON has no not-a-number.
        attributes["_FillValue"] = FillValueCoder.encode(attributes["_FillValue"], array.dtype)
    return xr.Variable(names, array, attributes)


def _pointed(variable: SubsetVariable, own: References) -> ManifestArray:
    """The kept chunks as VirtualiZarr knows them."""
    box = np.ix_(*own.numbers) if own.numbers else ()
    virtual = own.index.kinds[box] == ChunkKind.VIRTUAL
    locations: Any = np.array([*own.index.locations, ""], np.dtypes.StringDType())
    manifest = ChunkManifest.from_arrays(
        paths=locations[np.where(virtual, own.index.sources[box], -1)],
        offsets=np.where(virtual, own.index.offsets[box], 0).astype(np.uint64),
        lengths=np.where(virtual, own.index.lengths[box], 0).astype(np.uint64),
        validate_paths=False,
    )
    return ManifestArray(_metadata(variable, own), manifest)


def _metadata(variable: SubsetVariable, own: References) -> ArrayV3Metadata:
    shape, layout = variable.data.shape, own.layout
    if isinstance(layout, ArrayV3Metadata):
        return copy_and_replace_metadata(layout, list(shape), list(own.index.chunk_shape))
    if layout.order != "C":
        raise UnsupportedError(
            f"{variable.planned.path.lstrip('/')} cannot be given by references of this format: "
            "its chunks are stored column by column. Ask for kerchunk or netCDF."
        )
    codecs = [*(layout.filters or ()), *([layout.compressor] if layout.compressor else ())]
    told = [own.get_config() if hasattr(own, "get_config") else dict(own) for own in codecs]
    return create_v3_array_metadata(
        shape, layout.dtype.to_native_dtype(), own.index.chunk_shape,
        fill_value=layout.fill_value, codecs=[_spelled(own) for own in told],
    )  # fmt: skip


def _spelled(codec: dict[str, Any]) -> dict[str, Any]:
    """A codec of version 2 as VirtualiZarr spells it for version 3."""
    from virtualizarr.codecs import zarr_codec_config_to_v3

    spelled: dict[str, Any] = zarr_codec_config_to_v3(codec)
    return spelled


def _plain(attributes: Any) -> dict[str, Any]:
    """Attributes that icechunk's JSON holds: numbers without type, none of them infinite."""
    marks = {"_FillValue": attributes["_FillValue"]} if "_FillValue" in attributes else {}
    plain = {}
    for name, value in netcdf_attributes(dict(attributes)).items():
        held = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        if np.asarray(held).dtype.kind != "f" or np.isfinite(np.asarray(held)).all():
            plain[name] = held
    return {**plain, **marks}
